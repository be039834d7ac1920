"""Limits that a case puts on itself before it meets the submission: containment, not security.

Each layer is used where the platform has it and left out where it refuses. Linux: no capabilities,
no new processes, no sockets, no signals to others, no look into other processes (seccomp);
network and mount namespaces. Anywhere: rlimits. Imports nothing of handgrad: the child loads this
file by its path.
"""

import contextlib
import ctypes
import os
import platform
import struct
import sys

_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 1, 3, 4
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = (
    0x00020000,
    0x10000000,
    0x40000000,
    0x08000000,
)
_MS_RDONLY, _MS_NOSUID, _MS_REC, _MS_PRIVATE = 1, 2, 0x4000, 0x40000
_CLONE_THREAD = 0x00010000

# System calls by number: x86_64, aarch64. What a case may never do.
_REFUSED = {
    "x86_64": {
        "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "socket": 41, "socketpair": 53,
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "pidfd_open": 434,
        "pidfd_getfd": 438, "pidfd_send_signal": 424, "rt_sigqueueinfo": 129, "unshare": 272,
        "setns": 308, "mount": 165, "umount2": 166, "bpf": 321, "perf_event_open": 298,
        "io_uring_setup": 425, "keyctl": 250, "prlimit64": 302, "chroot": 161,
        "shmget": 29, "msgget": 68, "semget": 64,
    },
    "aarch64": {
        "execve": 221, "execveat": 281, "socket": 198, "socketpair": 199, "ptrace": 117,
        "process_vm_readv": 270, "process_vm_writev": 271, "pidfd_open": 434, "pidfd_getfd": 438,
        "pidfd_send_signal": 424, "rt_sigqueueinfo": 138, "unshare": 97, "setns": 268,
        "mount": 40, "umount2": 39, "bpf": 280, "perf_event_open": 241, "io_uring_setup": 425,
        "keyctl": 219, "prlimit64": 261, "chroot": 51, "shmget": 194, "msgget": 186,
        "semget": 190,
    },
}  # fmt: skip
_SIGNALS = {"x86_64": (62, 200, 234), "aarch64": (129, 130, 131)}  # kill, tkill, tgkill
_CLONE = {"x86_64": (56, 435), "aarch64": (220, 435)}  # clone, clone3
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_EPERM, _ENOSYS = 1, 38
_MOUNT_SETATTR = 442  # the same number on both


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def set_dumpable(dumpable: bool) -> bool:
    """Let other processes of this user look into this one's memory, or not; return what was."""
    libc = _libc()
    if libc is None:
        return dumpable
    before = bool(libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 1)
    libc.prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)
    return before


def separate(private: str, hidden: list[str]) -> list[str]:
    """Leave the network, make all files read-only but a private folder's; name what was done.

    private : a folder that becomes a small file system in memory; hidden : folders that become
    empty.
    """
    done: list[str] = []
    libc = _libc()
    if libc is None:
        return done
    flags = _CLONE_NEWNET | _CLONE_NEWNS | _CLONE_NEWIPC
    if libc.unshare(flags) != 0 and not _unshare_as_user(libc, flags):
        return done
    done.append("network")
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return done
    if platform.machine() in _REFUSED:
        read_only = (ctypes.c_uint64 * 4)(1, 0, 0, 0)  # struct mount_attr: set MOUNT_ATTR_RDONLY
        at_cwd, at_recursive = -100, 0x8000
        if libc.syscall(_MOUNT_SETATTR, at_cwd, b"/", at_recursive, read_only, 32) == 0:
            done.append("read-only")
    size = b"size=64m,mode=0700"
    if libc.mount(b"tmpfs", os.fsencode(private), b"tmpfs", _MS_NOSUID, size) == 0:
        done.append("files")
        os.chdir(private)
    flags = _MS_RDONLY | _MS_NOSUID
    covered = [
        libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, b"size=4k") == 0
        for folder in hidden
    ]
    if covered and all(covered):
        done.append("answers")
    return done


def _unshare_as_user(libc: ctypes.CDLL, flags: int) -> bool:
    """Without being root: in a user namespace in which this user is still itself."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(flags | _CLONE_NEWUSER) != 0:
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
            file.write(text)
    return os.getuid() == uid  # not so: this user is nobody here, and can make no file


def drop_capabilities() -> None:
    """Give up what root may do beyond its own files: look into other processes, for one."""
    libc = _libc()
    if libc is None:
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    libc.capset(header, (ctypes.c_uint32 * 6)())


def limit(seconds: int, memory_bytes: int) -> list[str]:
    """Set this process's rlimits and name those that took; the memory is on top of what it has."""
    try:
        import resource  # not everywhere; this file is imported anywhere
    except ImportError:
        return []
    limits = {
        "processor time": (resource.RLIMIT_CPU, seconds),
        "core files": (resource.RLIMIT_CORE, 0),
        "file size": (resource.RLIMIT_FSIZE, 16 * 2**20),
        "open files": (resource.RLIMIT_NOFILE, 128),
    }
    with contextlib.suppress(OSError), open("/proc/self/statm") as file:  # noqa: PTH123
        pages = int(file.read().split()[0])
        limits["memory"] = resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes
    done = []
    for name, (kind, value) in limits.items():
        hard = resource.getrlimit(kind)[1]
        capped = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (capped, capped))
            done.append(name)
    return done


def confine() -> bool:
    """Refuse this process the system calls of ``_REFUSED``; return whether that took.

    It dies with its parent, and gains nothing by exec. Threads may still be started.
    """
    libc, machine = _libc(), platform.machine()
    if libc is None or machine not in _REFUSED:
        _no_more_processes()
        return False
    libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = _filter(machine)
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    buffer = ctypes.create_string_buffer(fprog, len(fprog))
    if libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(buffer), 0, 0) != 0:
        _no_more_processes()
        return False
    return True


def _no_more_processes() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _filter(machine: str) -> bytes:
    """The classic BPF program: compare the call's number, one after the other."""
    load, equal, at_least, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, errno = 0x7FFF0000, 0x00050000
    pid = os.getpid()

    def step(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, jump_true, jump_false, k)

    program = [
        step(load, 4),  # the architecture
        step(equal, _AUDIT[machine], 1, 0),
        step(give, errno | _EPERM),
        step(load, 0),  # the call's number
        step(at_least, 0x40000000, 0, 1),  # x86's third numbering
        step(give, errno | _EPERM),
    ]
    for number in _REFUSED[machine].values():
        program += [step(equal, number, 0, 1), step(give, errno | _EPERM)]
    clone, clone3 = _CLONE[machine]
    # clone3 hides its flags behind a pointer; told that it does not exist, libc takes clone.
    program += [step(equal, clone3, 0, 1), step(give, errno | _ENOSYS)]
    program += [
        step(equal, clone, 0, 4),
        step(load, 16),  # its flags
        step(bits, _CLONE_THREAD, 1, 0),
        step(give, errno | _EPERM),
        step(give, allow),
    ]
    kill, tkill, tgkill = _SIGNALS[machine]
    program += [step(equal, tkill, 0, 1), step(give, errno | _EPERM)]
    for number in (kill, tgkill):
        program += [
            step(equal, number, 0, 4),
            step(load, 16),  # to whom
            step(equal, pid, 1, 0),
            step(give, errno | _EPERM),
            step(give, allow),
        ]
    program.append(step(give, allow))
    return b"".join(program)

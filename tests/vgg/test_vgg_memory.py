"""The allocator's settings: that they do keep the pages, and only where they were asked for."""

import subprocess
import sys
from mmap import PAGESIZE

import pytest

pytest.importorskip("torch")

FAULTS = """
import resource, sys, torch
from handgrad.vgg.memory import keep_freed_memory

if sys.argv[1] == "kept" and not keep_freed_memory():
    print("none")
    sys.exit()
for _ in range(10):
    torch.zeros(8 << 20).sum()  # 32 MB: the first one has to come from the kernel
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(8 << 20).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are glibc's")
def test_freed_memory_is_used_again_instead_of_fresh_pages():
    kept = _faults("kept")
    if kept == "none":
        pytest.skip("this C library has no mallopt")
    # Ten times 32 MB of pages as usual. Kept, none on most machines; but where a small array
    # went into the freed pages, the next large one needs fresh ones: three of ten have been seen.
    usual = int(_faults("as usual"))
    if usual < 10 * (32 << 20) / PAGESIZE:
        pytest.skip("this kernel gives out larger pages")
    assert int(kept) < usual / 2

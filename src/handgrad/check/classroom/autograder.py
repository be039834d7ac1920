"""A Gradescope autograder: a zip with this very handgrad, its pinned libraries and two scripts."""

import io
import re
import shlex
import sys
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import handgrad
from handgrad.check.classroom.seeds import SALT_VARIABLE
from handgrad.check.courses import Course
from handgrad.errors import AutograderError
from handgrad.files import write_atomically

# handgrad's own dependencies, as in pyproject.toml (a test compares them).
LIBRARIES = ("numpy", "click", "rich", "safetensors")
_SKIPPED = {"__pycache__"}
_SUFFIXES = {".pyc", ".nbi", ".nbc"}
_SCRIPT = 0o100755 << 16
_FILE = 0o100644 << 16
# A fixed moment: the same handgrad, rubric and options give the same zip.
_MOMENT = (2026, 1, 1, 0, 0, 0)


def write_autograder(
    out: Path,
    options: Sequence[str],
    rubric: Path | None,
    salt: str = "",
    course: Course | None = None,
) -> None:
    """Write the zip.

    Parameters
    ----------
    out : Path
    options : sequence of str
        Of ``handgrad check``, as run_autograder gives them: seed, convention, only, timeout.
    rubric : Path, optional
        Copied in; without one each function is worth a point.
    salt : str, optional
        Of a seed from the submission.
    course : Course, optional
        One that does not ship: its folder is copied in.
    """
    package = Path(handgrad.__file__).parent
    words = shlex.join(options)
    if course is not None:
        at = options.index("--course")
        words = shlex.join([*options[:at], *options[at + 2 :]])
        words += f' --course "$source/courses/{course.name}"'
    if rubric is not None:
        words += ' --rubric "$source/rubric.toml"'
    contents: dict[str, tuple[int, bytes]] = {
        "setup.sh": (_SCRIPT, _setup().encode()),
        "run_autograder": (_SCRIPT, _run(words, salt).encode()),
        "requirements.txt": (_FILE, _requirements().encode()),
    }
    if rubric is not None:
        contents["rubric.toml"] = (_FILE, rubric.read_bytes())
    roots = {"source": package} | ({"courses": course.folder} if course is not None else {})
    for prefix, root in roots.items():
        for file in sorted(root.rglob("*")):
            below = file.relative_to(root.parent)
            if file.is_file() and not _SKIPPED & set(below.parts) and file.suffix not in _SUFFIXES:
                contents[f"{prefix}/{below.as_posix()}"] = (_FILE, file.read_bytes())
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (mode, content) in contents.items():
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.external_attr = mode
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    try:
        write_atomically(out, held.getvalue())
    except OSError as error:
        raise AutograderError(f"cannot write {out} ({error.strerror})") from error


def pinned() -> dict[str, str]:
    """The libraries that handgrad needs, and those that they need, in the versions that run here.

    Follows the installed packages' own lists; extras and other platforms' packages are left out.
    """
    found: dict[str, str] = {}
    to_do = list(LIBRARIES)
    while to_do:
        try:
            distribution = metadata.distribution(to_do.pop())
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python: not needed here
        found[distribution.metadata["Name"]] = distribution.version
        for line in distribution.requires or []:
            requirement, _, marker = line.partition(";")
            needed = re.split(r"[\s<>=!~\[(]", requirement.strip(), maxsplit=1)[0]
            known = {normal(other) for other in (*found, *to_do)}
            if "extra" not in marker and normal(needed) not in known:
                to_do.append(needed)
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def normal(name: str) -> str:
    """A distribution's name as PyPI compares it: 'Mark_Up.Safe' is 'mark-up-safe'."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements() -> str:
    lines = [f"{name}=={version}" for name, version in pinned().items()]
    return f"# What handgrad {handgrad.__version__} was run with.\n" + "\n".join(lines) + "\n"


def _setup() -> str:
    minor = f"python3.{sys.version_info.minor}"
    return f"""#!/usr/bin/env bash
# Runs once, when Gradescope builds the image; only this step needs the network.
# handgrad {handgrad.__version__} itself is in source/: nothing of it is downloaded.
set -euo pipefail
autograder="${{AUTOGRADER:-/autograder}}"
source="${{AUTOGRADER_SOURCE:-$autograder/source}}"

# The Python of the versions in requirements.txt; any from 3.11 will do.
python=""
for candidate in {minor} python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null &&
    "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
  then python="$candidate"; break; fi
done
if [ -z "$python" ]; then
  apt-get update
  apt-get install -y {minor} {minor}-venv ||
    {{ apt-get install -y software-properties-common &&
      add-apt-repository -y ppa:deadsnakes/ppa && apt-get update &&
      apt-get install -y {minor} {minor}-venv; }}
  python={minor}
fi
"$python" -m venv "$autograder/venv"
"$autograder/venv/bin/python" -m pip install --no-cache-dir -r "$source/requirements.txt"
"""


def _run(options: str, salt: str) -> str:
    return f"""#!/usr/bin/env bash
# Judges one submission and writes results.json; needs no network.
# handgrad {handgrad.__version__}
set -uo pipefail
autograder="${{AUTOGRADER:-/autograder}}"
source="${{AUTOGRADER_SOURCE:-$autograder/source}}"
submission="${{AUTOGRADER_SUBMISSION:-$autograder/submission}}"
results="${{AUTOGRADER_RESULTS:-$autograder/results}}"
python="${{AUTOGRADER_PYTHON:-$autograder/venv/bin/python}}"

mkdir -p "$results"
rm -f "$results/results.json"
# From inside the submission, so that the commands in the report run at home as they stand; -P keeps
# that folder off the checker's own path.
cd "$submission" || exit 3
export PYTHONPATH="$source/source" PYTHONDONTWRITEBYTECODE=1 {SALT_VARIABLE}={shlex.quote(salt)}
"$python" -P -m handgrad check . --format gradescope \\
  --output "$results/results.json" {options}
code=$?
# 0 and 1: judged. 2: not loadable, which results.json says, too. Anything else is a fault of the
# autograder and no learner's failure: Gradescope reports it as such when there are no results.
if [ "$code" -le 2 ] && [ -s "$results/results.json" ]; then exit 0; fi
rm -f "$results/results.json"
exit 3
"""

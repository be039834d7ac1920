"""What an installed package takes on disk, with all that it needs."""

import re
from importlib import metadata
from pathlib import Path

import handgrad


def installed_mib(package: str) -> float | None:
    """Give MiB of a package's files and of those of its requirements; None if it is not there.

    Optional requirements (extras) are left out; of handgrad itself, its own folder counts.
    """
    waiting, seen, total = [package], set[str](), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name == package:
                return None
            continue  # for another platform, or an older Python
        total += _size(found, name)
        for line in found.requires or []:
            requirement, _, marker = line.partition(";")
            if "extra" not in marker:
                waiting.append(re.split(r"[\s<>=!~\[(]", requirement.strip(), maxsplit=1)[0])
    return total / 2**20


def _size(found: metadata.Distribution, name: str) -> int:
    if name == "handgrad":  # which may be installed as a link to its source
        files = [path for path in Path(handgrad.__file__).parent.rglob("*") if path.is_file()]
    else:
        files = [Path(str(file.locate())) for file in found.files or []]
    return sum(path.stat().st_size for path in files if path.is_file())

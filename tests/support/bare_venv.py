"""A virtual environment with a few installed distributions and what they need; nothing else."""

import importlib.metadata
import os
import re
import sys
import venv
from pathlib import Path


def bare_venv(folder: Path, *distributions: str) -> Path:
    """Make an environment that sees these distributions alone; return its Python.

    They are linked from the environment of the tests, not installed anew.
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for name in sorted(_closure(distributions)):
        found = importlib.metadata.distribution(name)
        for part in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
            source = Path(str(found.locate_file(part)))
            if part != "__pycache__" and source.exists() and not (packages / part).exists():
                (packages / part).symlink_to(source)
    return folder / "bin" / "python"


def _closure(names: tuple[str, ...]) -> set[str]:
    """Give these and all that they need without an extra, of what is installed."""
    waiting, found = [*names], set[str]()
    while waiting:
        name = re.split(r"[\s;<>=!~\[(]", waiting.pop(), maxsplit=1)[0]
        if name in found:
            continue
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system; who needs it here fails by name
        found.add(name)
        waiting += [each for each in needed if "extra ==" not in each]
    return found

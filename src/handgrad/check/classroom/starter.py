"""The skeleton of the assignment: signatures and docstrings, nothing solved."""

from importlib.resources import files
from pathlib import Path

from handgrad.errors import StarterError
from handgrad.files import write_atomically

_SUFFIX = ".txt"  # so that no tool takes the unwritten files for part of handgrad


def starter_files() -> dict[str, str]:
    """The skeleton's files: name to content."""
    return {
        entry.name.removesuffix(_SUFFIX): entry.read_text(encoding="utf-8")
        for entry in sorted(
            files("handgrad.check.classroom").joinpath("starter_files").iterdir(),
            key=lambda e: e.name,
        )
        if entry.is_file()
    }


def write_starter(folder: Path) -> list[str]:
    """Write the skeleton into a folder, which is made if it is not there.

    Nothing is overwritten: if one of the files exists, a StarterError names it and nothing is
    written at all. Returns the names of the files.
    """
    contents = starter_files()
    taken = [name for name in contents if (folder / name).exists()]
    if taken:
        raise StarterError(
            f"{folder} already has {', '.join(taken)}; nothing was written: name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise StarterError(f"cannot write to {folder} ({error.strerror})") from error
    return list(contents)

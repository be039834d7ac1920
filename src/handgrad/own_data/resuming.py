"""What an interrupted training of a net goes on from: a file as of its last epoch."""

import time
from pathlib import Path
from typing import Any

from handgrad import checkpoint, solver_checkpoint
from handgrad.arrays import Array
from handgrad.errors import CheckpointError
from handgrad.solver import Solver

_SHARE = 0.05  # of the time, for writing
_KEPT = "kept/"


class Checkpoint:
    """A Solver's checkpoint, the kept parameters with it, as of each epoch's end.

    Epochs of a small table are shorter than the writing of a file. So each is noted in memory and
    written where writing has taken no more than a twentieth of the time; `flush` writes the last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted: tuple[dict[str, Array], dict[str, Any]] | None = None
        self._next = 0.0

    def resume(self, solver: Solver) -> dict[str, Array]:
        """Put a solver where the file has it; give the kept parameters, none without a file.

        Raises
        ------
        CheckpointError
            Where the file is damaged, or of other settings, another model or other data.
        """
        if not self._path.exists():
            return {}
        arrays, _ = checkpoint.read(self._path)
        kept = {n.removeprefix(_KEPT): a for n, a in arrays.items() if n.startswith(_KEPT)}
        if not kept:
            raise CheckpointError(f"{self._path} lacks the best parameters; delete it")
        solver_checkpoint.resume(solver, self._path)
        return kept

    def note(self, solver: Solver, kept: dict[str, Array]) -> None:
        """Take what the file is to hold, and write it if that has not been done for a while."""
        arrays, header = solver_checkpoint.content(solver)
        copies = {name: array.copy() for name, array in arrays.items()}
        copies |= {f"{_KEPT}{name}": array for name, array in kept.items()}
        lists = {name: list(value) for name, value in header.items() if isinstance(value, list)}
        self._noted = (copies, {**header, **lists})
        if time.perf_counter() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Write what has been noted; OSError where that fails."""
        if self._noted is None:
            return
        started = time.perf_counter()
        checkpoint.write(self._path, *self._noted)
        self._noted = None
        ended = time.perf_counter()
        self._next = ended + (ended - started) / _SHARE

"""A forward and a backward in statements, run as a whole, from a statement on, or with a change."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.gradcheck.copies import copied, same
from handgrad.gradcheck.statements import Namespace, Program, StatementError

_OTHERS = ("torch", "jax", "jaxlib", "tensorflow", "cupy")


@dataclass(frozen=True)
class Version:
    """A name as one statement of the forward leaves it.

    Attributes
    ----------
    name : str
    statement : int
        Its number; -1: as it is given.
    first : bool
        Whether the forward binds it nowhere before.
    depth : float
        Where it stands in the forward; gradients are needed from the largest down.
    """

    name: str
    statement: int
    first: bool
    depth: float


@dataclass(frozen=True)
class Backward:
    """One run of the backward: what it leaves, the gradients after each statement, its end."""

    space: Namespace
    seen: list[Namespace]
    error: StatementError | None

    def reached(self, statement: int) -> bool:
        """Whether a statement was carried out."""
        return statement < len(self.seen)


class Chain:
    """A forward, a backward and their values.

    Parameters
    ----------
    forward, backward : Program
    values : mapping, what the forward starts from
    loss : str, the name of the number in which it ends
    named : str, how gradients are called

    Raises
    ------
    ValueError
        Where the forward does not run, or gives no number that is the same at every run.
    """

    def __init__(
        self,
        forward: Program,
        backward: Program,
        values: Mapping[str, Any],
        loss: str,
        named: str,
    ) -> None:
        if named.count("{}") != 1 or not named.replace("{}", "x").isidentifier():
            raise ValueError(
                f"first_wrong: named must be like 'd{{}}' or 'grad_{{}}'; got {named!r}"
            )
        self.forward, self.backward, self.loss, self.named = forward, backward, loss, named
        self.states: dict[int, Namespace] = {}  # after each statement; -1: before the first
        self.repaired: dict[str, Array] = {}  # gradients put right, set after their last statement
        self._changed: dict[int, set[str]] = {}  # what the statements after one change in place
        self._start(values)
        self.end = self.states[len(forward.statements) - 1]
        self._require_a_loss()

    def _start(self, values: Mapping[str, Any]) -> None:
        """Run the forward, and keep what each statement leaves."""
        wanted = self.forward.names | self.backward.names
        known = {"np": np, **self.forward.globals, **self.backward.globals, **values}
        space: Namespace = {
            name: self._given(name, value) for name, value in known.items() if name in wanted
        }
        self.states[-1] = {name: copied(value) for name, value in space.items()}

        def keep(number: int) -> None:
            last = self.states[number - 1]
            self.states[number] = {
                name: last[name] if name in last and same(value, last[name]) else copied(value)
                for name, value in space.items()
            }

        try:
            self.forward.run(space, after=keep)
        except StatementError as error:
            raise ValueError(f"first_wrong: {self._failed(error)}") from None

    def _given(self, name: str, value: Any) -> Any:
        """A value to start from: a copy, in float64 where it has, or should have, a gradient."""
        library = type(value).__module__.partition(".")[0]
        if library in _OTHERS:
            raise ValueError(
                f"first_wrong: {name} is {library}'s; give a NumPy array (np.asarray({name})) and "
                "write the statements in NumPy"
            )
        number = isinstance(value, int | float) and not isinstance(value, bool)
        judged = bool(self.backward.writers(self.named.format(name)))
        if isinstance(value, np.ndarray | np.generic) or (number and judged):
            array = np.array(value)
            if array.dtype.kind == "f" or (judged and array.dtype.kind in "biu"):
                return array.astype(np.float64)[()]
        return copied(value)

    def _failed(self, error: StatementError) -> str:
        text = f"{self.forward.statements[error.number].shown} (forward) raised {error.said}"
        if isinstance(error.error, NameError):
            return f"{text}; give it among the values"
        if "keepdim" in error.said or isinstance(error.error, AttributeError):
            return f"{text}; the statements must be NumPy's, as x.sum(axis=1, keepdims=True)"
        return text

    def _require_a_loss(self) -> None:
        if self.loss not in self.end:
            raise ValueError(
                f"first_wrong: the forward sets no {self.loss}; name its last number by loss='...'"
            )
        value = np.asarray(self.end[self.loss])
        if value.size != 1 or value.dtype.kind != "f" or not np.isfinite(value).all():
            got = f"an array of shape {value.shape}" if value.size != 1 else str(value)
            raise ValueError(f"first_wrong: {self.loss} must be one finite number; got {got}")
        if self.loss_after(-1) != float(value.item()):
            raise ValueError(
                "first_wrong: the loss is another at every run (random numbers?); draw them before "
                "and give them among the values"
            )

    # -- the forward from a statement on ---------------------------------------------------------

    def rerun(self, statement: int, name: str = "", value: Any = None) -> Namespace:
        """Run the forward after a statement, one name with another value."""
        state = self.states[statement]
        if statement not in self._changed:
            copies = {key: copied(item) for key, item in state.items()}
            self.forward.run_tail(dict(copies), statement + 1)
            self._changed[statement] = {k for k, item in copies.items() if not same(item, state[k])}
        changed = self._changed[statement]
        space = {key: copied(item) if key in changed else item for key, item in state.items()}
        if name:
            space[name] = (copied(value) if name in changed else value)[()]
        with np.errstate(all="ignore"):
            self.forward.run_tail(space, statement + 1)
        return space

    def loss_after(self, statement: int, name: str = "", value: Any = None) -> float:
        """The loss that ``rerun`` comes to."""
        return float(np.asarray(self.rerun(statement, name, value)[self.loss]).item())

    # -- the backward ----------------------------------------------------------------------------

    def run_backward(
        self, start: Namespace | None = None, instead: Mapping[int, CodeType] | None = None
    ) -> Backward:
        """Run the backward on what a forward left, perhaps with other code for some statements."""
        given = self.end if start is None else start
        space = {key: copied(item) for key, item in given.items()}
        seen: list[Namespace] = []
        ends = {self.backward.writers(name)[-1]: name for name in self.repaired}

        def keep(number: int) -> None:
            if number in ends:
                space[ends[number]] = self.repaired[ends[number]].copy()[()]
            seen.append({name: copied(space[name]) for name in self.gradients if name in space})

        try:
            with np.errstate(all="ignore"):
                self.backward.run(space, after=keep, instead=instead)
        except StatementError as error:
            return Backward(space, seen, error)
        return Backward(space, seen, None)

    @functools.cached_property
    def gradients(self) -> dict[str, str]:
        """Each gradient that the backward sets, to the name of what it is the gradient of."""
        return {
            self.named.format(name): name
            for name, value in self.end.items()
            if isinstance(value, np.ndarray | np.floating | float)
            and np.asarray(value).dtype.kind == "f"
            and self.backward.writers(self.named.format(name))
        }

    def versions(self) -> list[Version]:
        """What has a gradient in the backward, from the loss on."""
        found = []
        for name in self.gradients.values():
            places, reads = self.forward.writers(name), self.forward.readers(name)
            if name in self.states[-1] and (not places or (reads[:1] and reads[0] <= places[0])):
                places = [-1, *places]
            for place in places:
                depth = min(reads, default=0) - 0.5 if place == -1 else float(place)
                found.append(Version(name, place, place == places[0], depth))
        return sorted(found, key=lambda version: -version.depth)

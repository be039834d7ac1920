"""What a check of a chain found: facts, and the words for them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WrongGradient:
    """A gradient that is wrong by its own statements, all before it in the chain being right.

    Attributes
    ----------
    name, of : str
        The gradient, 'dh', and what it is the gradient of, 'h'.
    statements : tuple of str
        Its own statements of the backward, 'line 3: dh = ...'.
    shape, expected_shape : tuple of int
        Of the gradient, and of what it is the gradient of.
    index : tuple of int
        Of the entry that is most off; () where the shape is wrong or there is no number.
    received, expected : float, optional
        There; ``expected`` by central differences.
    off, entries : int
        How many of the entries that were looked at are wrong.
    said : str
        What happened where no two numbers say it: an exception, a value that is no array.
    cause : str
        The likely cause, only where the numbers bear it out; '' where none is known.
    """

    name: str
    of: str
    statements: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    expected_shape: tuple[int, ...] = ()
    index: tuple[int, ...] = ()
    received: float | None = None
    expected: float | None = None
    off: int = 0
    entries: int = 0
    said: str = ""
    cause: str = ""

    def __str__(self) -> str:
        """The gradient, what is wrong with it, its statements and the likely cause."""
        lines = [f"{self.name} is wrong: {self._observed()}."]
        lines += [f"  {text}" for text in self.statements]
        if self.cause:
            lines.append(f"  Likely cause: {self.cause}.")
        return "\n".join(lines)

    def _observed(self) -> str:
        if self.said:
            return self.said
        if self.shape != self.expected_shape:
            return f"it has shape {self.shape}, but {self.of} has {self.expected_shape}"
        numbers = f"received {self.received:.9g}, expected {self.expected:.9g}"
        if not self.expected_shape:
            return numbers
        place = self.index[0] if len(self.index) == 1 else self.index
        return f"{self.off} of {self.entries} entries are off, most at index {place}: {numbers}"


@dataclass(frozen=True)
class ChainCheck:
    """What ``first_wrong`` found; true in an ``if`` where something is wrong.

    Attributes
    ----------
    wrong : tuple of WrongGradient
        The first wrong gradient, in the order of the chain rule; after it those that are wrong of
        themselves, too: that stay wrong when the ones before them are put right.
    right : tuple of str
        The gradients that are right, or would be with those before them put right.
    stopped : str
        The exception that ended the backward, and its statement; '' where it ran to its end.
    not_judged : tuple of str
        Gradients that the backward does not get to, or for which the forward has no value.
    """

    wrong: tuple[WrongGradient, ...]
    right: tuple[str, ...]
    stopped: str = ""
    not_judged: tuple[str, ...] = ()

    @property
    def first(self) -> WrongGradient | None:
        """The first wrong gradient; None where all are right."""
        return self.wrong[0] if self.wrong else None

    def __bool__(self) -> bool:
        """Whether something is wrong."""
        return bool(self.wrong or self.stopped)

    def __str__(self) -> str:
        """A report to read: the first mistake in full, the others by name."""
        parts = []
        if self.wrong:
            parts.append(str(self.wrong[0]))
        if self.stopped:
            parts.append(f"The backward ends at {self.stopped}")
        more = [finding.name for finding in self.wrong[1:]]
        if more:
            parts.append(f"Wrong of themselves, too: {', '.join(more)}.")
        if self.right:
            also = " with the wrong ones put right" if self.wrong else ""
            parts.append(f"Right{also}: {', '.join(self.right)}.")
        if self.not_judged:
            parts.append(f"Not judged: {', '.join(self.not_judged)}.")
        return "\n".join(parts)

    __repr__ = __str__

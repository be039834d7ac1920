"""What a submission is held to: a course, and what of it ``--convention`` changes."""

from dataclasses import dataclass

from handgrad.check.courses import ASSIGNMENT, Course, load, presets
from handgrad.errors import SubmissionError


@dataclass(frozen=True)
class Convention:
    """A course under some of its switches.

    Attributes
    ----------
    course : Course
    name : str
        As given on the command line.
    flags : frozenset of str
        What holds: those that our own cases ask for are the properties below.
    """

    course: Course
    name: str
    flags: frozenset[str]

    @property
    def inverted(self) -> bool:
        """Dropout divides by the probability to keep in training and leaves testing alone."""
        return "inverted" in self.flags

    @property
    def drop(self) -> bool:
        """P is the probability to drop a unit, not to keep it."""
        return "drop" in self.flags

    @property
    def flipped(self) -> bool:
        """The layer flips its filters (a convolution), instead of sliding them as they are."""
        return "flipped" in self.flags

    @property
    def conv_bias(self) -> bool:
        """``conv_forward(x, w, b, conv_param)`` and gradients (dx, dw, db)."""
        return "conv_bias" in self.flags

    @property
    def multiclass_svm(self) -> bool:
        """``svm_loss`` takes scores (N, C): the sum over wrong classes of max(0, 1 + s_j - s_y)."""
        return "multiclass_svm" in self.flags

    @property
    def course_stream(self) -> bool:
        """Dropout's mask is ``rand(*x.shape) < p``; a seed leaves the global generator alone."""
        return "course_stream" in self.flags

    @property
    def models(self) -> bool:
        """The course has the assignment's classes and its binary losses."""
        return "models" in self.flags

    def keep(self, p: float) -> float:
        """The probability that a unit is kept, for this p."""
        return 1 - p if self.drop else p


def parse(text: str = "", course: str = "") -> Convention:
    """Read a convention: a course's name, switches, or both, joined by commas.

    Parameters
    ----------
    text : str
        '' is what the course says.
    course : str
        A course that ships, or a folder (``courses.load``); '' is the one that ``text`` begins
        with, or the assignment.

    Raises
    ------
    SubmissionError
        For a word that is neither, or a name of another course.
    CourseError
        For a course that cannot be read.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    known = presets()
    held = load(course or (known.get(words[0], ASSIGNMENT) if words else ASSIGNMENT))
    switches = words[1:] if words and words[0] == held.preset else words
    flags = held.flags
    for word in switches:
        if word in known:
            raise SubmissionError(f"the convention {word} is another course's than {held.preset}")
        if word not in held.switches:
            choices = ", ".join([*dict.fromkeys([held.preset, *known]), *held.switches])
            raise SubmissionError(f"there is no convention {word!r}; choose from {choices}")
        flags = (flags | set(held.switches[word].on)) - set(held.switches[word].off)
    named = words if held.place == ASSIGNMENT else [held.preset, *switches]
    return Convention(held, ",".join(named) or held.preset, flags)


def other_course(cause: str | None, held: Convention) -> str:
    """Give the convention under which a cause is no mistake; '' where it is one everywhere."""
    for name, switch in held.course.switches.items():
        if cause and switch.explains == cause:
            if held.flags >= set(switch.on) and not held.flags & set(switch.off):
                return ""
            return name if held.name == "handgrad" else f"{held.name},{name}"
    return ""

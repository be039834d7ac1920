"""In what courses honestly differ: names, what dropout's p means, whether a filter is flipped."""

from dataclasses import dataclass, replace

from handgrad.errors import SubmissionError


@dataclass(frozen=True)
class Convention:
    """What a submission is held to.

    Attributes
    ----------
    name : str
        As given on the command line.
    inverted : bool
        Dropout divides by the probability to keep in training and leaves testing alone.
    drop : bool
        p is the probability to drop a unit, not to keep it.
    flipped : bool
        The layer flips its filters (a convolution), instead of sliding them as they are.
    conv_bias : bool
        ``conv_forward(x, w, b, conv_param)`` and gradients (dx, dw, db).
    multiclass_svm : bool
        ``svm_loss`` takes scores (N, C): the sum over wrong classes of max(0, 1 + s_j - s_y).
    course_stream : bool
        Dropout's mask is ``rand(*x.shape) < p``, and a seed leaves the global generator alone.
    models : bool
        The course has this assignment's classes and its binary losses.
    """

    name: str = "handgrad"
    inverted: bool = False
    drop: bool = False
    flipped: bool = False
    conv_bias: bool = False
    multiclass_svm: bool = False
    course_stream: bool = True
    models: bool = True

    def keep(self, p: float) -> float:
        """The probability that a unit is kept, for this p."""
        return 1 - p if self.drop else p


_HANDGRAD = Convention()
PRESETS: dict[str, Convention] = {
    "handgrad": _HANDGRAD,
    "cs231n": Convention(
        "cs231n",
        inverted=True,
        conv_bias=True,
        multiclass_svm=True,
        course_stream=False,
        models=False,
    ),
}
SWITCHES: dict[str, dict[str, bool]] = {
    "inverted-dropout": {"inverted": True},
    "unscaled-dropout": {"inverted": False},
    "drop": {"drop": True, "course_stream": False},
    "flipped-convolution": {"flipped": True},
}

# A cause that is no mistake elsewhere: the switch under which it is right.
SWITCH_OF_CAUSE = {
    "inverted-scaling": "inverted-dropout",
    "keep-drop-swapped": "drop",
    "kernel-flipped": "flipped-convolution",
}

ALIASES: dict[str, list[str]] = {
    "fc_forward": ["fc_forward", "affine_forward"],
    "fc_backward": ["fc_backward", "affine_backward"],
    "batchnorm_backward": ["batchnorm_backward", "batchnorm_backward_alt"],
    "conv_forward": ["conv_forward", "conv_forward_naive", "conv_forward_fast"],
    "conv_backward": ["conv_backward", "conv_backward_naive", "conv_backward_fast"],
    "max_pool_forward": ["max_pool_forward", "max_pool_forward_naive", "max_pool_forward_fast"],
    "max_pool_backward": ["max_pool_backward", "max_pool_backward_naive", "max_pool_backward_fast"],
    "LogisticClassifier": ["LogisticClassifier", "LogisticRegression"],
}


def parse(text: str) -> Convention:
    """Read a convention: a preset, switches, or both, joined by commas.

    Raises
    ------
    SubmissionError
        For a word that is neither.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    convention = PRESETS[words[0]] if words and words[0] in PRESETS else _HANDGRAD
    rest = words[1:] if words and words[0] in PRESETS else words
    for word in rest:
        if word not in SWITCHES:
            known = ", ".join([*PRESETS, *SWITCHES])
            raise SubmissionError(f"there is no convention {word!r}; choose from {known}")
        convention = replace(convention, **SWITCHES[word])  # type: ignore[arg-type]
    return replace(convention, name=",".join(words) or "handgrad")


def other_course(cause: str | None, held: Convention) -> str:
    """Give the convention under which a cause is no mistake; '' where it is one everywhere."""
    switch = SWITCH_OF_CAUSE.get(cause or "")
    if switch is None or all(getattr(held, key) == on for key, on in SWITCHES[switch].items()):
        return ""
    return switch if held.name == "handgrad" else f"{held.name},{switch}"

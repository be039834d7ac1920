"""Names that courses' sites and browsers give to files: whose it is, and which module it is."""

import re
from dataclasses import dataclass

UNITS = ("layers", "optim", "logistic", "svm", "softmax", "cnn", "solver")
OTHER_NAMES = {"layers": ("conv_layers",), "cnn": ("convnet",)}
SKIPPED = frozenset({"__pycache__", "__MACOSX", "node_modules", "site-packages", "venv", "env"})
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

FUNCTIONS = {
    "layers": frozenset({
        "fc_forward", "fc_backward", "affine_forward", "affine_backward", "relu_forward",
        "relu_backward", "dropout_forward", "dropout_backward", "batchnorm_forward",
        "batchnorm_backward", "batchnorm_backward_alt", "spatial_batchnorm_forward",
        "spatial_batchnorm_backward", "conv_forward", "conv_backward", "conv_forward_naive",
        "conv_backward_naive", "conv_forward_fast", "conv_backward_fast", "max_pool_forward",
        "max_pool_backward", "max_pool_forward_naive", "max_pool_backward_naive",
        "max_pool_forward_fast", "max_pool_backward_fast", "filter_valid", "convolve_full",
        "logistic_loss", "svm_loss", "softmax_loss",
    }),
    "optim": frozenset({"sgd", "sgd_momentum", "rmsprop", "adam"}),
    "logistic": frozenset({"LogisticClassifier", "LogisticRegression"}),
    "svm": frozenset({"SVM"}),
    "softmax": frozenset({"SoftmaxClassifier"}),
    "cnn": frozenset({"ConvNet"}),
    "solver": frozenset({"Solver"}),
}  # fmt: skip
"""What each module of the assignment holds, under every name that is accepted."""

_UNIT_OF = {name: unit for unit in UNITS for name in (unit, *OTHER_NAMES.get(unit, ()))}
# 'smithjohn_late_12_345_' before, '-2', ' (1)', ' - Copy', '_v2' after.
_DECORATED = re.compile(
    rf"(?P<before>(?:.*[\W_])?)(?P<name>{'|'.join(sorted(_UNIT_OF, key=len, reverse=True))})"
    r"(?P<after>(?:[ _-]+(?:copy|final|late))*(?:[ _-]*\(?v?\d+\)?)?)",
    re.IGNORECASE,
)
_NOT_SUBMITTED = re.compile(r"(?:^|[\W_])(?:tests?|fast|check|grade)[\W_]$", re.IGNORECASE)
_LATE_AND_NUMBERS = re.compile(r"(?:_late)?(?P<who>_\d+)_\d+_?$", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """What a file's name says.

    Attributes
    ----------
    unit : str
        The module of the course.
    owner : str
        What stands before it, without what differs between one person's files; '' for none.
    plain : bool
        Whether it is the module's name and nothing else.
    """

    unit: str
    owner: str
    plain: bool


def named(stem: str) -> Named | None:
    """Read the name of a file, without its suffix; None where it names no module of the course.

    >>> named("smithjohn_LATE_12_345_layers-2")
    Named(unit='layers', owner='smithjohn_12', plain=False)
    >>> named("layers (1)").unit, named("Copy of optim").unit, named("test_layers")
    ('layers', 'optim', None)
    """
    if stem in _UNIT_OF:
        return Named(_UNIT_OF[stem], "", plain=True)
    found = _DECORATED.fullmatch(stem)
    if found is None or _NOT_SUBMITTED.search(found["before"]):
        return None
    owner = _LATE_AND_NUMBERS.sub(lambda numbers: numbers["who"], found["before"])
    return Named(_UNIT_OF[found["name"].lower()], owner.strip(" _-"), plain=False)


def is_hidden(part: str) -> bool:
    """Whether a folder or file is none of the author's: hidden, a cache, what macOS adds."""
    return part.startswith(".") or part in SKIPPED


def unit_of_module(dotted: str) -> str | None:
    """The module of the course that an import names: 'layers' of 'cs231n.layers'."""
    return _UNIT_OF.get(dotted.rpartition(".")[2])


def archive_suffix(name: str) -> str:
    """The suffix by which a file is an archive that can be opened; '' where it is none."""
    return next(
        (s for s in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(s)), ""
    )

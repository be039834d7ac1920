"""All right submissions that are written differently."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from check_corpus.mutants import write_plain

PARTS = Path(__file__).parent / "alternatives"


@dataclass(frozen=True)
class Alternative:
    """A right submission in another style.

    Attributes
    ----------
    name, style : str
        ``style`` is for the reader of the tables.
    groups : tuple of str
        What it changes, for ``only``.
    added : mapping
        A file of the plain submission to the part that is appended to it: later definitions replace
        earlier ones.
    replaced : mapping
        A file of the plain submission to the part that stands in its place.
    convention : str
    alone : bool
        The submission is layers.py alone, not a folder.
    """

    name: str
    style: str
    groups: tuple[str, ...]
    added: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    convention: str = "handgrad"
    alone: bool = False

    def build(self, folder: Path) -> Path:
        """Write the submission into ``folder``, which must not exist, and give its path."""
        write_plain(folder)
        for file, part in self.added.items():
            path = folder / file
            path.write_text(path.read_text() + "\n\n" + (PARTS / part).read_text())
        for file, part in self.replaced.items():
            (folder / file).write_text((PARTS / part).read_text())
        return folder / "layers.py" if self.alone else folder


def _layers(
    name: str, style: str, *groups: str, convention: str = "handgrad", alone: bool = False
) -> Alternative:
    added = {"layers.py": f"{name}.py"}
    return Alternative(name, style, groups, added, convention=convention, alone=alone)


ALTERNATIVES = [
    _layers("dense_loops", "fully connected in loops, ReLU by assignment", "fc", "relu"),
    _layers(
        "dense_einsum", "einsum, np.where, namespaces as caches", "fc", "relu", "dropout",
    ),
    _layers(
        "layers_classes", "functions that delegate to classes; the object is the cache",
        "fc", "relu", "dropout", "pool",
    ),
    _layers("batchnorm_staged", "backward through each step of the forward; a dict as cache",
            "batchnorm"),
    _layers("batchnorm_compact", "backward in one line, with N times dout", "batchnorm"),
    _layers("batchnorm_jacobian", "backward by each feature's Jacobian in full", "batchnorm"),
    _layers("spatial_axes", "spatial batch norm over the axes (0, 2, 3) itself", "batchnorm"),
    _layers("conv_loops", "convolution in four loops", "conv"),
    _layers("conv_einsum", "convolution by einsum of windows", "conv"),
    _layers("conv_im2col", "im2col with index arrays, np.add.at", "conv", alone=True),
    _layers("conv_fft", "convolution by FFT", "conv"),
    _layers("conv_taps", "a sum over the filter's taps; gradients are convolutions", "conv"),
    _layers("conv_options", "stride, padding and a bias as extras", "conv"),
    _layers(
        "conv_flipped", "filters are flipped", "conv", convention="flipped-convolution", alone=True,
    ),
    _layers("pool_loops", "pooling in four loops", "pool"),
    _layers("pool_reshape", "pooling by reshape where windows tile, else maxima of slices", "pool"),
    _layers("pool_windows", "pooling by strided windows and argmax", "pool"),
    _layers("losses_loops", "losses in loops over Python floats", "losses"),
    _layers("losses_where", "losses in stable pieces, one-hot; the loss is a float", "losses"),
    _layers(
        "in_float64", "computes in float64, answers in the input's dtype",
        "fc", "relu", "batchnorm", "conv", "losses",
    ),
    _layers(
        "dropout_inverted", "inverted dropout", "dropout", convention="inverted-dropout",
        alone=True,
    ),
    _layers(
        "dropout_drop", "p is the probability to drop", "dropout", convention="drop", alone=True
    ),
    Alternative(
        "optim_in_place", "rules that step in place and fill in the given config",
        ("optim", "solver"), {"optim.py": "optim_in_place.py"},
    ),
    Alternative(
        "models_columns", "scores as columns (N, 1) up to the loss", ("models",),
        replaced={"logistic.py": "models_columns.py"},
    ),
    Alternative(
        "models_generic", "any number of layers in a loop", ("models",),
        replaced={"softmax.py": "models_generic.py"},
    ),
    Alternative(
        "solver_iterations", "counts iterations, its own random generator", ("solver",),
        replaced={"solver.py": "solver_iterations.py"},
    ),
    Alternative(
        "cs231n_layers", "affine, inverted dropout, filters with bias, multiclass SVM",
        ("fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses"),
        replaced={"layers.py": "cs231n_layers.py"}, convention="cs231n", alone=True,
    ),
    _layers("dense_lists", "lists for results and caches", "fc", "relu"),
    _layers("layers_static", "names of static methods", "fc", "relu"),
    _layers(
        "always_float64", "computes and answers in float64, whatever it is given",
        "fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses",
    ),
    _layers("losses_signs", "labels -1 and 1 alone", "losses", "models"),
    _layers("losses_bits", "labels 0 and 1 alone", "losses", "models"),
    _layers("losses_equal", "labels are compared with ==", "losses"),
    _layers(
        "dropout_seeded", "seeds NumPy itself; no gradient after a test-mode forward", "dropout"
    ),
    _layers(
        "batchnorm_training", "a gradient for training alone; channels one by one", "batchnorm"
    ),
    _layers("conv_padded", "both gradients are slides, over np.pad and turned filters", "conv"),
    _layers("conv_matrices", "built from the assignment's *filt and *full", "conv"),
    _layers("conv_columns", "im2col filled window by window", "conv"),
    _layers("pool_masks", "a running maximum over taps, a mask of who is paid", "pool"),
    _layers("pool_columns", "argmax over columns of flat indices", "pool"),
    Alternative(
        "optim_fresh", "a new config at each step, its state in float64", ("optim", "solver"),
        {"optim.py": "optim_fresh.py"},
    ),
    Alternative(
        "models_signs", "the SVM in one piece, labels -1 and 1", ("models",),
        replaced={"svm.py": "models_signs.py"},
    ),
    Alternative(
        "solver_batches", "batches from a generator; labels 0 and 1", ("solver",),
        replaced={"solver.py": "solver_batches.py"},
    ),
    Alternative(
        "as_asked", "all layers in loops: what the text asks and no more",
        ("fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses", "models", "solver"),
        replaced={"layers.py": "as_asked.py"},
    ),
]  # fmt: skip

"""HandgradImageClassifier: a convolutional network on images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from handgrad import optim
from handgrad.architectures import convnet
from handgrad.arrays import Array
from handgrad.estimators import inputs, settings
from handgrad.estimators.classifying import Classifier
from handgrad.estimators.scikit import sklearn_part
from handgrad.network import Layer
from handgrad.solver_inputs import ClassWeight

_FEW = 4  # channels at most, where an axis at the end may be theirs: greyscale, colour, with alpha


class HandgradImageClassifier(Classifier):
    """A convolutional network that tells classes of images apart, with scikit-learn's interface.

    Parameters
    ----------
    filters : sequence of int, default (16, 32)
        A block for each: convolution, activation, 2 x 2 max pool.
    kernel_size : int, default 3
        Height and width of the filters.
    hidden_layer_sizes : int or sequence of int, default (64,)
        Units of the dense layers behind the blocks.
    input_shape : tuple of int, optional
        The shape of one image as X has it: (H, W), (C, H, W) or (H, W, C). The channels are the
        last axis where that has at most 4 entries and the first more, else the first. X may then
        also be rows of as many numbers. By default it is read off X: X of shape (n, H, W) is grey;
        (n, C, H, W) and (n, H, W, C) are told apart by the same rule; a row of D numbers is a
        square image where D is a square, else one of a single line.
    standardize : bool, default True
        Bring each channel to mean 0 and deviation 1.
    max_iter : int or 'auto', default 30
    activation, dropout, ... : as `HandgradClassifier` takes them
        Dropout is behind the dense layers.

    Attributes
    ----------
    input_shape_ : tuple of int
        Of one image as the network takes it, (C, H, W).
    n_features_in_ : int
        Numbers of one image.
    classes_, loss_curve_, network_, ... : as `HandgradClassifier` has them
    """

    filters: Sequence[int]
    kernel_size: int
    input_shape: tuple[int, ...] | None
    input_shape_: tuple[int, int, int]
    _given_shape: tuple[int, ...]

    def __init__(
        self,
        filters: Sequence[int] = (16, 32),
        *,
        kernel_size: int = 3,
        hidden_layer_sizes: int | Sequence[int] = (64,),
        input_shape: tuple[int, ...] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        alpha: float | Literal["auto"] = "auto",
        solver: str = "adam",
        learning_rate_init: float = 2e-3,
        solver_options: Mapping[str, float] | None = None,
        schedule: str | optim.Schedule = "cosine",
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int | Literal["auto"] = 30,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = 10,
        tol: float = 1e-4,
        class_weight: ClassWeight = None,
        label_smoothing: float = 0.0,
        max_norm: float | None = None,
        averaging: float | None = None,
        standardize: bool = True,
        warm_start: bool = False,
        dtype: str = "float32",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self._keep(locals())

    def _layers(self, shape: tuple[int, ...], outputs: int) -> list[Layer]:
        return convnet(
            shape, outputs, filters=tuple(self.filters), kernel_size=self.kernel_size,
            hidden_layer_sizes=settings.sizes(self), activation=self.activation,
            dropout=self.dropout, batch_norm=self.batch_norm,
        )  # fmt: skip

    def _read(self, X: Any, *, reset: bool) -> Array:
        """Give X as (n, C, H, W)."""
        name = type(self).__name__
        dimensions = X.ndim if isinstance(X, np.ndarray) else np.ndim(X) if _nested(X) else 2
        if dimensions in (3, 4):
            X = self._images(X)
            if reset:
                self._given_shape = _require_shape(name, self.input_shape) or X.shape[1:]
                self.n_features_in_ = math.prod(self._given_shape)
                vars(self).pop("feature_names_in_", None)
            if X.shape[1:] != self._given_shape:
                raise ValueError(
                    f"{name}: each image must have the shape {self._given_shape}; got X of shape "
                    f"{X.shape}"
                )
        else:
            X = inputs.table(self, X, reset=reset)
            if reset:
                self._given_shape = _require_shape(name, self.input_shape) or _of_row(X.shape[1])
                if math.prod(self._given_shape) != X.shape[1]:
                    raise ValueError(
                        f"{name}: an image of input_shape {self._given_shape} has "
                        f"{math.prod(self._given_shape)} numbers; X has rows of {X.shape[1]}"
                    )
        X = X.reshape(len(X), *self._given_shape)
        if X.ndim == 3:
            X = X[:, np.newaxis]
        elif _channels_last(self._given_shape):
            X = np.moveaxis(X, -1, 1)
        if reset:
            _, C, H, W = X.shape
            self.input_shape_ = (C, H, W)
        return np.ascontiguousarray(X)

    @property
    def layout(self) -> tuple[tuple[int, ...], str]:
        """The shape of an image as X has it, and how it lies there: 'HW', 'HWC' or 'same' (CHW)."""
        if len(self._given_shape) == 2:
            return self._given_shape, "HW"
        return self._given_shape, "HWC" if _channels_last(self._given_shape) else "same"

    def _images(self, X: Any) -> Array:
        """Give images as an array of finite numbers; scikit-learn's checks say what is wrong."""
        if type(X) is np.ndarray and X.dtype.kind in "biu" and X.size:
            return X
        if type(X) is np.ndarray and X.dtype.kind == "f" and X.size and np.isfinite(X).all():
            return X
        check = sklearn_part("utils.validation").check_array
        return np.asarray(check(X, allow_nd=True, estimator=self, input_name="X"))

    def __sklearn_tags__(self) -> Any:
        """As the others', and images."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _nested(X: object) -> bool:
    """Whether X is a list of lists, whose depth NumPy can tell."""
    return isinstance(X, list | tuple)


def _channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] <= _FEW < shape[0]


def _of_row(count: int) -> tuple[int, int]:
    side = math.isqrt(count)
    return (side, side) if side * side == count else (1, count)


def _require_shape(name: str, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Refuse an input_shape that is none of an image."""
    if shape is None:
        return None
    given = tuple(shape)
    whole = all(isinstance(n, int | np.integer) and n > 0 for n in given)
    if len(given) not in (2, 3) or not whole:
        raise ValueError(
            f"{name}: input_shape must be (H, W), (C, H, W) or (H, W, C); got {shape!r}"
        )
    return tuple(int(n) for n in given)

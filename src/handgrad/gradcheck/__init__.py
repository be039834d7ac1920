"""Is a gradient right? Backward passes, losses, models and hand-written chains against differences.

``check_gradients`` judges a forward/backward pair, ``check_loss`` a loss, ``check_model`` a whole
model (``passes``); ``first_wrong`` a chain of plain statements without functions (``chain``).
"""

from handgrad.gradcheck.chain import first_wrong
from handgrad.gradcheck.findings import ChainCheck, WrongGradient
from handgrad.gradcheck.passes import (
    GradientMismatchError,
    Model,
    check_gradients,
    check_loss,
    check_model,
    numeric_gradient,
)

__all__ = [
    "ChainCheck",
    "GradientMismatchError",
    "Model",
    "WrongGradient",
    "check_gradients",
    "check_loss",
    "check_model",
    "first_wrong",
    "numeric_gradient",
]

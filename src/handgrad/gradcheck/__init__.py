"""Is a gradient right? Backward passes, losses, models and hand-written chains against differences.

``check_gradients`` judges a forward/backward pair and ``check_loss`` a loss (``passes``),
``check_model`` a whole model (``models``), ``first_wrong`` a chain of plain statements without
functions (``chain``).
"""

from handgrad.gradcheck.chain import first_wrong
from handgrad.gradcheck.findings import ChainCheck, WrongGradient
from handgrad.gradcheck.judging import GradientMismatchError
from handgrad.gradcheck.models import Model, check_model
from handgrad.gradcheck.passes import check_gradients, check_loss, numeric_gradient

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

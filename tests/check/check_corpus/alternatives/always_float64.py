import functools

import numpy as np


def _in_double(function):
    """Everything becomes float64 and stays so."""

    @functools.wraps(function)
    def double(*given):
        return function(*(
            np.asarray(one, dtype=np.float64)
            if isinstance(one, np.ndarray) and one.dtype == np.float32 else one
            for one in given
        ))  # fmt: skip

    return double


for _name in (
    "fc_forward", "fc_backward", "relu_forward", "relu_backward", "dropout_forward",
    "dropout_backward", "batchnorm_forward", "batchnorm_backward", "spatial_batchnorm_forward",
    "spatial_batchnorm_backward", "conv_forward", "conv_backward", "max_pool_forward",
    "max_pool_backward", "logistic_loss", "svm_loss", "softmax_loss",
):  # fmt: skip
    globals()[_name] = _in_double(globals()[_name])

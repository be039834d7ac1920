"""The maths: every layer as a forward and a backward function on arrays, and the losses.

Letters: N examples, D features in, M features out, C channels or classes, F filters,
H x W image, HH x WW filter or pooling window, OH x OW output.

A forward returns ``(out, cache)``; its backward takes ``(dout, cache)``, where dout = dL/dout is
the gradient of some scalar L, and returns dL/d(each input), in the inputs' order. A loss returns
``(loss, dx)``. float32 in gives float32 out, float64 in gives float64 out; anything else that
NumPy can turn into numbers is computed in float64. No function modifies an argument, but for
``batchnorm_forward``, which writes the running statistics into ``bn_param``. A wrong shape or
parameter is a ValueError that states the rule and what was received.

Each backward's docstring states its derivative in the code's own symbols; handgrad.theory
proves it.
"""

from handgrad.layers.activations import (
    gelu_backward,
    gelu_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    silu_backward,
    silu_forward,
    tanh_backward,
    tanh_forward,
)
from handgrad.layers.convolution import (
    channel_bias_backward,
    channel_bias_forward,
    conv_backward,
    conv_forward,
    convolve_full,
    filter_valid,
)
from handgrad.layers.dense import (
    dropout_backward,
    dropout_forward,
    fc_backward,
    fc_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
)
from handgrad.layers.layer_norm import layernorm_backward, layernorm_forward
from handgrad.layers.losses import logistic_loss, multilabel_loss, softmax_loss, svm_loss
from handgrad.layers.normalisation import (
    batchnorm_backward,
    batchnorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)
from handgrad.layers.pooling import (
    avg_pool_backward,
    avg_pool_forward,
    global_avg_pool_backward,
    global_avg_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
from handgrad.layers.regression_losses import huber_loss, mae_loss, mse_loss

__all__ = [
    "avg_pool_backward",
    "avg_pool_forward",
    "batchnorm_backward",
    "batchnorm_forward",
    "channel_bias_backward",
    "channel_bias_forward",
    "conv_backward",
    "conv_forward",
    "convolve_full",
    "dropout_backward",
    "dropout_forward",
    "fc_backward",
    "fc_forward",
    "filter_valid",
    "gelu_backward",
    "gelu_forward",
    "global_avg_pool_backward",
    "global_avg_pool_forward",
    "huber_loss",
    "layernorm_backward",
    "layernorm_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "logistic_loss",
    "mae_loss",
    "max_pool_backward",
    "max_pool_forward",
    "mse_loss",
    "multilabel_loss",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "softmax_loss",
    "spatial_batchnorm_backward",
    "spatial_batchnorm_forward",
    "svm_loss",
    "tanh_backward",
    "tanh_forward",
]

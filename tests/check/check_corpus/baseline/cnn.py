"""conv - relu - pool - fc - relu - fc - softmax, with batch norm and dropout if wanted."""

import numpy as np
from layers import (
    batchnorm_backward,
    batchnorm_forward,
    conv_backward,
    conv_forward,
    dropout_backward,
    dropout_forward,
    fc_backward,
    fc_forward,
    max_pool_backward,
    max_pool_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)


class ConvNet:
    """batchnorm names the places: "conv", "dense"; dropout keeps a unit with that probability."""

    def __init__(
        self,
        input_dim=(1, 28, 28),
        num_filters=32,
        filter_size=7,
        hidden_dim=100,
        num_classes=10,
        weight_scale=1e-3,
        reg=0.0,
        dtype=np.float32,
        batchnorm=(),
        dropout=None,
    ):
        self.reg, self.dtype, self.batchnorm, self.dropout = reg, dtype, batchnorm, dropout
        C, H, W = input_dim
        OH, OW = (H - filter_size + 1) // 2, (W - filter_size + 1) // 2
        shapes = {
            "W1": (num_filters, C, filter_size, filter_size),
            "W2": (num_filters * OH * OW, hidden_dim),
            "W3": (hidden_dim, num_classes),
        }
        self.params = {name: weight_scale * np.random.randn(*s) for name, s in shapes.items()}
        self.params["b2"] = np.zeros(hidden_dim)
        self.params["b3"] = np.zeros(num_classes)
        self.state = {}  # the running statistics
        for i, place, size in ((1, "conv", num_filters), (2, "dense", hidden_dim)):
            if place in batchnorm:
                self.params[f"gamma{i}"] = np.ones(size)
                self.params[f"beta{i}"] = np.zeros(size)
                self.state[f"running_mean{i}"] = np.zeros(size, dtype=dtype)
                self.state[f"running_var{i}"] = np.zeros(size, dtype=dtype)
        self.params = {name: array.astype(dtype) for name, array in self.params.items()}

    def normalise(self, forward, x, i, mode):
        """Batch norm number i, its running statistics from and to self.state."""
        param = {
            "mode": mode,
            "running_mean": self.state[f"running_mean{i}"],
            "running_var": self.state[f"running_var{i}"],
        }
        out, cache = forward(x, self.params[f"gamma{i}"], self.params[f"beta{i}"], param)
        if mode == "train":
            self.state[f"running_mean{i}"] = param["running_mean"]
            self.state[f"running_var{i}"] = param["running_var"]
        return out, cache

    def loss(self, X, y=None):
        p = self.params
        mode = "test" if y is None else "train"
        out = X.astype(self.dtype)
        out, conv_cache = conv_forward(out, p["W1"])
        if "conv" in self.batchnorm:
            out, norm1_cache = self.normalise(spatial_batchnorm_forward, out, 1, mode)
        out, relu1_cache = relu_forward(out)
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
        out, pool_cache = max_pool_forward(out, pool_param)
        out, fc2_cache = fc_forward(out, p["W2"], p["b2"])
        if "dense" in self.batchnorm:
            out, norm2_cache = self.normalise(batchnorm_forward, out, 2, mode)
        out, relu2_cache = relu_forward(out)
        if self.dropout is not None:
            out, drop_cache = dropout_forward(out, {"p": self.dropout, "mode": mode})
        scores, fc3_cache = fc_forward(out, p["W3"], p["b3"])
        if y is None:
            return scores

        grads = {}
        loss, dx = softmax_loss(scores, y)
        dx, grads["W3"], grads["b3"] = fc_backward(dx, fc3_cache)
        if self.dropout is not None:
            dx = dropout_backward(dx, drop_cache)
        dx = relu_backward(dx, relu2_cache)
        if "dense" in self.batchnorm:
            dx, grads["gamma2"], grads["beta2"] = batchnorm_backward(dx, norm2_cache)
        dx, grads["W2"], grads["b2"] = fc_backward(dx, fc2_cache)
        dx = max_pool_backward(dx, pool_cache)
        dx = relu_backward(dx, relu1_cache)
        if "conv" in self.batchnorm:
            dx, grads["gamma1"], grads["beta1"] = spatial_batchnorm_backward(dx, norm1_cache)
        _, grads["W1"] = conv_backward(dx, conv_cache)
        for name in ("W1", "W2", "W3"):
            loss += 0.5 * self.reg * np.sum(p[name] ** 2)
            grads[name] += self.reg * p[name]
        return loss, grads

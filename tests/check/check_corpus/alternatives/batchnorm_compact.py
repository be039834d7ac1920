import numpy as np


def batchnorm_backward(dout, cache):
    """One line: (N dout - sum(dout) - x_hat sum(dout x_hat)) gamma / (N std)."""
    x_hat, gamma, std, mode = cache
    N = len(dout)
    dbeta = np.ones(N, dtype=dout.dtype) @ dout
    dgamma = np.einsum("nd,nd->d", dout, x_hat)
    if mode == "test":
        return gamma / std * dout, dgamma, dbeta
    return gamma / (N * std) * (N * dout - dbeta - x_hat * dgamma), dgamma, dbeta

import numpy as np


def batchnorm_backward(dout, cache):
    """The Jacobian of each feature, in full: slow, and hard to get wrong."""
    x_hat, gamma, std, mode = cache
    N, D = dout.shape
    dx = np.zeros_like(dout)
    dgamma, dbeta = np.zeros_like(gamma), np.zeros_like(gamma)
    for d in range(D):
        hat = x_hat[:, d]
        jacobian = np.eye(N, dtype=dout.dtype)
        if mode == "train":
            jacobian = jacobian - (1 + np.outer(hat, hat)) / N
        dx[:, d] = gamma[d] / std[d] * (jacobian @ dout[:, d])
        for n in range(N):
            dgamma[d] += dout[n, d] * hat[n]
            dbeta[d] += dout[n, d]
    return dx, dgamma, dbeta

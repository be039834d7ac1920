"""Batch normalisation, of features and of the channels of images, in training and in testing."""

from collections.abc import MutableMapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero


class BatchNormCache(NamedTuple):
    """What the backward needs; gamma and inverse_std are shaped to broadcast against x_hat."""

    x_hat: Array
    gamma: Array
    inverse_std: Array
    mode: str


def _sum_of_products(a: Array, b: Array) -> Array:
    """Sum a * b over every axis but 1, without an array of the products."""
    if a.ndim == 2:
        return np.asarray(np.einsum("nd,nd->d", a, b))
    N, C = a.shape[:2]
    sums = np.einsum("ncp,ncp->nc", a.reshape(N, C, -1), b.reshape(N, C, -1))
    return np.asarray(sums.sum(axis=0))


def _bn_forward(
    function: str, x: Array, gamma: Array, beta: Array, bn_param: MutableMapping[str, Any]
) -> tuple[Array, BatchNormCache]:
    """Normalise over every axis but 1; x has at least one example."""
    C = x.shape[1]
    require(
        gamma.shape == (C,),
        function,
        f"gamma must be ({C},), one entry a feature of x",
        gamma=gamma,
        x=x,
    )
    require(
        beta.shape == (C,),
        function,
        f"beta must be ({C},), one entry a feature of x",
        beta=beta,
        x=x,
    )
    mode = bn_param.get("mode")
    require(
        mode in ("train", "test"), function, "bn_param['mode'] must be 'train' or 'test'", mode=mode
    )
    eps = x.dtype.type(bn_param.get("eps", 1e-5))
    momentum = x.dtype.type(bn_param.get("momentum", 0.9))
    for name in ("running_mean", "running_var"):
        if bn_param.get(name) is None:
            bn_param[name] = np.zeros(C, dtype=x.dtype)
    running_mean = floating(bn_param["running_mean"], x.dtype)
    running_var = floating(bn_param["running_var"], x.dtype)
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        require(
            running.shape == (C,), function, f"bn_param['{name}'] must be ({C},)", **{name: running}
        )

    axes = (0, *range(2, x.ndim))
    per_feature = (1, C) + (1,) * (x.ndim - 2)  # the shape in which (C,) meets x
    if mode == "train":
        require(x.size > 0, function, "x must hold at least one example", x=x)
        # From the first example on: the mean of what is constant is then that, to the last bit.
        # x's own mean would be rounded, and its rounding normalised to something like +-1.
        first = x[(0, slice(None)) + (0,) * (x.ndim - 2)]
        centred = x - first.reshape(per_feature)
        away = centred.mean(axis=axes)
        centred -= away.reshape(per_feature)
        mean = first + away
        count = x.dtype.type(x.size // C)
        var = _sum_of_products(centred, centred) / count  # biased: not divided by count - 1
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    else:
        centred = x - running_mean.reshape(per_feature)
        var = running_var

    inverse_std = (1 / np.sqrt(var + eps)).reshape(per_feature)
    gamma = gamma.reshape(per_feature)
    x_hat = np.multiply(centred, inverse_std, out=centred)
    out = x_hat * gamma
    out += beta.reshape(per_feature)
    return out, BatchNormCache(x_hat, gamma, inverse_std, str(mode))


def _bn_backward(function: str, dout: Array, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    x_hat, gamma, inverse_std, mode = cache
    rule = f"dout must be of x's shape {x_hat.shape}"
    require(dout.shape == x_hat.shape, function, rule, dout=dout)
    axes = (0, *range(2, x_hat.ndim))
    dbeta = dout.sum(axis=axes)
    dgamma = _sum_of_products(dout, x_hat)
    if mode == "test":  # the statistics are constants: out is affine in x
        return dout * (gamma * inverse_std), dgamma, dbeta
    count = dout.dtype.type(x_hat.size // x_hat.shape[1])
    # dx = gamma / std * (dout - mean(dout) - x_hat * mean(dout * x_hat)), built in one array
    dx = x_hat * (-dgamma / count).reshape(gamma.shape)
    dx += dout
    dx -= (dbeta / count).reshape(gamma.shape)
    dx *= gamma * inverse_std
    return dx, dgamma, dbeta


@underflow_is_zero
def batchnorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: MutableMapping[str, Any]
) -> tuple[Array, BatchNormCache]:
    """Batch normalisation: out = gamma * x_hat + beta with x_hat = (x - mean) / sqrt(var + eps).

    Parameters
    ----------
    x : array (N, D)
    gamma, beta : array (D,)
        Scale and shift.
    bn_param : dict
        ``mode`` (required): 'train' normalises with the batch's mean and biased variance (1/N)
        and moves the running statistics, running = momentum * running + (1 - momentum) * batch;
        'test' normalises with the running statistics. ``eps`` 1e-5, ``momentum`` 0.9,
        ``running_mean`` and ``running_var`` (D,), zeros when absent. The running statistics are
        written back here: the one argument that a layer modifies.

    Returns
    -------
    out : array (N, D)
    cache : for batchnorm_backward

    Raises
    ------
    ValueError
        If x is not (N, D), gamma, beta or a running statistic not (D,), the mode neither 'train'
        nor 'test', or there is no example to train on.

    References
    ----------
    Ioffe & Szegedy, "Batch normalization", ICML 2015, algorithm 1. They accumulate the unbiased
    variance; we accumulate the biased one, which normalises the batch. A feature that is constant
    over the batch gives x_hat = 0 and out = beta: so does every feature of a batch of one example,
    whose variance, 0, is accumulated as any other (PyTorch refuses such a batch).
    """
    x = floating(x)
    require(x.ndim == 2, "batchnorm_forward", "x must be (N, D)", x=x)
    gamma, beta = floating(gamma, x.dtype), floating(beta, x.dtype)
    return _bn_forward("batchnorm_forward", x, gamma, beta, bn_param)


@underflow_is_zero
def batchnorm_backward(dout: ArrayLike, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    """Gradients of batch normalisation.

    dbeta = sum(dout), dgamma = sum(dout * x_hat), sums over the examples, and after a training
    forward, where mean and variance depend on x,

        dx = gamma / sqrt(var + eps) * (dout - dbeta / N - x_hat * dgamma / N);

    after a test forward, where they are constants, dx = gamma / sqrt(var + eps) * dout.

    Parameters
    ----------
    dout : array (N, D)
    cache : from batchnorm_forward, either mode

    Returns
    -------
    dx : array (N, D), dgamma : array (D,), dbeta : array (D,)

    Raises
    ------
    ValueError
        If dout is not of x's shape.

    References
    ----------
    Derived in theory/batch_normalisation.md, formula bn-dx-standard; after a test, bn-test.
    """
    return _bn_backward("batchnorm_backward", floating(dout, cache.x_hat.dtype), cache)


@underflow_is_zero
def spatial_batchnorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: MutableMapping[str, Any]
) -> tuple[Array, BatchNormCache]:
    """Batch normalisation of images x (N, C, H, W): one mean and variance a channel.

    As batchnorm_forward, which says what it returns and raises, with the N * H * W pixels of a
    channel as its examples; gamma, beta and the running statistics are (C,).
    """
    x = floating(x)
    require(x.ndim == 4, "spatial_batchnorm_forward", "x must be (N, C, H, W)", x=x)
    gamma, beta = floating(gamma, x.dtype), floating(beta, x.dtype)
    return _bn_forward("spatial_batchnorm_forward", x, gamma, beta, bn_param)


@underflow_is_zero
def spatial_batchnorm_backward(
    dout: ArrayLike, cache: BatchNormCache
) -> tuple[Array, Array, Array]:
    """As batchnorm_backward, summed over N, H, W: dx (N, C, H, W), dgamma (C,), dbeta (C,).

    Derived in theory/batch_normalisation.md, formula bn-dx-standard.
    """
    return _bn_backward("spatial_batchnorm_backward", floating(dout, cache.x_hat.dtype), cache)

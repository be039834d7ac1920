"""The yardsticks of the tests: slow, obviously right layers, and the contract all layers keep.

Nothing here is clever on purpose: each function is its definition written as loops, one scalar at
a time. The losses are computed in decimal arithmetic of 400 digits, where nothing overflows.
"""

from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
from hypothesis import settings

# Laws are tried on the same examples in every run, so that a red test stays red until it is mended.
LAWS = settings(deadline=None, max_examples=40, derandomize=True, database=None)


def conv_forward_loops(x, w, stride=1, padding=0):
    """out[n, f, i, j] = sum over c, p, q of padded[n, c, i*s + p, j*s + q] * w[f, c, p, q]."""
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    padded[:, :, padding : padding + H, padding : padding + W] = x
    out_height = 1 + (H + 2 * padding - HH) // stride
    out_width = 1 + (W + 2 * padding - WW) // stride
    out = np.zeros((N, F, out_height, out_width))
    for n, f, i, j in np.ndindex(out.shape):
        for c, p, q in np.ndindex(C, HH, WW):
            out[n, f, i, j] += padded[n, c, i * stride + p, j * stride + q] * w[f, c, p, q]
    return out


def conv_backward_loops(dout, x, w, stride=1, padding=0):
    """Pay each product of the forward sum back to its two factors; return (dx, dw)."""
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for n, f, i, j in np.ndindex(N, F, *dout.shape[2:]):
        for c, p, q in np.ndindex(C, HH, WW):
            row, column = i * stride + p - padding, j * stride + q - padding
            if 0 <= row < H and 0 <= column < W:  # the padding's pixels are nobody's
                dx[n, c, row, column] += dout[n, f, i, j] * w[f, c, p, q]
                dw[f, c, p, q] += dout[n, f, i, j] * x[n, c, row, column]
    return dx, dw


def max_pool_forward_loops(x, height, width, stride):
    """out[n, c, i, j] = the largest pixel of the window whose corner is (i*stride, j*stride)."""
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - height) // stride, 1 + (W - width) // stride))
    for n, c, i, j in np.ndindex(out.shape):
        top, left = i * stride, j * stride
        out[n, c, i, j] = max(
            x[n, c, top + p, left + q] for p in range(height) for q in range(width)
        )
    return out


def max_pool_backward_loops(dout, x, height, width, stride):
    """Each window pays its whole gradient to its first largest pixel, row by row; return dx."""
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(dout.shape):
        best = None
        for p, q in np.ndindex(height, width):
            pixel = (n, c, i * stride + p, j * stride + q)
            if best is None or x[pixel] > x[best]:  # > and not >=: the first of a tie stays
                best = pixel
        dx[best] += dout[n, c, i, j]
    return dx


def avg_pool_forward_loops(x, height, width, stride):
    """out[n, c, i, j] = the sum of the window's pixels, divided by how many it has."""
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - height) // stride, 1 + (W - width) // stride))
    for n, c, i, j in np.ndindex(out.shape):
        for p, q in np.ndindex(height, width):
            out[n, c, i, j] += x[n, c, i * stride + p, j * stride + q] / (height * width)
    return out


def avg_pool_backward_loops(dout, shape, height, width, stride):
    """Each window pays an equal part of its gradient to each of its pixels; return dx."""
    dx = np.zeros(shape)
    for n, c, i, j in np.ndindex(dout.shape):
        for p, q in np.ndindex(height, width):
            dx[n, c, i * stride + p, j * stride + q] += dout[n, c, i, j] / (height * width)
    return dx


def layernorm_forward_loops(x, gamma, beta, eps=1e-5):
    """Return out, one example after the other; x (N, D)."""
    N, D = x.shape
    out = np.zeros((N, D))
    for n in range(N):
        mean = sum(x[n, d] for d in range(D)) / D
        variance = sum((x[n, d] - mean) ** 2 for d in range(D)) / D
        for d in range(D):
            out[n, d] = gamma[d] * (x[n, d] - mean) / np.sqrt(variance + eps) + beta[d]
    return out


def layernorm_backward_loops(dout, x, gamma, eps=1e-5):
    """Return (dx, dgamma, dbeta) by the whole Jacobian of x_hat, entry by entry.

    d x_hat[d] / d x[k] = ([d = k] - 1/D - x_hat[d] x_hat[k] / D) / sigma.
    """
    N, D = x.shape
    x_hat = layernorm_forward_loops(x, np.ones(D), np.zeros(D), eps)
    dx, dgamma, dbeta = np.zeros((N, D)), np.zeros(D), np.zeros(D)
    for n in range(N):
        sigma = np.sqrt(np.var(x[n]) + eps)
        for d in range(D):
            dgamma[d] += dout[n, d] * x_hat[n, d]
            dbeta[d] += dout[n, d]
            for k in range(D):
                slope = (int(d == k) - 1 / D - x_hat[n, d] * x_hat[n, k] / D) / sigma
                dx[n, k] += dout[n, d] * gamma[d] * slope
    return dx, dgamma, dbeta


def batchnorm_forward_loops(x, gamma, beta, eps=1e-5):
    """Return (out, mean, biased variance), one feature after the other."""
    N, D = x.shape
    out, means, variances = np.zeros((N, D)), np.zeros(D), np.zeros(D)
    for d in range(D):
        means[d] = sum(x[n, d] for n in range(N)) / N
        variances[d] = sum((x[n, d] - means[d]) ** 2 for n in range(N)) / N
        for n in range(N):
            x_hat = (x[n, d] - means[d]) / np.sqrt(variances[d] + eps)
            out[n, d] = gamma[d] * x_hat + beta[d]
    return out, means, variances


def convolve_full_loops(a, b):
    """out[i + p, j + q] += a[i, j] * b[p, q]: the product of two polynomials in two variables."""
    out = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1))
    for i, j in np.ndindex(a.shape):
        for p, q in np.ndindex(b.shape):
            out[i + p, j + q] += a[i, j] * b[p, q]
    return out


def filter_valid_loops(a, b):
    """out[i, j] = sum over p, q of a[i + p, j + q] * b[p, q], where b lies wholly inside a."""
    out = np.zeros((a.shape[0] - b.shape[0] + 1, a.shape[1] - b.shape[1] + 1))
    for i, j in np.ndindex(out.shape):
        for p, q in np.ndindex(b.shape):
            out[i, j] += a[i + p, j + q] * b[p, q]
    return out


def logistic_loss_exact(x, positive):
    """Return (loss, dx) for 1-D logits and a list of booleans: loss = mean ln(1 + e^(-+x))."""
    with localcontext() as context:
        context.prec = 400
        N = len(x)
        loss, dx = Decimal(0), []
        for logit, is_positive in zip(map(float, x), positive, strict=True):
            odds = Decimal(logit).exp()  # p = odds / (1 + odds)
            probability = odds / (1 + odds)
            right = probability if is_positive else 1 / (1 + odds)
            loss -= right.ln() / N
            dx.append(float((probability - int(is_positive)) / N))
        return float(loss), np.array(dx)


def svm_loss_exact(x, positive):
    """Return (loss, dx) for 1-D scores: mean max(0, 1 - sign*x), nothing to pay at margin 1."""
    N, loss, dx = len(x), 0.0, []
    for score, is_positive in zip(map(float, x), positive, strict=True):
        sign = 1.0 if is_positive else -1.0
        violates = sign * score < 1
        loss += (1 - sign * score) / N if violates else 0.0
        dx.append(-sign / N if violates else 0.0)
    return loss, np.array(dx)


def softmax_loss_exact(x, y):
    """Return (loss, dx): mean over rows of -ln(e^x[y] / sum e^x)."""
    with localcontext() as context:
        context.prec = 400
        N, C = x.shape
        loss, dx = Decimal(0), np.zeros((N, C))
        for n in range(N):
            exponentials = [Decimal(float(logit)).exp() for logit in x[n]]
            total = sum(exponentials)
            loss -= (exponentials[y[n]] / total).ln() / N
            for c in range(C):
                dx[n, c] = float((exponentials[c] / total - int(c == y[n])) / N)
        return float(loss), dx


def mean_loss_loops(of_one, x, y, weights=None):
    """Return (loss, dx) of rows x (N, M): of_one(x, y) -> (loss, slope) of one number.

    An example's loss is the mean of its numbers'; the batch's is the weighted mean of those.
    """
    N, M = x.shape
    weights = [1.0] * N if weights is None else [float(w) for w in weights]
    loss, dx = 0.0, np.zeros((N, M))
    for n in range(N):
        share = weights[n] / sum(weights) if sum(weights) else 0.0
        for m in range(M):
            value, slope = of_one(float(x[n, m]), float(y[n, m]))
            loss += share * value / M
            dx[n, m] = share * slope / M
    return loss, dx


def check_contract(forward: Callable, backward: Callable, args: tuple, tolerance: float) -> None:
    """Hold a forward/backward pair to what is promised of every layer.

    In float32 and in float64: the results have the arguments' dtype, a gradient has its argument's
    shape, no argument is modified, a second backward on the same cache says the same, and float32
    agrees with float64 within `tolerance`, as do column-major arguments. `forward(*args)` returns
    (out, cache); `backward(dout, cache)` one gradient per argument.
    """
    results = {}
    for name, order, dtype in [
        ("float64", "C", np.float64),
        ("float32", "C", np.float32),
        ("column-major", "F", np.float64),
    ]:
        typed = [np.array(a, dtype=dtype, order=order) for a in args]
        before = [a.copy() for a in typed]
        out, cache = forward(*typed)
        dout = np.random.default_rng(7).standard_normal(out.shape).astype(dtype, order=order)
        dout_before = dout.copy()
        grads = _as_tuple(backward(dout, cache))
        again = _as_tuple(backward(dout, cache))

        assert out.dtype == dtype
        assert [g.dtype for g in grads] == [dtype] * len(grads)
        assert [g.shape for g in grads] == [a.shape for a in typed]
        for after, original in zip([*typed, dout], [*before, dout_before], strict=True):
            np.testing.assert_array_equal(after, original, err_msg="an argument was modified")
        for first, second in zip(grads, again, strict=True):
            np.testing.assert_array_equal(first, second, err_msg="backward consumed its cache")
        results[name] = [out, *grads]

    for name in ("float32", "column-major"):
        for value, wanted in zip(results[name], results["float64"], strict=True):
            np.testing.assert_allclose(
                value, wanted, rtol=tolerance, atol=tolerance, err_msg=f"{name} differs"
            )


def _as_tuple(gradients):
    return gradients if isinstance(gradients, tuple) else (gradients,)

"""What the losses give when they are wrong in well-known ways: cause to value."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check import references as right


def wrong_logistic(x: Array, positive: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give wrong losses and gradients of the logistic loss."""
    loss, _ = right.logistic_loss(x, positive)
    flat, N = x.reshape(-1).astype(np.float64), len(x)
    sign, bits = np.where(positive, 1.0, -1.0), positive.astype(float)
    other_loss, other_dx = right.logistic_loss(x, ~positive)
    with np.errstate(all="ignore"):
        p = 1 / (1 + np.exp(-flat))
        naive = np.log(1 + np.exp(-sign * flat)).mean()
        ratio = np.exp(-sign * flat)
        naive_dx = -sign * ratio / (1 + ratio) / N
        cross = -(bits * np.log(p) + (1 - bits) * np.log(1 - p)).mean()
        as_signs = np.logaddexp(0, -bits * flat).mean()
        as_signs_dx = -bits / (1 + np.exp(bits * flat)) / N
        twice = np.where(positive, 1.0, -3.0)  # 2 y - 1 of labels -1 and 1
        as_twice = np.logaddexp(0, -twice * flat).mean()
        as_twice_dx = -twice / (1 + np.exp(twice * flat)) / N
        as_bits = (np.logaddexp(0, flat) - sign * flat).mean()
        as_bits_dx = (p - sign) / N
        clipped = {
            "log-of-zero" + k * " ": value
            for k, eps in enumerate((1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16))
            for k, value in (
                (2 * k + 1, -np.log(np.where(positive, p, 1 - p) + eps).mean()),
                (2 * k + 2, -np.log(np.clip(np.where(positive, p, 1 - p), eps, 1 - eps)).mean()),
            )
        }
        pairs = -sign[None, :] * flat[:, None]
        broadcast = np.logaddexp(0, pairs)
    wrong_loss: dict[str, Any] = {
        "labels-sign": other_loss,
        "labels-coding": as_signs,
        "labels-coding ": as_bits,
        "labels-coding  ": as_twice,
    }
    wrong_dx = {
        "labels-sign": other_dx,
        "labels-coding": as_signs_dx.reshape(x.shape),
        "labels-coding ": as_bits_dx.reshape(x.shape),
        "labels-coding  ": as_twice_dx.reshape(x.shape),
    }
    if x.ndim == 2:
        wrong_loss["broadcast-n-by-n"] = broadcast.mean()
        wrong_loss["broadcast-n-by-n "] = broadcast.sum() / N
        wrong_dx["broadcast-n-by-n"] = -sign * np.exp(pairs - broadcast) / N
    if not np.isfinite(naive):
        if np.abs(flat).max() > 750:  # here the probability is 0, too
            wrong_loss["log-of-zero"] = naive
        wrong_loss["not-shifted-by-maximum"] = naive
    if not np.isfinite(cross):
        wrong_loss["log-of-zero" + 40 * " "] = cross
    if not np.isfinite(naive_dx).all():
        wrong_dx["not-shifted-by-maximum"] = naive_dx.reshape(x.shape)
    for cause, value in clipped.items():
        if abs(value - loss) > 1e-5 * abs(loss):
            wrong_loss[cause] = value
    if positive.all() or not positive.any():  # of one class: which coding it is cannot be told
        del wrong_loss["labels-sign"], wrong_dx["labels-sign"]
    return wrong_loss, wrong_dx


def wrong_svm(x: Array, positive: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give wrong losses and gradients of the hinge loss."""
    flat, N = x.reshape(-1).astype(np.float64), len(x)
    sign, bits = np.where(positive, 1.0, -1.0), positive.astype(float)
    slack = 1 - sign * flat
    violators = max(int((slack > 0).sum()), 1)
    other_loss, other_dx = right.svm_loss(x, ~positive)
    hinge = np.maximum(slack, 0)
    as_bits = np.maximum(0, 1 - bits * flat)
    pairs = np.maximum(0, 1 - sign[None, :] * flat[:, None])
    wrong_loss: dict[str, Any] = {
        "labels-sign": other_loss,
        "labels-coding": as_bits.mean(),
        "mean-over-violators": hinge.sum() / violators,
        "margin-wrong": np.maximum(0, -sign * flat).mean(),
        "squared-hinge": (hinge**2).mean(),
        "squared-hinge ": 0.5 * (hinge**2).mean(),
        "missing-mask": slack.mean(),
    }
    shaped = {
        "labels-sign": other_dx.reshape(-1),
        "labels-coding": np.where(as_bits > 0, -bits, 0) / N,
        "mean-over-violators": np.where(slack > 0, -sign, 0) / violators,
        "margin-wrong": np.where(sign * flat < 0, -sign, 0) / N,
        "squared-hinge": -2 * sign * hinge / N,
        "squared-hinge ": -sign * hinge / N,
        "kink-wrong": np.where(slack >= 0, -sign, 0) / N,
        "missing-mask": -sign / N,
    }
    wrong_dx = {cause: value.reshape(x.shape) for cause, value in shaped.items()}
    if x.ndim == 2:
        wrong_loss["broadcast-n-by-n"] = pairs.mean()
        wrong_loss["broadcast-n-by-n "] = pairs.sum() / N
        wrong_dx["broadcast-n-by-n"] = np.where(pairs > 0, -sign, 0) / N
    if positive.all() or not positive.any():  # of one class: which coding it is cannot be told
        del wrong_loss["labels-sign"], wrong_dx["labels-sign"]
    return wrong_loss, wrong_dx


def wrong_softmax(x: Array, y: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give wrong losses and gradients of the softmax loss."""
    N, C = x.shape
    rows = np.arange(N)
    x = x.astype(np.float64)
    onehot = np.zeros((N, C))
    onehot[rows, y] = 1
    p = np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True))
    across = np.exp(x - np.logaddexp.reduce(x, axis=0, keepdims=True))
    shifted = x - x.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=0, keepdims=True)
    loss = float((np.logaddexp.reduce(x, axis=1) - x[rows, y]).mean())
    with np.errstate(all="ignore"):
        raw = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        naive = -np.log(raw[rows, y]).mean()
        naive_apart = (np.log(np.exp(x).sum(axis=1)) - x[rows, y]).mean()
        after = -np.log(p[rows, y]).mean()
        wrong_axis = -np.log(across[rows, y]).mean()
        every = -np.log(p).mean()
        clipped = {
            "log-of-zero" + k * " ": value
            for k, eps in enumerate((1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16))
            for k, value in (
                (2 * k + 1, -np.log(p[rows, y] + eps).mean()),
                (2 * k + 2, -np.log(np.maximum(p[rows, y], eps)).mean()),
            )
        }
    wrong_loss: dict[str, Any] = {}
    if not np.isfinite(after):
        wrong_loss["log-of-zero"] = after
    if not np.isfinite(naive):
        wrong_loss["not-shifted-by-maximum"] = naive
    if not np.isfinite(naive_apart):
        wrong_loss["not-shifted-by-maximum "] = naive_apart
    wrong_loss |= {
        "wrong-axis": wrong_axis,
        "wrong-axis ": (np.log(sums) - shifted)[rows, y].mean(),
        "averaged-not-summed": loss / C,
        "labels-ignored": every,
        "labels-sign": -loss,
    }
    for cause, value in clipped.items():
        if abs(value - loss) > 1e-5 * abs(loss):
            wrong_loss[cause] = value
    wrong_dx = {
        "labels-ignored": p / N,
        "sign": (onehot - p) / N,
        "wrong-axis": (across - onehot) / N,
        "wrong-axis ": (np.exp(shifted) / sums - onehot) / N,
        "averaged-not-summed": (p - onehot) / N / C,
    }
    if not np.isfinite(raw).all():
        wrong_dx["not-shifted-by-maximum"] = (raw - onehot) / N
    wrong_loss.pop("labels-sign")
    return wrong_loss, wrong_dx


def wrong_multiclass_svm(x: Array, y: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give wrong losses and gradients of the hinge loss of several classes."""
    N, rows = len(x), np.arange(len(x))
    margins = np.maximum(0, x - x[rows, y][:, None] + 1)
    with_own = margins.sum() / N
    no_margin = np.maximum(0, x - x[rows, y][:, None])
    ones = (margins > 0).astype(float)
    ones[rows, y] = 0
    right_column = np.array(ones)
    return (
        {"margin-wrong": no_margin.sum() / N, "labels-ignored": with_own},
        {"labels-ignored": right_column / N},
    )

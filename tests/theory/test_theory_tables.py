"""A.7 and A.8, evaluated as they are displayed: regression, weights, several labels, smoothing."""

import numpy as np
import pytest
import sympy
from theory_proofs import (
    assert_same,
    define,
    derivative,
    holds,
    map_entries,
    normal,
    proves,
    symbols,
)

from handgrad import layers

N, M = 3, 2
SIZES = {"n": N, "m": M}


def sides():
    """Predictions of which SymPy knows on which side of their targets, 0, they are."""
    x = symbols("x", N, M, positive=True)
    x[1] = symbols("z", M, negative=True)
    return {"x": x, "y": np.full((N, M), sympy.Integer(0)), "N": N, "M": M}


def numbers():
    x, y = normal(N, M), normal(N, M)
    y[1, 0] = x[1, 0]  # the corner
    return {"x": x, "y": y, "N": N, "M": M}


@proves("mse-loss", "mse-gradient")
def test_squared_error():
    env = {"x": symbols("x", N, M), "y": symbols("y", N, M), "N": N, "M": M}
    L = define("mse-loss", env, **SIZES)
    assert_same(define("mse-gradient", env, **SIZES), derivative(L, env["x"]))
    env = numbers()
    loss, dx = layers.mse_loss(env["x"], env["y"])
    assert_same(define("mse-loss", env, **SIZES), loss)
    assert_same(define("mse-gradient", env, **SIZES), dx)


@proves("mae-loss", "mae-gradient")
def test_absolute_error():
    env = sides()
    L = define("mae-loss", env, **SIZES)
    assert_same(define("mae-gradient", env, **SIZES), derivative(L, env["x"]))
    env = numbers()
    loss, dx = layers.mae_loss(env["x"], env["y"])
    assert_same(define("mae-loss", env, **SIZES), loss)
    assert_same(define("mae-gradient", env, **SIZES), dx)


@proves("huber-clip", "huber-loss", "huber-gradient")
@pytest.mark.parametrize("where", ["inside", "above", "below"])
def test_hubers_loss_by_sympy(where):
    """On each of the three pieces, with symbols that lie there."""
    delta = sympy.Symbol("delta", positive=True)
    away = symbols("h", N, M, positive=True)
    x, clipped = {
        "inside": (map_entries(lambda h: delta * (h / (1 + h)), away), None),
        "above": (map_entries(lambda h: delta + h, away), delta),
        "below": (map_entries(lambda h: -delta - h, away), -delta),
    }[where]
    env = {"x": x, "y": np.full((N, M), sympy.Integer(0)), "N": N, "M": M, "\\delta": delta}
    env["r"] = define("huber-clip", env, 0, **SIZES)
    env["c"] = map_entries(sympy.simplify, define("huber-clip", env, 1, **SIZES))
    assert_same(env["c"], x if clipped is None else np.full((N, M), clipped))
    # Of x as a variable: the loss as displayed, with the clipped residual that holds there.
    free = symbols("f", N, M)
    still = {**env, "r": free, "c": free if where == "inside" else env["c"]}
    slope = derivative(define("huber-loss", still, **SIZES), free)
    assert_same(define("huber-gradient", still, **SIZES), slope)


@proves("huber-clip", "huber-loss", "huber-pieces", "huber-gradient")
@pytest.mark.parametrize("delta", [0.1, 0.8, 10.0])
def test_hubers_loss_by_our_layer(delta):
    env = numbers() | {"\\delta": delta}
    env["r"] = define("huber-clip", env, 0, **SIZES)
    env["c"] = define("huber-clip", env, 1, **SIZES)
    holds("huber-pieces", env, **SIZES)
    loss, dx = layers.huber_loss(env["x"], env["y"], delta=delta)
    assert_same(define("huber-loss", env, **SIZES), loss)
    assert_same(define("huber-gradient", env, **SIZES), dx)


# A.8 ------------------------------------------------------------------------------------------


@proves("weighted-loss", "weighted-gradient")
def test_weights_of_examples():
    x, w = symbols("x", N, M), symbols("w", N, positive=True)
    own = np.array([sympy.sin(x[n, 0]) * x[n, 1] for n in range(N)], dtype=object)  # any loss
    env = {"x": x, "w": w, "\\ell": own}
    env["W"] = define("weighted-loss", env, 0, n=N)
    env["dx"] = derivative(define("weighted-loss", env, 1, n=N), x)
    holds("weighted-gradient", env, n=N, d=M)

    # Our losses: the displayed mean, and gradient, of the losses and gradients one by one.
    scores, weights = normal(N, 4), np.array([0.5, 0.0, 2.0])
    labels = np.array([0, 3, 1])
    alone = [layers.softmax_loss(scores[n : n + 1], labels[n : n + 1]) for n in range(N)]
    loss, dx = layers.softmax_loss(scores, labels, sample_weight=weights)
    losses = np.array([one for one, _ in alone])
    env = {"w": weights, "\\ell": losses, "W": define("weighted-loss", {"w": weights}, 0, n=N)}
    assert_same(define("weighted-loss", env, 1, n=N), loss)
    for n, (_, slope) in enumerate(alone):
        assert_same(weights[n] / weights.sum() * slope[0], dx[n])


@proves("multilabel-loss", "multilabel-gradient")
def test_several_labels():
    sizes = {"n": 2, "j": 2}
    env = {"x": symbols("x", 2, 2), "N": 2, "J": 2}
    env["y"] = np.array([[sympy.Integer(1), sympy.Integer(0)]] * 2, dtype=object)
    L = define("multilabel-loss", env, **sizes)
    assert_same(define("multilabel-gradient", env, **sizes), derivative(L, env["x"]))
    env |= {"x": 3 * normal(2, 2), "y": np.array([[1, 0], [0, 1]])}
    loss, dx = layers.multilabel_loss(env["x"], env["y"])
    assert_same(define("multilabel-loss", env, **sizes), loss)
    assert_same(define("multilabel-gradient", env, **sizes), dx)


@proves("smoothing-target", "smoothing-loss", "smoothing-scores", "smoothing-gradient", "softmax")
def test_smoothed_labels():
    C = 3
    sizes = {"n": 1, "c": C, "j": C}
    env = {"x": symbols("x", 1, C), "y": np.array([2]), "N": sympy.Integer(1)}
    env |= {"C": sympy.Integer(C), "s": sympy.Symbol("s", positive=True)}
    env["p"] = define("softmax", env, **sizes)
    env["q"] = define("smoothing-target", env, **sizes)
    assert_same(sum(env["q"][0]), sympy.Integer(1))
    env["\\ell"] = define("smoothing-scores", env, **sizes)
    displayed = derivative(env["\\ell"][0], env["x"])
    assert_same(define("smoothing-gradient", env, **sizes), displayed)
    by_targets = derivative(define("smoothing-loss", env, **sizes), env["x"])
    assert_same(by_targets, displayed)

    numeric = {"n": N, "c": C, "j": C}
    env = {"x": 3 * normal(N, C), "y": np.array([2, 0, 1]), "N": N, "C": C, "s": 0.2}
    env["p"] = define("softmax", env, **numeric)
    env["q"] = define("smoothing-target", env, **numeric)
    loss, dx = layers.softmax_loss(env["x"], env["y"], label_smoothing=0.2)
    assert_same(define("smoothing-loss", env, **numeric), loss)
    assert_same(np.mean(define("smoothing-scores", env, **numeric)), loss)
    assert_same(define("smoothing-gradient", env, **numeric), dx)

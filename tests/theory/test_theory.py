"""The theory's formulas, read out of its pages and evaluated as they are displayed.

Each forward formula must give what handgrad.layers gives; each gradient must be SymPy's derivative
of the displayed forward formula, and what the layer's backward returns.
"""

import numpy as np
import pytest
import sympy
from theory_proofs import (
    RNG,
    assert_same,
    define,
    derivative,
    holds,
    normal,
    pairing,
    proves,
    symbols,
)

from handgrad import layers

# 1, 1.1, 1.2 ----------------------------------------------------------------------------------


@proves("chain-rule")
def test_the_rule():
    x = symbols("x", 2)
    out = np.array([x[0] * x[1], sympy.sin(x[0]), x[1] ** 3], dtype=object)
    dout = symbols("dout", 3)
    env = {"x": x, "out": out, "dout": dout, "dx": derivative(pairing(dout, out), x)}
    holds("chain-rule", env, i=2, j=3)


@proves("fc-answer")
def test_the_answer_of_one_column_is_a_row_of_the_batch():
    D, M = 3, 2
    X, W, b = symbols("X", D, 1), symbols("W", D, M), symbols("b", M, 1)
    upstream = symbols("G", M, 1)
    L = pairing(upstream, W.T @ X + b)
    holds("fc-answer", {"X": X, "W": W, "b": b, "L": L, "dL/dY": upstream})

    # As rows: N = 1 is the answer transposed; with more, dw and db are sums over the examples.
    N = 4
    x, w, dout = normal(N, D), normal(D, M), normal(N, M)
    dx, dw, db = layers.fc_backward(dout, layers.fc_forward(x, w, normal(M))[1])
    of_each = [
        [
            define("fc-answer", {"X": x[n : n + 1].T, "W": w, "dL/dY": dout[n : n + 1].T}, which)
            for which in range(3)
        ]
        for n in range(N)
    ]
    assert_same(sum(of_w for of_w, _, _ in of_each), dw)
    assert_same(sum(of_b for _, of_b, _ in of_each)[:, 0], db)
    assert_same(np.hstack([of_x for _, _, of_x in of_each]).T, dx)


@proves("fc-forward", "fc-partials", "fc-gradients", "fc-arrays")
def test_fully_connected():
    N, D, M = 2, 3, 4
    x, w, b, dout = symbols("x", N, D), symbols("w", D, M), symbols("b", M), symbols("dout", N, M)
    env = {"x": x, "w": w, "b": b, "dout": dout}
    sizes = {"n": N, "d": D, "m": M}
    env["out"] = define("fc-forward", env, **sizes)
    L = pairing(dout, env["out"])
    env |= {"dx": derivative(L, x), "dw": derivative(L, w), "db": derivative(L, b)}
    holds("fc-gradients", env, **sizes)
    holds("fc-arrays", env, **sizes)
    for which, k in enumerate((N, M, M)):
        holds("fc-partials", env, only=which, **sizes, k=k)

    numbers = {"x": normal(N, D), "w": normal(D, M), "b": normal(M), "dout": normal(N, M)}
    out, cache = layers.fc_forward(numbers["x"], numbers["w"], numbers["b"])
    assert_same(define("fc-forward", numbers, **sizes), out)
    for which, gradient in enumerate(layers.fc_backward(numbers["dout"], cache)):
        assert_same(define("fc-gradients", numbers, which, **sizes), gradient)


@proves("relu-answer", "relu-forward", "relu-backward", "relu-kink")
def test_relu():
    x = np.array([sympy.Symbol("u", positive=True), sympy.Symbol("v", negative=True)])
    L = pairing(symbols("dout", 2), define("relu-forward", {"x": x}, i=2))
    holds("relu-answer", {"X": x, "L": L, "dL/dY": symbols("dout", 2)}, i=2)
    env = {"x": x, "dout": symbols("dout", 2)}
    env["out"] = define("relu-forward", env, i=2)
    env["dx"] = derivative(pairing(env["dout"], env["out"]), x)
    holds("relu-backward", env, i=2)
    holds("relu-kink", {"h": sympy.Symbol("h", positive=True)})

    x, dout = np.array([1.5, -2.0, 0.0]), normal(3)  # 0: the convention
    out, cache = layers.relu_forward(x)
    assert_same(define("relu-forward", {"x": x}, i=3), out)
    assert_same(
        define("relu-backward", {"x": x, "dout": dout}, i=3), layers.relu_backward(dout, cache)
    )


# 1.3 and 7.2: dropout ---------------------------------------------------------------------------


def coins(p, count):
    """Every outcome of independent coins m with P(m = 1) = p, and its probability."""
    outcomes = []
    for place in np.ndindex(*(2,) * count):
        mask = np.array([sympy.Integer(bit) for bit in place], dtype=object)
        chance = sympy.prod([p if bit else 1 - p for bit in place])
        outcomes.append(({"m": mask}, chance))
    return outcomes


@proves(
    "dropout-answer",
    "dropout-train",
    "dropout-backward",
    "dropout-moments",
    "dropout-test",
    "dropout-inverted",
)
def test_dropout():
    p, x, dout = sympy.Symbol("p", positive=True), symbols("x", 2), symbols("dout", 2)
    env = {"x": x, "p": p, "dout": dout, "m": symbols("m", 2), "outcomes": coins(p, 2)}
    L = pairing(dout, x * env["m"])
    holds("dropout-answer", {"X": x, "M": env["m"], "L": L, "dL/dY": dout})

    def out(which):
        return lambda env: define(which, env, side=1, i=2)

    for form in ("dropout-train", "dropout-test", "dropout-inverted"):
        value = define(form, env, side=1, i=2)
        gradient = derivative(pairing(dout, value), x)
        backward = {"dropout-train": ("dropout-backward", 0)}.get(form, (form, -1))
        assert_same(define(backward[0], env, backward[1], i=2), gradient)
    holds("dropout-moments", env | {"out": out("dropout-train")}, i=2)
    holds("dropout-inverted", env | {"out": out("dropout-inverted")}, only=1, i=2)
    # The test pass is the mean of the training pass.
    mean = define("dropout-moments", env, 0, i=2)
    assert_same(define("dropout-test", env, 0, i=2), mean)

    x, dout, p = normal(6), normal(6), 0.7
    for mode in ("train", "test"):
        ours, cache = layers.dropout_forward(x, {"p": p, "mode": mode, "seed": 1})
        mask = (np.random.RandomState(1).rand(6) < p).astype(float)
        assert 0 < mask.sum() < 6
        numbers = {"x": x, "dout": dout, "p": p, "m": mask}
        assert_same(define(f"dropout-{mode}", numbers, 0, i=6), ours)
        backward = ("dropout-backward", 0) if mode == "train" else ("dropout-test", 1)
        assert_same(
            define(*[backward[0], numbers, backward[1]], i=6), layers.dropout_backward(dout, cache)
        )


@proves("dropout-answer-drop", "dropout-answer-keep")
def test_inference_in_both_readings_of_p():
    """Our layers give y in a test pass; p stands for the one probability, then for the other."""
    keep, J, D = 0.7, 2, 3
    x, W = normal(D, 1), normal(J, D)
    tested, _ = layers.dropout_forward(x.T, {"p": keep, "mode": "test"})
    y = layers.fc_forward(tested, W.T, np.zeros(J))[0].T
    masks = [
        ({"M": mask["m"].astype(float)[:, None]}, float(chance)) for mask, chance in coins(keep, D)
    ]
    env = {"x": x, "W": W, "y": y, "outcomes": masks}
    holds("dropout-answer-drop", env | {"p": 1 - keep})
    holds("dropout-answer-keep", env | {"p": keep})

    p, shape = sympy.Symbol("p", positive=True), (D, 1)
    env = {"x": symbols("x", *shape), "W": symbols("W", J, D), "p": p}
    for label, kept in (("dropout-answer-drop", 1 - p), ("dropout-answer-keep", p)):
        masks = [({"M": mask["m"][:, None]}, chance) for mask, chance in coins(kept, D)]
        mean = define(label, env | {"outcomes": masks})
        assert_same(define(label, env, side=1), mean)


@proves(
    "dropout-unit",
    "dropout-unit-moments",
    "dropout-unit-test",
    "dropout-unit-inverted",
    "dropout-jensen",
    "dropout-geometric",
)
def test_dropout_at_a_layers_input():
    D, J = 3, 2
    p = sympy.Symbol("p", positive=True)
    env = {
        "p": p,
        "x": symbols("x", D),
        "w": symbols("w", D, J),
        "b": symbols("b", J),
        "outcomes": coins(p, D),
        "z": lambda env: define("dropout-unit", env, d=D, j=J),
    }
    holds("dropout-unit-moments", env, d=D, j=J)
    mean = define("dropout-unit-moments", env, 0, side=0, d=D, j=J)
    assert_same(define("dropout-unit-test", env, d=D, j=J), mean)
    holds("dropout-unit-inverted", env, d=D, j=J)
    holds("dropout-jensen", {"p": p, "outcomes": coins(p, 2)})

    # Our layers: dropout, then fully connected, in test mode.
    x, w, b = normal(1, D), normal(D, J), normal(J)
    dropped, _ = layers.dropout_forward(x, {"p": 0.6, "mode": "test"})
    out, _ = layers.fc_forward(dropped, w, b)
    numbers = {"p": 0.6, "x": x[0], "w": w, "b": b}
    assert_same(define("dropout-unit-test", numbers, d=D, j=J), out[0])

    # The geometric mean, with numbers: two inputs, three classes.
    w, x = normal(2, 3), normal(2)

    def scores(env):
        return (x * env["m"].astype(float)) @ w

    def probabilities(env):
        return np.exp(scores(env)) / np.exp(scores(env)).sum()

    env = {"outcomes": coins(0.7, 2), "z": scores, "q": probabilities}
    holds("dropout-geometric", env, c=3, j=3)


# 2 to 4: losses -------------------------------------------------------------------------------


@proves(
    "sigmoid",
    "logistic-loss",
    "logistic-gradient",
    "cross-entropy",
    "cross-entropy-gradient",
    "logistic-stable",
)
def test_logistic_loss():
    holds("sigmoid", {"z": sympy.Symbol("z", real=True)}, only=1)
    env = {"x": symbols("x", 2), "N": sympy.Integer(2)}
    env["y"] = np.array([sympy.Integer(1), sympy.Integer(-1)], dtype=object)
    env["t"] = np.array([sympy.Integer(1), sympy.Integer(0)], dtype=object)
    losses = [define(label, env, n=2) for label in ("logistic-loss", "cross-entropy")]
    gradients = [define(f"{label}-gradient", env, n=2) for label in ("logistic", "cross-entropy")]
    for loss, gradient in zip(losses, gradients, strict=True):
        assert_same(gradient, derivative(loss, env["x"]))
    assert_same(gradients[0], gradients[1])

    x, y = 3 * normal(5), np.array([1, -1, -1, 1, 1])
    numbers = {"x": x, "y": y, "t": (1 + y) / 2, "N": 5}
    loss, dx = layers.logistic_loss(x, y)
    for label in ("logistic-loss", "cross-entropy"):
        assert_same(define(label, numbers, n=5), loss)
    for label in ("logistic-gradient", "cross-entropy-gradient"):
        assert_same(define(label, numbers, n=5), dx)
    for z in (-30.0, -1.5, 0.0, 2.0):
        holds("logistic-stable", {"z": z})
    # Where the plain form overflows, the stable one is what the code gives.
    assert define("logistic-stable", {"z": -1000.0}) == layers.logistic_loss([-1000.0], [1])[0]
    with pytest.raises(OverflowError):
        define("logistic-stable", {"z": -1000.0}, side=0)


@proves("hinge")
def test_hinge_loss():
    x, y = np.array([0.5, 2.0, -0.3, -4.0, 1.0]), np.array([1, 1, -1, 1, 1])  # the last: the kink
    loss, dx = layers.svm_loss(x, y)
    env = {"x": x, "y": y, "N": 5}
    assert_same(define("hinge", env, 0, n=5), loss)
    assert_same(define("hinge", env, 1, n=5), dx)
    inside, outside = sympy.Symbol("u", negative=True), sympy.Symbol("v", positive=True)
    for moving, score in ((inside, inside), (outside, 1 + outside)):
        env = {"x": np.array([score]), "y": np.array([sympy.Integer(1)]), "N": sympy.Integer(1)}
        slope = sympy.diff(define("hinge", env, 0, n=1), moving)
        assert_same(define("hinge", env, 1, n=1), np.array([slope]))


@proves("softmax", "softmax-loss", "softmax-gradient", "softmax-shift")
def test_softmax_loss():
    N, C = 2, 3
    sizes = {"n": N, "c": C, "j": C}
    env = {"x": symbols("x", N, C), "y": np.array([2, 0]), "N": sympy.Integer(N)}
    env["p"] = define("softmax", env, **sizes)
    env["a"] = sympy.Symbol("a", real=True)
    holds("softmax-shift", env, **sizes)
    loss = define("softmax-loss", env, **sizes)
    assert_same(define("softmax-gradient", env, **sizes), derivative(loss, env["x"]))

    numbers = {"x": 3 * normal(N, C), "y": np.array([2, 0]), "N": N}
    numbers["p"] = define("softmax", numbers, **sizes)
    holds(
        "softmax-loss", numbers | {"L": layers.softmax_loss(numbers["x"], numbers["y"])[0]}, **sizes
    )
    _, dx = layers.softmax_loss(numbers["x"], numbers["y"])
    assert_same(define("softmax-gradient", numbers, **sizes), dx)


# 5 max pooling --------------------------------------------------------------------------------


@proves("pool-forward", "pool-backward")
@pytest.mark.parametrize("seed", range(4))
def test_max_pooling_by_sympy(seed):
    """Overlapping windows of 2 x 2 on 3 x 3 symbols, at a point: the maximum's own derivative."""
    x, dout = symbols("x", 9), symbols("dout", 4)
    values = np.random.default_rng(seed).permutation(9)
    point = dict(zip(x, map(sympy.Integer, values), strict=True))
    windows = [[3 * (i + a) + j + b for a in (0, 1) for b in (0, 1)] for i, j in np.ndindex(2, 2)]
    winners = np.array([max(window, key=values.__getitem__) for window in windows])
    env = {"x": x, "a": winners, "dout": dout}

    copied = define("pool-forward", env, w=4)
    maxima = [sympy.Max(*x[window]) for window in windows]
    for one, other in zip(copied, maxima, strict=True):
        assert one.subs(point) == other.subs(point)
    displayed = define("pool-backward", env, w=4, i=9)
    assert_same(displayed, derivative(pairing(dout, copied), x))
    by_sympy = [entry.subs(point) for entry in derivative(pairing(dout, np.array(maxima)), x)]
    assert_same(displayed, by_sympy)


@proves("pool-forward", "pool-backward", "pool-relu")
def test_max_pooling():
    x = RNG.permutation(20).reshape(4, 5).astype(float)
    param = {"pool_height": 2, "pool_width": 2, "stride": 1}
    out, cache = layers.max_pool_forward(x[None, None], param)
    dout = normal(*out.shape)
    windows = [(i, j) for i in range(3) for j in range(4)]
    winners = np.array(
        [
            max(((i + a) * 5 + j + b for a in (0, 1) for b in (0, 1)), key=x.ravel().__getitem__)
            for i, j in windows
        ]
    )
    env = {"x": x.ravel(), "a": winners, "dout": dout.ravel()}
    assert_same(define("pool-forward", env, w=12), out.ravel())
    dx = layers.max_pool_backward(dout, cache)
    assert_same(define("pool-backward", env, w=12, i=20), dx.ravel())
    for pair in ([1.0, 2.0], [-1.0, 2.0], [-2.0, -1.0], [3.0, -1.0]):
        holds("pool-relu", {"x": np.array(pair)})

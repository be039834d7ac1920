"""The theory's formulas on training, question 7.1 and 7.3, evaluated as they are displayed."""

import numpy as np
import sympy
from theory_proofs import (
    assert_same,
    define,
    derivative,
    holds,
    normal,
    pairing,
    proves,
    symbols,
)

from handgrad import layers, optim


@proves(
    "sigmoid-answer",
    "sigmoid-forward",
    "sigmoid-backward",
    "sigmoid-quarter",
    "gradient-variance",
    "sigmoid-shrinks",
    "one-example",
)
def test_sigmoid_networks():
    env = {"x": symbols("x", 2), "dout": symbols("dout", 2)}
    env["out"] = define("sigmoid-forward", env, i=2)
    env["dx"] = derivative(pairing(env["dout"], env["out"]), env["x"])
    holds("sigmoid-backward", env, i=2)
    L = pairing(env["dout"], env["out"])
    holds("sigmoid-answer", {"X": env["x"], "Y": env["out"], "L": L, "dL/dY": env["dout"]}, i=2)
    holds("sigmoid-quarter", {"out": symbols("out", 2)}, i=2)
    holds("sigmoid-shrinks", {"M": sympy.Symbol("M", positive=True)})

    x, dout = normal(4), normal(4)
    out, cache = layers.sigmoid_forward(x)
    assert_same(define("sigmoid-forward", {"x": x}, i=4), out)
    numbers = {"out": out, "dout": dout}
    assert_same(define("sigmoid-backward", numbers, i=4), layers.sigmoid_backward(dout, cache))

    # Weights of mean 0 and variance tau^2: signs times tau, each with probability 1/2.
    D, M, tau = 2, 2, sympy.Symbol("tau", positive=True)
    dz = symbols("dz", M)
    outcomes = [
        (
            {"dx": (tau * (1 - 2 * np.array(bits, dtype=object).reshape(D, M))) @ dz},
            sympy.Rational(1, 2 ** (D * M)),
        )
        for bits in np.ndindex(*(2,) * (D * M))
    ]
    holds("gradient-variance", {"outcomes": outcomes, "dz": dz, "\\tau": tau}, d=D, m=M)

    x, dz = abs(normal(1, 3)), normal(1, 2)
    _, dw, _ = layers.fc_backward(dz, layers.fc_forward(x, normal(3, 2), normal(2))[1])
    assert_same(define("one-example", {"x": x[0], "dz": dz[0]}, d=3, m=2), dw)


@proves("gd-answer", "gd-quadratic", "momentum-recurrence", "momentum-limit", "clipping")
def test_divergence():
    w, rate, curvature = sympy.symbols("w eta lambda", positive=True)
    env = {"w": w, "\\eta": rate, "\\lambda": curvature}
    env["dw"] = sympy.diff(define("gd-quadratic", env, 0), w)
    assert_same(define("gd-quadratic", env, 1), env["dw"])
    env["w'"] = optim.sgd(w, env["dw"], {"learning_rate": rate})[0]
    holds("gd-quadratic", env, only=2)
    weight = {"W": w, "L": curvature * w**2 / 2, "\\eta": rate, "\\lambda": curvature}
    holds("gd-answer", weight)

    momentum = sympy.Symbol("rho", positive=True)
    path, config = [np.array([w])], {"learning_rate": rate, "momentum": momentum}
    config["velocity"] = np.array([sympy.Symbol("velocity")])
    for _ in range(2):
        step, config = optim.sgd_momentum(path[-1], curvature * path[-1], config)
        path.append(step)
    env |= {"\\rho": momentum, "w'": path[1][0], "w''": path[2][0]}
    holds("momentum-recurrence", env)
    at_limit = env | {"\\eta": 2 * (1 + momentum) / curvature}
    assert_same(define("momentum-limit", at_limit, side=0), 0)

    long = {"W1": normal(3, 2), "b1": normal(2)}
    flat = np.concatenate([long["W1"].ravel(), long["b1"]])
    for c in (0.5, 100.0):
        ours = optim.clipped(long, c)
        wanted = np.array([define("clipping", {"dw": flat, "c": c})[i] for i in range(8)])
        assert_same(np.concatenate([ours["W1"].ravel(), ours["b1"]]), wanted)


@proves("adam-surprise")
def test_adam_after_a_long_calm():
    g, beta = sympy.Symbol("g", positive=True), symbols("beta", 2, positive=True)
    holds("adam-surprise", {"g": g, "\\beta": beta})

    # Our rule, late in training: t so large that the corrections are 1.
    for beta2 in (0.9, 0.99, 0.999):
        config = {"learning_rate": 1.0, "beta1": 0.9, "beta2": beta2, "epsilon": 0.0, "t": 10**6}
        w, _ = optim.adam(np.zeros(1), np.array([1e-3]), config)
        first = define("adam-surprise", {"\\beta": np.array([0.9, beta2])})
        assert_same(-w[0], first)
        assert (first <= 1) == (beta2 <= 0.99)


def test_the_limits_of_the_rate_are_where_our_rules_begin_to_diverge():
    """The parabola 1/2 * 4 * w^2: limits 2/4, and 2 * (1 + 0.9)/4 with momentum 0.9."""

    def distance(rule, config):
        w = np.array([1.0])
        for _ in range(2000):
            w, config = rule(w, 4 * w, config)
        return abs(w[0])

    for rule, config, limit in (
        (optim.sgd, {}, 0.5),
        (optim.sgd_momentum, {"momentum": 0.9}, 0.95),
    ):
        assert distance(rule, {**config, "learning_rate": 0.99 * limit}) < 1e-3
        assert distance(rule, {**config, "learning_rate": 1.01 * limit}) > 1e3

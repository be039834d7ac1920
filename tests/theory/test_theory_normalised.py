"""A.6, evaluated as it is displayed: layer normalisation, by SymPy and by our layer."""

import numpy as np
import pytest
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

from handgrad import layers

LABELS = ("ln-statistics", "ln-forward", "ln-parameters", "ln-dx", "ln-orthogonal")


def with_parts(env, **sizes):
    """Add the displayed statistics, outputs and gradients of parameters."""
    for which, name in enumerate(("\\mu", "v", "\\sigma")):
        env[name] = define("ln-statistics", env, which, **sizes)
    env["hat x"] = define("ln-forward", env, 0, **sizes)
    env["out"] = define("ln-forward", env, 1, **sizes)
    env["d\\beta"] = define("ln-parameters", env, 0, **sizes)
    env["d\\gamma"] = define("ln-parameters", env, 1, **sizes)
    env["g"] = define("ln-dx", env, 0, **sizes)
    return env


def environment(N, D):
    return {
        "x": symbols("x", N, D),
        "dout": symbols("dout", N, D),
        "\\gamma": symbols("gamma", D),
        "\\beta": symbols("beta", D),
        "\\epsilon": sympy.Symbol("epsilon", positive=True),
        "D": sympy.Integer(D),
    }


@proves(*LABELS, "ln-jacobian")
def test_layer_normalisation_by_sympy():
    """One example of three numbers: examples do not meet but in the parameters' sums."""
    N, D = 1, 3
    sizes = {"n": N, "d": D, "k": D}
    env = with_parts(environment(N, D), **sizes)
    L = pairing(env["dout"], env["out"])
    env["dx"] = derivative(L, env["x"])
    for label in ("ln-jacobian", "ln-dx", "ln-orthogonal"):
        holds(label, env, **sizes)
    assert_same(derivative(L, env["\\gamma"]), env["d\\gamma"])
    assert_same(derivative(L, env["\\beta"]), env["d\\beta"])


@proves("ln-statistics", "ln-forward", "ln-parameters")
def test_the_parameters_gradients_are_sums_over_examples():
    sizes = {"n": 2, "d": 2}
    env = environment(2, 2)
    for which, name in enumerate(("\\mu", "v", "\\sigma")):
        env[name] = define("ln-statistics", env, which, **sizes)
    env["hat x"] = define("ln-forward", env, 0, **sizes)
    L = pairing(env["dout"], define("ln-forward", env, 1, **sizes))
    for which, name in enumerate(("\\beta", "\\gamma")):
        assert_same(define("ln-parameters", env, which, **sizes), derivative(L, env[name]))


@proves(*LABELS)
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_layer_normalisation_by_our_layer(eps):
    N, D = 4, 6
    sizes = {"n": N, "d": D, "k": D}
    env = {"x": normal(N, D), "dout": normal(N, D), "\\gamma": normal(D), "\\beta": normal(D)}
    out, cache = layers.layernorm_forward(env["x"], env["\\gamma"], env["\\beta"], {"eps": eps})
    dx, dgamma, dbeta = layers.layernorm_backward(env["dout"], cache)
    env = with_parts(env | {"\\epsilon": eps, "D": D}, **sizes)
    assert_same(env["out"], out)
    assert_same(env["d\\gamma"], dgamma)
    assert_same(env["d\\beta"], dbeta)
    assert_same(define("ln-dx", env, 1, **sizes), dx)
    holds("ln-orthogonal", env | {"dx": dx}, **sizes)


@proves("ln-dx")
def test_gamma_in_front_of_the_bracket_is_another_formula():
    x, gamma, dout = normal(1, 3), normal(3), normal(1, 3)
    dx = layers.layernorm_backward(dout, layers.layernorm_forward(x, gamma, np.zeros(3))[1])[0]
    _, plain = layers.layernorm_forward(x, np.ones(3), np.zeros(3))
    in_front = gamma * layers.layernorm_backward(dout, plain)[0]
    assert np.abs(dx - in_front).max() > 0.1
    define("ln-dx", {"\\gamma": gamma, "dout": dout}, 0, n=1, d=3)

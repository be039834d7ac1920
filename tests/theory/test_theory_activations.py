"""A.4 and A.5, evaluated as they are displayed: smooth and leaky activations, average pooling."""

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

CONSTANTS = {"\\pi": sympy.pi}


def derived(forward, backward, env, which=-1):
    """Hold a displayed gradient to SymPy's derivative of the displayed forward formula."""
    env["out"] = define(forward, env, which, i=2)
    env["dx"] = derivative(pairing(env["dout"], env["out"]), env["x"])
    holds(backward, env, i=2)


def symbolic():
    return {**CONSTANTS, "x": symbols("x", 2), "dout": symbols("dout", 2)}


def points():
    x = np.array([-3.0, -0.4, 0.0, 1.3, 2.5])
    return {**CONSTANTS, "x": x, "dout": normal(5)}


@proves("tanh-forward", "tanh-backward")
def test_tanh():
    z = sympy.Symbol("z", real=True)
    for difference in (
        define("tanh-forward", {"z": z}, 1, side=0) - define("tanh-forward", {"z": z}, 1),
        define("tanh-forward", {"x": np.array([z])}, 0, i=1)[0] - sympy.tanh(z),
    ):
        assert sympy.simplify(difference.rewrite(sympy.exp)) == 0
    derived("tanh-forward", "tanh-backward", symbolic(), 0)

    env = points()
    out, cache = layers.tanh_forward(env["x"])
    env["out"] = define("tanh-forward", env, 0, i=5)
    assert_same(env["out"], out)
    dx = layers.tanh_backward(env["dout"], cache)
    assert_same(define("tanh-backward", env, i=5), dx)
    holds("tanh-forward", {"z": -1.7}, only=1)


@proves("leaky-forward", "leaky-backward")
def test_leaky():
    a = sympy.Rational(1, 5)
    x = np.array([sympy.Symbol("u", positive=True), sympy.Symbol("v", negative=True)])
    derived("leaky-forward", "leaky-backward", {"x": x, "a": a, "dout": symbols("dout", 2)})

    env = points() | {"a": 0.3}  # 0 among the points: the convention
    out, cache = layers.leaky_relu_forward(env["x"], 0.3)
    assert_same(define("leaky-forward", env, i=5), out)
    assert_same(define("leaky-backward", env, i=5), layers.leaky_relu_backward(env["dout"], cache))


@proves("gelu-normal", "gelu-forward", "gelu-backward", "gelu-erfc")
def test_gelu():
    def with_normal(env, count):
        for which, name in enumerate(("\\varphi", "\\Phi")):
            env[name] = define("gelu-normal", env, which, i=count)
        return env

    env = with_normal(symbolic(), 2)
    derived("gelu-forward", "gelu-backward", env)
    # The density is the distribution function's derivative, and erfc what erf leaves of 1.
    for phi, Phi, x in zip(env["\\varphi"], env["\\Phi"], env["x"], strict=True):
        assert sympy.simplify(sympy.diff(Phi, x) - phi) == 0
    for which, complement in enumerate(define("gelu-erfc", env, i=2)):
        assert sympy.simplify(complement.rewrite(sympy.erf) - env["\\Phi"][which]) == 0

    env = with_normal(points(), 5)
    holds("gelu-erfc", env, i=5)
    out, cache = layers.gelu_forward(env["x"])
    assert_same(define("gelu-forward", env, i=5), out)
    assert_same(define("gelu-backward", env, i=5), layers.gelu_backward(env["dout"], cache))


@proves("gelu-tanh-forward", "gelu-tanh-backward")
def test_gelu_in_its_tanh_form():
    def with_parts(env, count):
        for which, name in enumerate(("u", "s")):
            env[name] = define("gelu-tanh-forward", env, which, i=count)
        env["u'"] = define("gelu-tanh-backward", env, 0, i=count)
        return env

    env = with_parts(symbolic(), 2)
    env["out"] = define("gelu-tanh-forward", env, 2, i=2)
    displayed = define("gelu-tanh-backward", env, 1, i=2)
    found = derivative(pairing(env["dout"], env["out"]), env["x"])
    # Expanded, each is a polynomial in x and tanh(u).
    for ours, theirs in zip(displayed, found, strict=True):
        assert sympy.expand(ours - theirs) == 0
    for slope, u, x in zip(env["u'"], env["u"], env["x"], strict=True):
        assert sympy.expand(slope - sympy.diff(u, x)) == 0

    env = with_parts(points(), 5)
    out, cache = layers.gelu_forward(env["x"], approximate=True)
    assert_same(define("gelu-tanh-forward", env, 2, i=5), out)
    assert_same(define("gelu-tanh-backward", env, 1, i=5), layers.gelu_backward(env["dout"], cache))


@proves("silu-forward", "silu-backward")
def test_silu():
    env = symbolic()
    env["s"] = define("silu-backward", env, 0, i=2)
    derived("silu-forward", "silu-backward", env)

    env = points()
    env["s"] = define("silu-backward", env, 0, i=5)
    out, cache = layers.silu_forward(env["x"])
    assert_same(define("silu-forward", env, i=5), out)
    assert_same(define("silu-backward", env, 1, i=5), layers.silu_backward(env["dout"], cache))


# A.5 ------------------------------------------------------------------------------------------

H, W = 4, 5


def covered(height, width, stride):
    """c[w, i]: whether window w covers pixel i of a 4 x 5 image."""
    corners = [
        (top, left)
        for top in range(0, H - height + 1, stride)
        for left in range(0, W - width + 1, stride)
    ]
    return np.array([
        [
            int(top <= i // W < top + height and left <= i % W < left + width)
            for i in range(H * W)
        ]
        for top, left in corners
    ])  # fmt: skip


@proves("avg-forward", "avg-backward")
@pytest.mark.parametrize(("height", "width", "stride"), [(2, 2, 1), (2, 3, 2), (3, 2, 2)])
def test_average_pooling(height, width, stride):
    c = covered(height, width, stride)
    env = {"x": symbols("x", H * W), "c": c, "P": height * width, "dout": symbols("dout", len(c))}
    sizes = {"w": len(c), "i": H * W}
    env["out"] = define("avg-forward", env, **sizes)
    env["dx"] = derivative(pairing(env["dout"], env["out"]), env["x"])
    holds("avg-backward", env, **sizes)

    x = normal(H * W)
    param = {"pool_height": height, "pool_width": width, "stride": stride}
    out, cache = layers.avg_pool_forward(x.reshape(1, 1, H, W), param)
    dout = normal(*out.shape)
    env |= {"x": x, "dout": dout.ravel()}
    assert_same(define("avg-forward", env, **sizes), out.ravel())
    dx = layers.avg_pool_backward(dout, cache)
    assert_same(define("avg-backward", env, **sizes), dx.ravel())


@proves("avg-window")
def test_average_pooling_at_stride_one():
    x, (height, width) = normal(H, W), (2, 3)
    param = {"pool_height": height, "pool_width": width, "stride": 1}
    out, _ = layers.avg_pool_forward(x[None, None], param)
    sizes = {"i": H - height + 1, "j": W - width + 1, "k": height, "l": width}
    assert_same(define("avg-window", {"x": x, "P": height * width}, **sizes), out[0, 0])


@proves("global-avg-forward", "global-avg-backward")
def test_the_average_of_an_image():
    shape = (2, 2, 3, 2)
    sizes = {"n": 2, "c": 2, "i": 3, "j": 2}
    env = {"x": symbols("x", *shape), "dout": symbols("dout", 2, 2), "H": 3, "W": 2}
    out = define("global-avg-forward", env, **sizes)
    env["dx"] = derivative(pairing(env["dout"], out), env["x"])
    holds("global-avg-backward", env, **sizes)

    env |= {"x": normal(*shape), "dout": normal(2, 2)}
    out, cache = layers.global_avg_pool_forward(env["x"])
    assert_same(define("global-avg-forward", env, **sizes), out)
    dx = layers.global_avg_pool_backward(env["dout"], cache)
    assert_same(define("global-avg-backward", env, **sizes), dx)

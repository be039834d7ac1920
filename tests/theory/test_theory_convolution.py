"""1.5, evaluated as it is displayed: the readings of the layer, by SymPy and by differences."""

import numpy as np
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
    rows,
    symbols,
)

from handgrad import layers
from handgrad.gradcheck import check_gradients, numeric_gradient

IMAGE, FILTER = (4, 3), (2, 2)
FULL = {"i": 5, "j": 4}  # H + HH - 1, W + WW - 1
FILT = {"i": 3, "j": 2}  # H - HH + 1, W - WW + 1
TAPS, PIXELS = {"k": 2, "l": 2}, {"p": 4, "q": 3}


@proves("conv-full", "conv-filt")
def test_the_two_operations_are_the_codes():
    env = {"x": normal(*IMAGE), "w": normal(*FILTER)}
    full = define("conv-full", env, **FULL, **TAPS)
    assert_same(full, layers.convolve_full(env["x"], env["w"]))
    assert_same(define("conv-filt", env, **FILT, **TAPS), layers.filter_valid(env["x"], env["w"]))
    swapped = {"x": env["w"], "w": env["x"]}
    assert_same(full, define("conv-full", swapped, **FULL, k=4, l=3))  # it commutes


@proves("conv-full", "conv-full-partials", "conv-full-dx", "conv-full-dw", "conv-full-identities")
def test_full_convolution():
    env = {"x": symbols("x", *IMAGE), "w": symbols("w", *FILTER), "dy": symbols("dy", 5, 4)}
    env["y"] = define("conv-full", env, **FULL, **TAPS)
    holds("conv-full", env, **FULL, **TAPS)  # the symbol *full is the same operation
    L = pairing(env["dy"], env["y"])
    env |= {"dx": derivative(L, env["x"]), "dw": derivative(L, env["w"])}
    holds("conv-full-partials", env, only=0, **FULL, **PIXELS)
    holds("conv-full-partials", env, only=1, **FULL, **TAPS)
    holds("conv-full-dx", env, **FULL, **PIXELS, **TAPS)
    holds("conv-full-dw", env, **FULL, **PIXELS, **TAPS)
    holds("conv-full-identities", env)


@proves("conv-filt", "conv-filt-partials", "conv-filt-dx", "conv-filt-dw", "conv-filt-identities")
def test_filtering():
    env = {"x": symbols("x", *IMAGE), "w": symbols("w", *FILTER), "dout": symbols("dout", 3, 2)}
    env["out"] = define("conv-filt", env, **FILT, **TAPS)
    holds("conv-filt", env, **FILT, **TAPS)
    L = pairing(env["dout"], env["out"])
    env |= {"dx": derivative(L, env["x"]), "dw": derivative(L, env["w"])}
    holds("conv-filt-partials", env, only=0, **FILT, **PIXELS)
    holds("conv-filt-partials", env, only=1, **FILT, **TAPS)
    holds("conv-filt-dx", env, **FILT, **PIXELS, **TAPS)
    holds("conv-filt-dw", env, **FILT, **PIXELS, **TAPS)
    holds("conv-filt-identities", env)


@proves("conv-full-identities")
def test_the_full_identities_with_our_operations():
    """Beside SymPy: the two products of numbers, against central differences."""

    def forward(x, w):
        return layers.convolve_full(x, w), (x, w)

    def backward(dy, cache):
        env = {"x": cache[0], "w": cache[1], "dy": dy}
        return tuple(np.asarray(define("conv-full-identities", env, which)) for which in (0, 1))

    check_gradients(forward, backward, [normal(*IMAGE), normal(*FILTER)], rng=RNG)


@proves("conv-from-one")
def test_the_assignments_indices_count_from_one():
    """Its X_{11} is our x[0, 0]: a row and a column of zeros before the array say so."""
    X, W = normal(*IMAGE), normal(*FILTER)
    env = {
        "X": from_one(X),
        "Y": from_one(layers.convolve_full(X, W)),
        "W": from_one(W),
        "Z": from_one(layers.filter_valid(X, W)),
    }
    taps = {"m": range(1, 3), "l": range(1, 3)}
    holds("conv-from-one", env, only=0, i=range(1, 6), j=range(1, 5), **taps)
    holds("conv-from-one", env, only=1, i=range(1, 4), j=range(1, 3), **taps)


def from_one(array):
    return np.pad(array, ((1, 0), (1, 0)))


# The assignment's layer: X_{n,c}, W_{f,c} and Y_{n,f} are matrices. -------------------------------


def assignment(whole, X=None, W=None):
    """The environment of Y_{n,f} = sum_c X_{n,c} *full W_{f,c}, whole or its valid part."""
    X = symbols("X", 2, 2, 3, 2) if X is None else X
    W = symbols("W", 2, 2, 2, 2) if W is None else W
    sizes = {"n": len(X), "c": X.shape[1], "f": len(W)}
    env = {"X": rows(X, 2), "W": rows(W, 2)}
    Y = define("conv-answer", env, 0, **sizes)
    if not whole:
        above, left = W.shape[2] - 1, W.shape[3] - 1
        Y = np.array(Y[:, :, above : X.shape[2], left : X.shape[3]])
    return env, Y, sizes


def padded(G, HH, WW):
    """Each G_{n,f} with zeros around it, by the displayed definition."""
    env = {"H'": sympy.Integer(HH), "W'": sympy.Integer(WW)}
    sizes = {"i": G.shape[2] + 2 * (HH - 1), "j": G.shape[3] + 2 * (WW - 1)}
    result = np.empty((*G.shape[:2], *sizes.values()), dtype=object)
    for place in np.ndindex(*G.shape[:2]):
        result[place] = define("conv-padding", env | {"G": G[place]}, **sizes)
    return result


@proves("conv-answer")
def test_both_identities_for_the_whole_full_convolution():
    env, Y, sizes = assignment(whole=True)
    G = symbols("G", *Y.shape)
    holds("conv-answer", env | {"Y": rows(Y, 2)}, only=0, **sizes)
    env |= {"L": pairing(G, Y), "dL/dY": rows(G, 2)}
    for which in (1, 2):
        holds("conv-answer", env, only=which, **sizes)


@proves("conv-answer", "conv-answer-valid", "conv-padding")
def test_both_identities_for_the_valid_part_with_a_padded_gradient():
    env, Y, sizes = assignment(whole=False)
    assert Y.shape == (2, 2, 3 - 2 + 1, 2 - 2 + 1)
    G = symbols("G", *Y.shape)
    env |= {"L": pairing(G, Y), "bar G": rows(padded(G, 2, 2), 2)}
    holds("conv-answer-valid", env, **sizes)


@proves("conv-valid", "conv-full")
def test_the_valid_part_is_the_filtering_with_a_turned_filter():
    X, W = symbols("X", *IMAGE), symbols("W", *FILTER)
    full = define("conv-full", {"x": X, "w": W}, **FULL, **TAPS)
    env = {"X": X, "W": W, "Y": full[1:4, 1:3], "H'": sympy.Integer(2), "W'": sympy.Integer(2)}
    holds("conv-valid", env, **FILT, **TAPS)
    numbers = {"X": normal(*IMAGE), "W": normal(*FILTER), "H'": 2, "W'": 2}
    turned = layers.filter_valid(numbers["X"], numbers["W"][::-1, ::-1])
    assert_same(define("conv-valid", numbers, **FILT, **TAPS), turned)


@proves("conv-literal")
def test_what_fails_literally():
    H, HH = sympy.symbols("H HH", positive=True)
    holds("conv-literal", {"H": H, "H'": HH})
    for HH in (1, 2, 3):
        X, W = normal(6, 6), normal(HH, HH)
        dY = normal(*layers.filter_valid(X, W).shape)
        shape = layers.filter_valid(dY, W).shape
        assert shape == (6 - 2 * HH + 2,) * 2
        assert (shape == X.shape) == (HH == 1)


@proves("conv-answer", "conv-answer-valid", "conv-padding")
def test_the_assignments_identities_by_differences():
    """Both answers, with all sums, on sizes that differ from each other: to 3e-10."""
    shapes = {"X": (3, 2, 6, 5), "W": (4, 2, 3, 2)}
    arrays = {name: normal(*shape) for name, shape in shapes.items()}
    for whole in (True, False):
        env, Y, sizes = assignment(whole, **arrays)
        assert Y.shape == ((3, 4, 6 + 2, 5 + 1) if whole else (3, 4, 6 - 2, 5 - 1))
        G = normal(*Y.shape)
        env |= {"dL/dY": rows(G, 2), "bar G": rows(padded(G, 3, 2).astype(float), 2)}
        for which, name in enumerate(("X", "W")):
            label, place = ("conv-answer", which + 1) if whole else ("conv-answer-valid", which)
            ours = define(label, env, place, **sizes).astype(float)

            def forward(moved, name=name, whole=whole):
                return assignment(whole, **arrays | {name: moved})[1].astype(float)

            # L is linear in either array: a long step rounds less, and cuts nothing off.
            differences = numeric_gradient(forward, arrays[name], G, step=1e-2)
            np.testing.assert_allclose(ours, differences, rtol=0, atol=3e-10)


@proves("conv-forward", "conv-backward")
def test_convolution_layer_by_sympy():
    """Two of everything that is summed over, as one of each would prove too little."""
    sizes = {"n": 2, "c": 2, "f": 2, "i": 2, "j": 2, **TAPS}
    x, w = symbols("x", 2, 2, 3, 3), symbols("w", 2, 2, *FILTER)
    env = {"x": x, "w": w, "dout": symbols("dout", 2, 2, 2, 2)}
    L = pairing(env["dout"], define("conv-forward", env, **sizes))
    env |= {"dx": derivative(L, x), "dw": derivative(L, w)}
    holds("conv-backward", env, only=0, **sizes, p=3, q=3)
    holds("conv-backward", env, only=1, **sizes)


@proves("conv-forward", "conv-backward")
def test_convolution_layer():
    sizes = {"n": 2, "c": 2, "f": 3, **FILT, **TAPS}
    env = {"x": normal(2, 2, *IMAGE), "w": normal(3, 2, *FILTER), "dout": normal(2, 3, 3, 2)}
    out, cache = layers.conv_forward(env["x"], env["w"])
    assert_same(define("conv-forward", env, **sizes), out)
    dx, dw = layers.conv_backward(env["dout"], cache)
    assert_same(define("conv-backward", env, 0, **sizes, **PIXELS), dx)
    assert_same(define("conv-backward", env, 1, **sizes), dw)


def test_what_the_exercises_say():
    X, W, a, b = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 10.0]]), 2.0, -3.0
    np.testing.assert_array_equal(layers.convolve_full(X, W)[:, 1:-1], [[12, 23]])
    G = np.array([[0, a, b, 0]])
    np.testing.assert_array_equal(layers.filter_valid(G, W), [[10 * a, a + 10 * b, b]])
    np.testing.assert_array_equal(layers.filter_valid(G, X), [[2 * a + 3 * b, a + 2 * b]])
    sizes = [layers.convolve_full(normal(28, 28), normal(7, 7)).shape[0]]
    sizes += [layers.filter_valid(normal(28, 28), normal(7, 7)).shape[0]]
    sizes += [layers.filter_valid(normal(22, 22), normal(7, 7)).shape[0]]
    assert sizes == [34, 22, 16]

    # Stride 2: the gradient of stride 1, with zeros where an output was left out.
    x, w, dout = normal(1, 1, 6, 5), normal(1, 1, 2, 3), normal(1, 1, 3, 2)
    dx, _ = layers.conv_backward(dout, layers.conv_forward(x, w, stride=2)[1])
    spread = np.zeros((5, 3))
    spread[::2, ::2] = dout[0, 0]
    np.testing.assert_allclose(dx[0, 0], layers.convolve_full(spread, w[0, 0]))

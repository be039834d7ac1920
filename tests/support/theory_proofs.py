"""What the tests of the theory share: environments, and what it means that a formula holds."""

import functools

import numpy as np
import sympy
from latex_values import equations

RNG = np.random.default_rng(0)
PROVED: set[str] = set()
_used: set[str] = set()


def proves(*labels):
    """Mark a test that evaluates these formulas; it fails if it leaves one of them out."""
    PROVED.update(labels)

    def decorate(test):
        @functools.wraps(test)
        def run(*arguments, **named):
            _used.clear()
            test(*arguments, **named)
            assert set(labels) <= _used, f"not evaluated: {set(labels) - _used}"

        return run

    return decorate


def normal(*shape):
    """Random numbers to evaluate a formula with."""
    return RNG.standard_normal(shape)


def symbols(name, *shape, **assumptions):
    """An array of symbols: x_0_1, ..."""
    assumptions = assumptions or {"real": True}
    array = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        array[place] = sympy.Symbol(name + "".join(f"_{i}" for i in place), **assumptions)
    return array


def derivative(value, by):
    """The array of d value / d by[i], by SymPy."""
    return map_entries(lambda entry: sympy.diff(value, entry), by)


def rows(array, axes=1):
    """The array as an array of arrays: X[i] is a row; with ``axes=2``, X[n, c] an image."""
    result = np.empty(array.shape[:axes], dtype=object)
    for place in np.ndindex(*result.shape):
        result[place] = array[place]
    return result


def map_entries(function, array):
    result = np.empty(np.shape(array), dtype=object)
    for place in np.ndindex(*np.shape(array)):
        result[place] = function(array[place])
    return result


def pairing(dout, out):
    """L = sum(dout * out): what an upstream gradient stands for."""
    return sum(np.ravel(dout * out))


def define(label, env, which=0, *, side=-1, **sizes):
    """Evaluate one side of one equation of a block."""
    _used.add(label)
    return equations(label, **sizes)[which].value(side, env)


def holds(label, env, only=None, **sizes):
    """Assert that all sides of all equations of a block agree, for every choice of indices."""
    _used.add(label)
    for which, equation in enumerate(equations(label, **sizes)):
        if only is not None and which != only:
            continue
        assert len(equation.sides) > 1, f"{label}: no equation: {equation.latex}"
        first = equation.value(0, env)
        for side in range(1, len(equation.sides)):
            assert_same(equation.value(side, env), first, f"{label}: {equation.latex}")


def assert_same(ours, wanted, what=""):
    """Equal as expressions, entry by entry; numbers to 1e-12."""
    ours, wanted = np.asarray(ours, dtype=object), np.asarray(wanted, dtype=object)
    assert ours.shape == wanted.shape, f"{what}: shapes {ours.shape} and {wanted.shape}"
    assert ours.size, what
    for a, b in zip(ours.ravel(), wanted.ravel(), strict=True):
        if sympy.sympify(a).free_symbols | sympy.sympify(b).free_symbols:
            assert vanishes(a - b), f"{what}: {a} is not {b}"
        else:
            assert abs(float(a - b)) <= 1e-12 * max(1.0, abs(float(b))), f"{what}: {a} is not {b}"


def vanishes(difference):
    """Whether an expression is identically 0."""
    return sympy.expand(difference) == 0 or sympy.simplify(difference) == 0

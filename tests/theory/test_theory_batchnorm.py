"""1.4, evaluated as it is displayed: three readings of the spread, by SymPy and by differences."""

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
    rows,
    symbols,
)

from handgrad import layers
from handgrad.gradcheck import numeric_gradient

N_BATCH = 3
BN = {"n": N_BATCH, "k": N_BATCH}


def batch(kappa, x=None, dout=None):
    """A batch of three symbols, with the displayed statistics as expressions of it."""
    x = symbols("x", N_BATCH) if x is None else x
    dout = symbols("dout", N_BATCH) if dout is None else dout
    env = {
        "x": x,
        "dout": dout,
        "N": sympy.Integer(N_BATCH),
        "\\kappa": kappa,
        "\\gamma": sympy.Symbol("gamma", real=True),
        "\\beta": sympy.Symbol("beta", real=True),
        "\\epsilon": sympy.Symbol("epsilon", positive=True),
    }
    for which, name in enumerate(("\\mu", "v", "\\sigma")):
        env[name] = define("bn-statistics", env, which, n=N_BATCH)
    env["hat x"] = define("bn-forward", env, 0, n=N_BATCH)
    env["out"] = define("bn-forward", env, 1, n=N_BATCH)
    env["d\\gamma"] = define("bn-parameters", env, 0, n=N_BATCH)
    env["d\\beta"] = define("bn-parameters", env, 1, n=N_BATCH)
    env["g"] = env["\\gamma"] * dout
    env["L"] = pairing(dout, env["out"])
    env["dx"] = derivative(env["L"], x)
    return env


BN_LABELS = ("bn-statistics", "bn-forward", "bn-parameters")


@proves(*BN_LABELS, "bn-dmu", "bn-dsigma", "bn-sum-of-paths", "bn-dx", "bn-orthogonal")
@pytest.mark.parametrize("kappa", ["standard", "the assignment's"])
def test_batch_normalisation_by_sympy(kappa):
    env = batch(sympy.Rational(1, N_BATCH) if kappa == "standard" else sympy.Integer(1))
    assert_same(sympy.diff(env["L"], env["\\gamma"]), env["d\\gamma"])
    assert_same(sympy.diff(env["L"], env["\\beta"]), env["d\\beta"])
    for label in ("bn-dmu", "bn-dsigma", "bn-sum-of-paths", "bn-dx", "bn-orthogonal"):
        holds(label, env, **BN)


@proves("bn-dx-standard", "bn-dx-assignment")
@pytest.mark.parametrize("reading", ["standard", "assignment"])
def test_batch_normalisation_in_both_readings(reading):
    env = batch(sympy.Rational(1, N_BATCH) if reading == "standard" else sympy.Integer(1))
    holds(f"bn-dx-{reading}", env, **BN)
    other = {"standard": "assignment", "assignment": "standard"}[reading]
    apart = define(f"bn-dx-{other}", env, n=N_BATCH, k=N_BATCH)[0] - env["dx"][0]
    some = {symbol: i + 2 for i, symbol in enumerate(sorted(apart.free_symbols, key=str))}
    assert abs(sympy.N(apart.subs(some))) > 0.1


@proves("bn-paths")
def test_batch_normalisation_path_by_path():
    """With x held still, mu and sigma are variables of their own."""
    env = batch(sympy.Rational(1, N_BATCH))
    env["\\mu"], env["\\sigma"] = sympy.symbols("mu sigma", real=True)
    env["hat x"] = define("bn-forward", env, 0, n=N_BATCH)
    env["out"] = define("bn-forward", env, 1, n=N_BATCH)
    env["L"] = pairing(env["dout"], env["out"])
    holds("bn-paths", env, **BN)


@proves(*BN_LABELS, "bn-dx-standard", "bn-running", "bn-test")
def test_batch_normalisation_by_our_layer():
    N, eps, momentum = 5, 1e-5, 0.9
    x, dout, gamma, beta = normal(N), normal(N), normal(1), normal(1)
    running = {"running_mean": normal(1), "running_var": abs(normal(1))}
    env = {
        "x": x,
        "dout": dout,
        "N": N,
        "\\kappa": 1 / N,
        "\\gamma": gamma[0],
        "\\beta": beta[0],
        "\\epsilon": eps,
    }
    for mode in ("train", "test"):
        param = {"mode": mode, "eps": eps, "momentum": momentum, **running}
        out, cache = layers.batchnorm_forward(x[:, None], gamma, beta, param)
        dx, dgamma, dbeta = layers.batchnorm_backward(dout[:, None], cache)
        if mode == "train":
            for which, name in enumerate(("\\mu", "v", "\\sigma")):
                env[name] = define("bn-statistics", env, which, n=N)
            for name, now in (("running_mean", env["\\mu"]), ("running_var", env["v"])):
                moving = {"r": running[name][0], "momentum": momentum, "\\mu": now}
                assert_same(define("bn-running", moving), param[name][0])
        else:
            env["\\mu"], env["v"] = running["running_mean"][0], running["running_var"][0]
            env["\\sigma"] = define("bn-statistics", env, 2, n=N)
        env["hat x"] = define("bn-forward", env, 0, n=N)
        assert_same(define("bn-forward", env, 1, n=N), out[:, 0])
        env["d\\gamma"] = define("bn-parameters", env, 0, n=N)
        env["d\\beta"] = define("bn-parameters", env, 1, n=N)
        assert_same([env["d\\gamma"], env["d\\beta"]], [dgamma[0], dbeta[0]])
        label = "bn-dx-standard" if mode == "train" else "bn-test"
        assert_same(define(label, env, k=N), dx[:, 0])


def test_a_constant_feature_passes_a_gradient_of_the_stated_size():
    _, cache = layers.batchnorm_forward(np.ones((2, 1)), np.ones(1), np.zeros(1), {"mode": "train"})
    dx, _, _ = layers.batchnorm_backward(np.array([[1.0], [-1.0]]), cache)
    np.testing.assert_allclose(dx[:, 0], [316.2277660, -316.2277660])


@proves("bn-test", "bn-parameters")
def test_batch_normalisation_in_test_mode_by_sympy():
    """The statistics are symbols of their own: x cannot move them."""
    env = batch(sympy.Rational(1, N_BATCH))
    env["\\mu"], env["v"] = sympy.Symbol("mu", real=True), sympy.Symbol("v", positive=True)
    env["\\sigma"] = define("bn-statistics", env, 2, n=N_BATCH)
    env["hat x"] = define("bn-forward", env, 0, n=N_BATCH)
    env["out"] = define("bn-forward", env, 1, n=N_BATCH)
    L = pairing(env["dout"], env["out"])
    holds("bn-test", env | {"dx": derivative(L, env["x"])}, **BN)
    for which, parameter in enumerate(("\\gamma", "\\beta")):
        gradient = define("bn-parameters", env, which, n=N_BATCH)
        assert_same(gradient, sympy.diff(L, env[parameter]))


# The assignment's rows: X_i, G_i and Y_i are rows of X, G and Y. ----------------------------------

ROWS, FEATURES = 3, 2
OF_ROWS = {"i": ROWS, "j": ROWS}


def one_sigma(X, G):
    """The first reading: the norm over all features, as it is displayed."""
    n, d = X.shape
    env = {
        "X": rows(X),
        "G": rows(G),
        "n": sympy.Integer(n),
        "I": np.array(sympy.eye(d).tolist(), dtype=object),
        "\\epsilon": sympy.Symbol("epsilon", positive=True) if X.dtype == object else 1e-5,
    }
    sizes = {"i": n, "j": n}
    env["\\mu"] = define("bn-norm", env, 0, **sizes)
    env["\\sigma"] = define("bn-norm", env, 1, **sizes)
    Y = define("bn-norm", env, 2, **sizes)
    return env | {"Y": rows(Y), "L": pairing(G, Y)}, Y


def sigma_by_feature(X, G, kappa):
    """The second and the third reading, with the one-feature statistics for each column."""
    n, d = X.shape
    eps = sympy.Symbol("epsilon", positive=True) if X.dtype == object else 1e-5
    env = {"X": rows(X), "G": rows(G), "n": sympy.Integer(n)}
    sigma, Y = np.empty(d, dtype=object), np.empty((n, d), dtype=object)
    for c in range(d):
        one = {"x": X[:, c], "N": sympy.Integer(n), "\\kappa": kappa, "\\epsilon": eps}
        for which, name in enumerate(("\\mu", "v", "\\sigma")):
            one[name] = define("bn-statistics", one, which, n=n)
        sigma[c], Y[:, c] = one["\\sigma"], define("bn-forward", one, 0, n=n)
    return env | {"\\sigma": sigma, "Y": rows(Y), "L": pairing(G, Y)}, Y


@proves("bn-norm", "bn-norm-dsigma", "bn-norm-sum", "bn-answer")
def test_one_sigma_for_all_features_by_sympy():
    env, _ = one_sigma(symbols("X", ROWS, FEATURES), symbols("G", ROWS, FEATURES))
    holds("bn-norm-dsigma", env, **OF_ROWS)
    holds("bn-answer", env, **OF_ROWS)
    env["dL/d\\mu"] = define("bn-norm-paths", env, 0, **OF_ROWS)
    env["dL/d\\sigma"] = define("bn-norm-paths", env, 1, **OF_ROWS)
    holds("bn-norm-sum", env, **OF_ROWS)


@proves("bn-norm-paths")
def test_one_sigma_path_by_path():
    """With X held still, mu and sigma are variables of their own."""
    G = symbols("G", ROWS, FEATURES)
    env, _ = one_sigma(symbols("X", ROWS, FEATURES), G)
    env["\\mu"], env["\\sigma"] = symbols("mu", FEATURES), sympy.Symbol("sigma", positive=True)
    Y = define("bn-norm", env, 2, **OF_ROWS)
    holds("bn-norm-paths", env | {"Y": rows(Y), "L": pairing(G, Y)}, **OF_ROWS)


@proves("bn-answer-features")
def test_a_sigma_for_each_feature_by_sympy():
    X, G = symbols("X", ROWS, FEATURES), symbols("G", ROWS, FEATURES)
    env, _ = sigma_by_feature(X, G, sympy.Rational(1, ROWS))
    holds("bn-answer-features", env, **OF_ROWS)


@proves("bn-answer", "bn-answer-features", "bn-dx-assignment")
def test_each_reading_has_the_gradient_of_its_own_forward_pass():
    """By central differences, to 3e-10; another reading's gradient is wrong by its own size."""
    n, d = 6, 5
    X, G = np.random.default_rng(1).standard_normal((2, n, d))
    sizes = {"i": n, "j": n}

    def differences(forward):
        return numeric_gradient(lambda x: forward(x)[1].astype(float), X, G)

    env, _ = one_sigma(X, G)
    scalar = define("bn-answer", env, 2, **sizes).astype(float)
    norm = differences(lambda x: one_sigma(x, G))
    np.testing.assert_allclose(scalar, norm, rtol=0, atol=3e-10)

    second, _ = sigma_by_feature(X, G, 1)
    columns = np.empty((n, d))
    for c in range(d):
        x_hat, dout = np.array([row[c] for row in second["Y"]]), G[:, c]
        one = {
            "hat x": x_hat,
            "dout": dout,
            "\\sigma": second["\\sigma"][c],
            "N": n,
            "\\gamma": 1,
            "d\\beta": dout.sum(),
            "d\\gamma": (dout * x_hat).sum(),
        }
        columns[:, c] = define("bn-dx-assignment", one, k=n)
    by_feature = differences(lambda x: sigma_by_feature(x, G, 1))
    np.testing.assert_allclose(columns, by_feature, rtol=0, atol=3e-10)
    assert np.linalg.norm(columns - norm) > np.linalg.norm(norm)

    env, _ = sigma_by_feature(X, G, 1 / n)
    standard = define("bn-answer-features", env, **sizes).astype(float)
    by_feature = differences(lambda x: sigma_by_feature(x, G, 1 / n))
    np.testing.assert_allclose(standard, by_feature, rtol=0, atol=3e-10)
    _, cache = layers.batchnorm_forward(X, np.ones(d), np.zeros(d), {"mode": "train"})
    np.testing.assert_allclose(layers.batchnorm_backward(G, cache)[0], standard, atol=1e-12)


def test_what_the_exercises_say():
    ones, zeros = np.ones(1), np.zeros(1)
    param = {"mode": "train", "eps": 0}
    two, cache = layers.batchnorm_forward(np.array([[1.5], [4.0]]), ones, zeros, param)
    np.testing.assert_allclose(two.ravel(), [-1, 1])
    np.testing.assert_allclose(layers.batchnorm_backward(normal(2, 1), cache)[0], 0, atol=1e-14)

    X, G = normal(5, 3), normal(5, 3)
    for Y, total in ((one_sigma(X, G)[1], 1), (sigma_by_feature(X, G, 1 / 5)[1], 5 * 3)):
        np.testing.assert_allclose((Y.astype(float) ** 2).sum(), total, rtol=1e-3)

    # Without the path through the spread, dout = 1 shows nothing: that path is then 0.
    _, cache = layers.batchnorm_forward(X, np.ones(3), np.zeros(3), {"mode": "train"})
    dx, dgamma, _ = layers.batchnorm_backward(np.ones((5, 3)), cache)
    np.testing.assert_allclose(dgamma, 0, atol=1e-14)
    np.testing.assert_allclose(dx, 0, atol=1e-14)

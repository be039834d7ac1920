"""The theory's formulas on whole networks, A.1 to A.3, evaluated as they are displayed."""

import numpy as np
import sympy
from theory_proofs import (
    assert_same,
    define,
    derivative,
    holds,
    map_entries,
    normal,
    pairing,
    proves,
    symbols,
)

from handgrad import layers, optim
from handgrad.network import Dense, Network, ReLU
from handgrad.softmax import SoftmaxClassifier

N, D, K, C = 3, 2, 3, 2
SIZES = {"n": N, "d": D, "k": K, "j": C}
FORWARD = ("u", "a", "s")
NAMES = {"w": "W1", "b": "b1", "v": "W2", "c": "b2"}


def numbers():
    """A batch and parameters with hidden units on both sides of 0."""
    rng = np.random.default_rng(0)
    shapes = {"x": (N, D), "w": (D, K), "b": (K,), "v": (K, C), "c": (C,)}
    env = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    for which, name in enumerate(FORWARD):
        env[name] = define("net-forward", env, which, **SIZES).astype(float)
    assert 0 < (env["u"] > 0).sum() < N * K
    return env


def by_sympy(env, name, y):
    """dL/d(name) at the numbers of ``env``: SymPy's, of the displayed forward formulas."""
    moving = {**env, name: symbols("t", *env[name].shape)}
    first = FORWARD.index(name) + 1 if name in FORWARD else 0
    for which in range(first, len(FORWARD)):
        moving[FORWARD[which]] = define("net-forward", moving, which, **SIZES)
    loss = define("softmax-loss", {"x": moving["s"], "y": y, "N": N}, n=N, c=C)
    point = dict(zip(np.ravel(moving[name]), np.ravel(env[name]), strict=True))
    gradient = derivative(loss, moving[name])
    return map_entries(lambda entry: float(entry.subs(point)), gradient)


@proves("net-forward", "net-second", "net-relu", "net-first")
def test_a_network_of_two_layers():
    env, y = numbers(), np.array([1, 0, 0])
    for name in ("s", "v", "c", "a", "u", "w", "b"):
        env[f"dL/d{name}"] = by_sympy(env, name, y)
    for label in ("net-second", "net-relu", "net-first"):
        holds(label, env, **SIZES)

    model = SoftmaxClassifier(input_dim=D, hidden_dim=K, num_classes=C)
    model.params.update({theirs: env[ours] for ours, theirs in NAMES.items()})
    assert_same(model.loss(env["x"]), env["s"])
    _, grads = model.loss(env["x"], y)
    for ours, theirs in NAMES.items():
        assert_same(grads[theirs], env[f"dL/d{ours}"])


@proves("l2-term", "l2-gradient", "l2-step")
def test_the_l2_term():
    w, g = symbols("w", 2), symbols("g", 2)
    strength, rate = sympy.symbols("lambda eta", positive=True)
    env = {"w": w, "g": g, "\\lambda": strength, "\\eta": rate}
    env["R"] = define("l2-term", env, i=2)
    holds("l2-term", env, only=1, i=2)
    env["dw"] = derivative(pairing(g, w) + env["R"], w)  # a loss of the data with the gradient g
    holds("l2-gradient", env, i=2)
    holds("l2-step", {**env, "w": w[0], "g": g[0]})

    def network(reg):
        layers = [Dense(4), ReLU(), Dense(3)]
        return Network(layers, (5,), reg=reg, rng=np.random.default_rng(1))

    X, y = normal(6, 5), np.array([0, 1, 2, 2, 1, 0])
    (plain, of_data), (penalised, whole) = (network(reg).loss(X, y) for reg in (0.0, 0.3))
    params = network(0.0).params
    weights = np.concatenate([params[name].ravel() for name in ("W1", "W2")])
    penalty = define("l2-term", {"w": weights, "\\lambda": 0.3}, i=len(weights))
    assert_same(penalised - plain, penalty)
    for name, array in params.items():
        shown = {"g": of_data[name].ravel(), "w": array.ravel(), "\\lambda": 0.3}
        decayed = define("l2-gradient", shown, i=array.size).reshape(array.shape)
        assert_same(whole[name], decayed if name.startswith("W") else of_data[name])


def test_adamw_decays_by_the_factor_itself():
    """The page: outside of the division, whatever the gradient was."""
    w, rate, decay = np.array([2.0, -3.0]), 0.1, 0.5
    settings = {"learning_rate": rate}
    plain, _ = optim.adam(w, np.array([1.0, 100.0]), dict(settings))
    decayed, _ = optim.adamw(w, np.array([1.0, 100.0]), {**settings, "weight_decay": decay})
    np.testing.assert_allclose(decayed - plain, -rate * decay * w)


@proves("bias-forward", "bias-gradients")
def test_the_bias_of_a_channel():
    sizes = {"n": 2, "f": 2, "i": 1, "j": 2}
    shape = tuple(sizes.values())
    x, b, dout = symbols("x", *shape), symbols("b", 2), symbols("dout", *shape)
    env = {"x": x, "b": b, "dout": dout}
    L = pairing(dout, define("bias-forward", env, **sizes))
    holds("bias-gradients", env | {"dx": derivative(L, x), "db": derivative(L, b)}, **sizes)

    shown = {"x": normal(*shape), "b": normal(2), "dout": normal(*shape)}
    out, cache = layers.channel_bias_forward(shown["x"], shown["b"])
    assert_same(define("bias-forward", shown, **sizes), out)
    for which, gradient in enumerate(layers.channel_bias_backward(shown["dout"], cache)):
        assert_same(define("bias-gradients", shown, which, **sizes), gradient)


def test_a_bias_in_front_of_batch_normalisation_has_the_gradient_0():
    x, b = normal(4, 3, 2, 2), normal(3)
    biased, bias_cache = layers.channel_bias_forward(x, b)
    gamma, beta, param = normal(3), normal(3), {"mode": "train"}
    _, cache = layers.spatial_batchnorm_forward(biased, gamma, beta, param)
    dx, _, _ = layers.spatial_batchnorm_backward(normal(*x.shape), cache)
    _, db = layers.channel_bias_backward(dx, bias_cache)
    np.testing.assert_allclose(db, 0, atol=1e-12)

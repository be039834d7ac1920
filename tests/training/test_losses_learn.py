"""What training by each loss arrives at: the constant that is best for it, weighted or not."""

import numpy as np
import pytest

from handgrad import optim
from handgrad.network import GELU, Dense, LayerNorm, Network, SiLU, Tanh

STEPS = 600


def trained(network, X, y, weights=None, rate=0.3):
    """Descend on the whole batch by Adam, at a rate that falls to 0."""
    configs = {name: {} for name in network.params}
    for step in range(STEPS):
        _, grads = network.loss(X, y, weights)
        for name, w in network.params.items():
            configs[name]["learning_rate"] = rate * (1 - step / STEPS)
            network.params[name], configs[name] = optim.adam(w, grads[name], configs[name])
    return network


def best_constant(loss, y, weights=None, outputs=1, **options):
    """Train a bias alone: the inputs are 0."""
    network = Network([Dense(outputs)], (1,), loss=loss, rng=np.random.default_rng(0), **options)
    return trained(network, np.zeros((len(y), 1)), y, weights).params["b1"]


TARGETS = np.array([0.0, 0.5, 1.0, 2.0, 40.0])
WEIGHTS = np.array([1.0, 1.0, 4.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("loss", "weights", "best"),
    [
        ("mse", None, 8.7),  # the mean
        ("mse", WEIGHTS, (0.5 + 4 + 2 + 20) / 7.5),
        ("mae", None, 1.0),  # the median, which the outlier does not move
        # Clipped at 1, the outlier pulls with 1: (0 - a) + (0.5 - a) + (1 - a) + (2 - a) + 1 = 0,
        # with a = 1.125; but 0 is then further than 1: -1 + 0.5 + 1 + 2 + 1 - 3 a = 0.
        ("huber", None, 3.5 / 3),
        # -1 + (0.5 - a) + 4 (1 - a) + (2 - a) + 0.5 = 0, with 0 further than 1 again: a = 1.
        ("huber", WEIGHTS, 1.0),
    ],
)
def test_regression_finds_its_best_constant(loss, weights, best):
    assert best_constant(loss, TARGETS, weights)[0] == pytest.approx(best, abs=2e-2)


def test_weights_shift_the_odds():
    y = np.array([1, 0, 0, 0])
    # One of four is positive: odds 1/3; with a weight of 6 they are 6/3.
    assert best_constant("logistic", y)[0] == pytest.approx(np.log(1 / 3), abs=1e-3)
    heavy = np.array([6.0, 1, 1, 1])
    assert best_constant("logistic", y, heavy)[0] == pytest.approx(np.log(2), abs=1e-3)
    both = np.stack([y, 1 - y], axis=1)
    scores = best_constant("multilabel", both, heavy, outputs=2)
    np.testing.assert_allclose(scores, [np.log(2), -np.log(2)], atol=1e-3)
    classes = best_constant("softmax", y, heavy, outputs=2)
    assert classes[1] - classes[0] == pytest.approx(np.log(2), abs=1e-3)


def test_smoothed_labels_are_reached():
    # All of one class of three with s = 0.3: q = (0.8, 0.1, 0.1), and log-odds of ln 8.
    scores = best_constant(
        "softmax", np.zeros(4, int), outputs=3, loss_options={"label_smoothing": 0.3}
    )
    np.testing.assert_allclose(scores[0] - scores[1:], np.log(8), atol=1e-3)


@pytest.mark.parametrize("layer", [Tanh(), GELU(), GELU(approximate=True), SiLU()])
def test_smooth_networks_fit_a_curve(layer):
    X = np.linspace(-2, 2, 40)[:, None]
    y = np.sin(2 * X[:, 0])
    network = Network([Dense(16), layer, Dense(1)], (1,), loss="mse", rng=np.random.default_rng(1))
    trained(network, X, y, rate=0.05)
    assert network.loss(X, y)[0] < 0.01 * y.var()


def test_layer_norm_learns_what_scales_hide():
    """Examples of any scale: the class is in the ratio of two features."""
    rng = np.random.default_rng(2)
    X = rng.random((60, 2)) * 10 ** rng.uniform(-3, 3, (60, 1))
    y = (X[:, 0] > X[:, 1]).astype(int)
    network = Network([LayerNorm(eps=0.0), Dense(2)], (2,), rng=rng)
    assert (trained(network, X, y).predict(X) == y).all()

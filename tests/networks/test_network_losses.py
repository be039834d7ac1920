"""Networks by loss: tasks, settings, shapes of scores and predictions, weights of examples."""

import numpy as np
import pytest

from handgrad import layers as L
from handgrad.gradcheck import check_model
from handgrad.network import (
    GELU,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    Network,
    SiLU,
    Tanh,
)

N, D = 6, 4


def rng(seed=0):
    return np.random.default_rng(seed)


def net(loss, outputs, **options):
    description = [Dense(5), Tanh(), Dense(outputs)]
    return Network(description, (D,), loss=loss, rng=rng(), **options)


def rows(seed=1):
    return rng(seed).standard_normal((N, D))


# loss, outputs, y, task, shape of scores, shape of predictions
CASES = {
    "softmax": ("softmax", 3, [0, 1, 2, 2, 1, 0], "classify", (N, 3), (N,)),
    "logistic": ("logistic", 1, [0, 1, 1, 0, 1, 0], "classify", (N,), (N,)),
    "svm": ("svm", 1, [0, 1, 1, 0, 1, 0], "classify", (N,), (N,)),
    "multilabel": ("multilabel", 2, rng(2).integers(0, 2, (N, 2)), "multilabel", (N, 2), (N, 2)),
    "one label": ("multilabel", 1, [[0], [1], [1], [0], [1], [0]], "multilabel", (N, 1), (N, 1)),
    "mse": ("mse", 1, rng(3).standard_normal(N), "regress", (N,), (N,)),
    "mae": ("mae", 3, rng(3).standard_normal((N, 3)), "regress", (N, 3), (N, 3)),
    "huber": ("huber", 2, rng(3).standard_normal((N, 2)), "regress", (N, 2), (N, 2)),
}
EACH = pytest.mark.parametrize(
    ("loss", "outputs", "y", "task", "scored", "predicted"), CASES.values(), ids=CASES
)


@EACH
def test_shapes_task_and_predictions(loss, outputs, y, task, scored, predicted):
    network, X = net(loss, outputs, dtype=np.float32), rows()
    scores = network.loss(X)
    assert network.task == task
    assert scores.shape == scored
    found = network.predict(X, batch_size=4)
    assert found.shape == predicted
    if task == "regress":
        np.testing.assert_allclose(found, scores, rtol=1e-5)
        assert found.dtype == np.float32
    else:
        classes = scores.argmax(axis=1) if loss == "softmax" else scores > 0
        np.testing.assert_array_equal(found, classes)
        assert found.dtype == np.int64
    none = network.predict(X[:0])
    assert none.shape == (0, *predicted[1:])
    assert none.dtype == found.dtype


@EACH
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_layers_and_its_gradients_are_right(
    loss, outputs, y, task, scored, predicted, weighted
):
    network, X = net(loss, outputs, reg=0.1), rows()
    weights = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0]) if weighted else None
    scores = network.loss(X)
    alone, _ = getattr(L, f"{loss}_loss")(scores, np.array(y), sample_weight=weights)
    squares = sum(np.sum(network.params[name] ** 2) for name in ("W1", "W2"))
    np.testing.assert_allclose(network.loss(X, y, weights)[0], alone + 0.05 * squares)

    class Weighted:
        params = network.params

        def loss(self, X, y):
            return network.loss(X, y, sample_weight=weights)

    check_model(Weighted(), X, y, rng=rng(4))


@EACH
def test_an_example_of_weight_two_is_there_twice(loss, outputs, y, task, scored, predicted):
    network, X, y = net(loss, outputs), rows(), np.array(y)
    weights = np.array([1, 2, 0, 1, 1, 2])
    value, grads = network.loss(X, y, weights)
    wanted, repeated = network.loss(np.repeat(X, weights, axis=0), np.repeat(y, weights, axis=0))
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, repeated[name], rtol=1e-10, atol=1e-14)


def test_settings_reach_the_loss_and_have_their_defaults():
    X, y = rows(), 5 * rng(3).standard_normal(N)
    network = net("huber", 1, loss_options={"delta": 0.5})
    assert network.loss_options == {"delta": 0.5}
    wanted = L.huber_loss(network.loss(X), y, delta=0.5)[0]
    np.testing.assert_allclose(network.loss(X, y)[0], wanted, rtol=1e-12)
    labels = rng(3).integers(0, 3, N)
    network = net("softmax", 3, loss_options={"label_smoothing": 0.2})
    wanted = L.softmax_loss(network.loss(X), labels, label_smoothing=0.2)[0]
    np.testing.assert_allclose(network.loss(X, labels)[0], wanted, rtol=1e-12)
    assert net("huber", 1).loss_options == {"delta": 1.0}
    assert net("softmax", 3).loss_options == {"label_smoothing": 0.0}
    assert net("mse", 1).loss_options == {}


@pytest.mark.parametrize(
    ("loss", "outputs", "options", "text"),
    [
        ("l2", 1, None, "loss must be one of softmax, logistic, .* huber; got 'l2'"),
        ("logistic", 2, None, r"logistic needs outputs of shape \(1,\); got \(2,\)"),
        ("mse", 1, {"delta": 1}, "loss_options of mse must be empty; got delta"),
        ("huber", 1, {"d": 1}, "loss_options of huber may hold delta; got d"),
        ("huber", 1, {"delta": 0}, "delta of huber must be positive and finite; got 0"),
        ("huber", 1, {"delta": "big"}, "delta of huber must be positive .*; got 'big'"),
        ("huber", 1, {"delta": np.inf}, "delta of huber must be positive and finite; got inf"),
        ("softmax", 2, {"label_smoothing": 1}, r"label_smoothing .* in \[0, 1\); got 1"),
        ("softmax", 2, {"label_smoothing": None}, r"label_smoothing .* in \[0, 1\); got None"),
    ],
)
def test_wrong_settings_are_named(loss, outputs, options, text):
    with pytest.raises(ValueError, match=f"^Network: {text}"):
        net(loss, outputs, loss_options=options)


@pytest.mark.parametrize(("loss", "letter"), [("multilabel", "L"), ("mse", "M"), ("softmax", "C")])
def test_images_are_no_outputs(loss, letter):
    with pytest.raises(ValueError, match=rf"{loss} needs outputs of shape \({letter},\); got \(2,"):
        Network([Conv(2, 1)], (1, 4, 4), loss=loss)


def test_weights_without_labels_are_refused():
    with pytest.raises(ValueError, match=r"Network\.loss: sample_weight is of no use without y"):
        net("mse", 1).loss(rows(), sample_weight=np.ones(N))


def test_wrong_targets_and_weights_are_named():
    with pytest.raises(ValueError, match=r"mse_loss: y must be of x's shape; .*\(6, 2\)"):
        net("mse", 1).loss(rows(), np.zeros((N, 2)))
    with pytest.raises(ValueError, match=r"svm_loss: sample_weight must be \(N,\) = \(6,\)"):
        net("svm", 1).loss(rows(), np.zeros(N), np.ones(5))


def test_a_network_of_the_new_layers_has_the_right_gradients():
    description = [
        *(Conv(3, 2), LayerNorm(), GELU(), AvgPool(2, stride=1), SiLU(), GlobalAvgPool()),
        *(Dense(4), LayerNorm(), Tanh(), LeakyReLU(0.2), GELU(approximate=True), Dense(2)),
    ]
    network = Network(description, (2, 5, 6), loss="mse", rng=rng())
    shapes = {name: array.shape for name, array in network.params.items()}
    assert shapes["gamma1"] == shapes["beta1"] == (3, 4, 5)
    assert shapes["gamma2"] == (4,)
    assert network.penalised == ("W1", "W2", "W3")
    assert network.state == {}
    X, y = rng(1).standard_normal((N, 2, 5, 6)), rng(2).standard_normal((N, 2))
    check_model(network, X, y, rng=rng(3), samples=12)
    # Layer norm is the same in training and in testing: the loss is that of the scores.
    np.testing.assert_allclose(network.loss(X, y)[0], L.mse_loss(network.loss(X), y)[0])


@pytest.mark.parametrize(
    ("description", "shape", "text"),
    [
        ([LeakyReLU(1.0)], (D,), r"layer 0, LeakyReLU\(slope=1.0\): slope must be in \(0, 1\)"),
        ([LayerNorm()], (2, 3), r"LayerNorm.*needs features \(D,\) or images .*got shape \(2, 3\)"),
        ([LayerNorm(-1.0)], (D,), "eps must be at least 0; got -1.0"),
        ([AvgPool(5)], (1, 4, 4), "a window of 5 does not fit into an image of 4 x 4"),
        ([AvgPool(0)], (1, 4, 4), "size and stride must be at least 1"),
        ([GlobalAvgPool()], (D,), r"GlobalAvgPool\(\): needs images \(C, H, W\); got shape"),
    ],
)
def test_a_layer_that_cannot_stand_is_named(description, shape, text):
    with pytest.raises(ValueError, match=f"^Network: .*{text}"):
        Network([*description, Flatten(), Dense(2)], shape)

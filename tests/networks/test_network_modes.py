"""Network: gradients of whole models, training and test mode, dtypes, purity, prediction."""

import numpy as np
import pytest
from test_network import build, images, vgg11

from handgrad.gradcheck import check_model
from handgrad.network import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
)

NETS = {
    "dense": ([Dense(6), ReLU(), Dense(3)], (4,)),
    "linear": ([Dense(3)], (2, 2)),
    "conv and pool": ([Conv(3, size=3), ReLU(), MaxPool(2), Flatten(), Dense(3)], (2, 6, 6)),
    "two pools after one ReLU": (
        [Conv(3, size=2), ReLU(), MaxPool(2), MaxPool(2, stride=1), Dense(3)],
        (2, 7, 7),
    ),
    "pool first": ([MaxPool(2), ReLU(), Dense(3)], (2, 6, 6)),
    "ReLU and pool first": ([ReLU(), MaxPool(2), Conv(3, size=2), Dense(3)], (2, 6, 6)),
    "batch norm": ([Dense(5), BatchNorm(), ReLU(), Dense(3)], (4,)),
    "sigmoid": ([Dense(5), Sigmoid(), Dense(3)], (4,)),
    "batch norm first": ([BatchNorm(), Dense(3)], (4,)),
    "spatial batch norm": (
        [Conv(3, size=3), BatchNorm(), ReLU(), MaxPool(2), Dense(3)],
        (2, 6, 6),
    ),
    "dropout": ([Dropout(0.8), Dense(8), ReLU(), Dropout(0.5), Dense(3)], (4,)),
    "stride, padding, bias": (
        [Conv(3, size=3, stride=2, padding=2, bias=True), ReLU(), Conv(2, size=2), Dense(3)],
        (2, 5, 6),
    ),
    "overlapping pool": ([Conv(3, size=2), MaxPool(3, stride=1), ReLU(), Dense(3)], (2, 6, 6)),
}


@pytest.mark.parametrize("reg", [0.0, 0.3])
@pytest.mark.parametrize("name", NETS)
def test_gradients_of_whole_models_match_numbers(name, reg):
    description, shape = NETS[name]
    net = build(description, shape, reg=reg)
    rng = np.random.default_rng(5)
    for parameter, array in net.params.items():  # off the initial zeros and ones
        if not parameter.startswith("W"):
            net.params[parameter] = array + rng.normal(0, 0.3, array.shape)
    state = net.rng.bit_generator.state

    def same_mask():
        net.rng.bit_generator.state = state

    X, y = images(5, shape, seed=6), np.array([0, 1, 2, 2, 0])
    errors = check_model(net, X, y, rng=rng, before_each=same_mask, samples=40)
    assert set(errors) == set(net.params)


@pytest.mark.parametrize("loss", ["logistic", "svm"])
def test_gradients_of_binary_models_match_numbers(loss):
    net = build([Dense(6), ReLU(), Dense(1)], (4,), loss=loss, reg=0.1)
    y = np.array([0, 1, 1, 0, 1])
    check_model(net, images(5, (4,), seed=6), y, rng=np.random.default_rng(0))


@pytest.mark.parametrize("batchnorm", [False, True])
def test_gradients_of_vgg11_match_numbers(batchnorm):
    net = build(vgg11(batchnorm), (3, 32, 32))
    X, y = images(2, (3, 32, 32)), np.array([3, 7])
    # Twenty thousand kinks near by: a small step crosses few, and its rounding is larger.
    errors = check_model(
        net, X, y, rng=np.random.default_rng(0), samples=1, step=1e-6, tolerance=1e-5
    )
    assert set(errors) == set(net.params)


# training and test mode -----------------------------------------------------------------------


def dropout_net(**options):
    return build(
        [Conv(3, size=3), BatchNorm(), ReLU(), Flatten(), Dropout(0.5), Dense(3)],
        (2, 5, 5),
        **options,
    )


def test_scores_change_nothing():
    net = dropout_net()
    X = images(4, (2, 5, 5))
    net.loss(X, [0, 1, 2, 0])  # moves the statistics off zero
    params = {name: array.copy() for name, array in net.params.items()}
    state = {name: array.copy() for name, array in net.state.items()}
    generator = net.rng.bit_generator.state
    first = net.loss(X)
    np.testing.assert_array_equal(net.loss(X), first)
    net.predict(X)
    assert net.rng.bit_generator.state == generator
    for name, array in params.items():
        np.testing.assert_array_equal(net.params[name], array)
    for name, array in state.items():
        np.testing.assert_array_equal(net.state[name], array)
    # Test mode looks at each example alone.
    np.testing.assert_allclose(net.loss(X[1:2]), first[1:2], rtol=1e-12)


def test_training_moves_statistics_and_draws_and_leaves_parameters():
    net = dropout_net()
    params = {name: array.copy() for name, array in net.params.items()}
    state, generator = dict(net.state), net.rng.bit_generator.state
    X, y = images(4, (2, 5, 5)), np.array([0, 1, 2, 0])
    first, _ = net.loss(X, y)
    assert net.rng.bit_generator.state != generator
    assert net.loss(X, y)[0] != first  # another mask
    for name, old in state.items():
        assert np.all(net.state[name] != old)
    for name, array in params.items():
        np.testing.assert_array_equal(net.params[name], array)


def test_each_batch_norm_keeps_its_own_statistics():
    net = build([BatchNorm(), Dense(4), BatchNorm(), Dense(3)], (4,))
    X = images(50, (4,)) + np.array([0, 10, 20, 30])
    net.loss(X, np.zeros(50, int))
    # From zeros, one step leaves 0.1 of the batch's.
    np.testing.assert_allclose(net.state["running_mean1"], 0.1 * X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(net.state["running_var1"], 0.1 * X.var(axis=0), rtol=1e-12)
    assert np.all(np.abs(net.state["running_mean2"]) < 1e-9)


def test_a_network_without_dropout_draws_nothing():
    net = build([Dense(3)], (4,))
    generator = net.rng.bit_generator.state
    net.loss(images(3, (4,)), [0, 1, 2])
    assert net.rng.bit_generator.state == generator


def test_the_rng_decides_weights_and_masks():
    X, y = images(4, (2, 5, 5)), [0, 1, 2, 0]
    one, same, other = dropout_net(), dropout_net(), dropout_net(seed=1)
    for name, array in one.params.items():
        np.testing.assert_array_equal(array, same.params[name])
    assert not np.array_equal(one.params["W1"], other.params["W1"])
    assert [one.loss(X, y)[0] for _ in range(3)] == [same.loss(X, y)[0] for _ in range(3)]


# dtypes and purity ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x_dtype", [np.uint8, np.float32, np.float64, bool])
def test_everything_is_of_the_networks_dtype(dtype, x_dtype):
    net = build(
        [
            *(Conv(3, size=3, bias=True), BatchNorm(), ReLU(), MaxPool(2), Dropout(0.5)),
            *(Dense(5), BatchNorm(), ReLU(), Dense(3)),
        ],
        (2, 6, 6),
        dtype=dtype,
        reg=0.1,
    )
    X = (images(4, (2, 6, 6)) * 9).astype(x_dtype)
    assert {array.dtype for array in net.state.values()} == {np.dtype(dtype)}
    loss, grads = net.loss(X, [0, 1, 2, 0])
    assert isinstance(loss, float)
    assert net.loss(X).dtype == dtype
    for arrays in (net.params, net.state, grads):
        assert {array.dtype for array in arrays.values()} == {np.dtype(dtype)}


def test_a_binary_networks_float32_stays_float32():
    net = build([Dense(1)], (4,), loss="svm", dtype=np.float32)
    _, grads = net.loss(images(3, (4,)), [0.0, 1.0, 1.0])
    assert grads["W1"].dtype == grads["b1"].dtype == net.loss(images(3, (4,))).dtype == np.float32


@pytest.mark.parametrize("description", [NETS["dropout"], NETS["pool first"], NETS["batch norm"]])
def test_inputs_are_not_modified(description):
    net = build(*description, reg=0.1)
    X, y = images(5, description[1]), np.array([0, 1, 2, 2, 0])
    X.flags.writeable = y.flags.writeable = False
    for array in (*net.params.values(), *net.state.values()):
        array.flags.writeable = False
    net.loss(X)
    net.loss(X, y)
    net.predict(X)


def test_gradients_are_new_arrays():
    net = build([Dense(3)], (4,), reg=0.5)
    X, y = images(3, (4,)), [0, 1, 2]
    _, first = net.loss(X, y)
    kept = {name: grad.copy() for name, grad in first.items()}
    _, second = net.loss(X, y)
    for name, grad in first.items():
        grad += 1
        np.testing.assert_array_equal(second[name], kept[name])
    net.params["W1"] -= 0  # and not views of the parameters
    np.testing.assert_array_equal(net.loss(X, y)[1]["W1"], kept["W1"])


def test_images_may_come_as_rows():
    net = build(*NETS["conv and pool"])
    X = images(5, (2, 6, 6))
    np.testing.assert_array_equal(net.loss(X.reshape(5, 72)), net.loss(X))


@pytest.mark.parametrize("shape", [(6, 6, 2), (2, 36), (12, 6), (71,)])
def test_images_of_another_layout_are_refused_not_scrambled(shape):
    net = build(*NETS["conv and pool"])
    message = r"Network.loss: each example of X must have the shape \(2, 6, 6\), or be a row of 72"
    with pytest.raises(ValueError, match=message):
        net.loss(np.zeros((5, *shape)))


# scores and predictions -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 7, 500])
def test_predict_gives_the_largest_class(batch_size):
    net = build([Dense(4)], (5,))
    X = images(7, (5,))
    labels = net.predict(X, batch_size=batch_size)
    np.testing.assert_array_equal(labels, (X @ net.params["W1"]).argmax(axis=1))
    assert labels.shape == (7,)
    assert len(set(labels.tolist())) > 1


@pytest.mark.parametrize("loss", ["svm", "logistic"])
def test_predict_gives_1_where_the_binary_score_is_positive(loss):
    net = build([Dense(1)], (1,), loss=loss)
    net.params["W1"][:] = 1.0
    X = np.array([[-2.0], [0.0], [1e-9], [3.0]])
    np.testing.assert_array_equal(net.loss(X), [-2, 0, 1e-9, 3])
    labels = net.predict(X, batch_size=3)
    np.testing.assert_array_equal(labels, [0, 0, 1, 1])
    assert labels.dtype.kind == "i"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_example_gives_no_scores(dtype):
    dense = Network([Dense(7), BatchNorm(), ReLU(), Dropout(0.5), Dense(3)], (5,), dtype=dtype)
    assert dense.loss(np.zeros((0, 5))).shape == (0, 3)
    net = [Conv(3, size=3), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dropout(0.5), Dense(4)]
    assert Network(net, (1, 8, 8), dtype=dtype).loss(np.zeros((0, 1, 8, 8))).shape == (0, 4)

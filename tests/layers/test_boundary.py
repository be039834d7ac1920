"""At the boundary: the result has x's dtype, whatever dtype, byte or memory order comes in."""

import numpy as np
import pytest
from engines import each_engine as each_engine

from handgrad import layers as L, optim
from handgrad.descriptions import ReLU
from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Network
from handgrad.solver import Solver

ROWS, IMAGES, FILTERS = (6, 4), (5, 2, 6, 7), (3, 2, 3, 2)
POOL = {"pool_height": 2, "pool_width": 3, "stride": 2}


def norm(forward, mode):
    def run(x, gamma, beta, mean, var):
        return forward(x, gamma, beta, {"mode": mode, "running_mean": mean, "running_var": var})

    return run


def spatial_norm(mode):
    return norm(L.spatial_batchnorm_forward, mode)


OF_CHANNELS = [IMAGES, *[(2,)] * 4]

# name: (forward of arrays alone, backward, the arrays' shapes)
PAIRS = {
    "fc": (L.fc_forward, L.fc_backward, [(6, 2, 2), (4, 3), (3,)]),
    "relu": (L.relu_forward, L.relu_backward, [ROWS]),
    "sigmoid": (L.sigmoid_forward, L.sigmoid_backward, [ROWS]),
    "dropout": (
        lambda x: L.dropout_forward(x, {"p": 0.5, "mode": "train", "seed": 1}),
        L.dropout_backward,
        [ROWS],
    ),
    "dropout, test": (
        lambda x: L.dropout_forward(x, {"p": 0.3, "mode": "test"}),
        L.dropout_backward,
        [ROWS],
    ),
    "norm": (norm(L.batchnorm_forward, "train"), L.batchnorm_backward, [ROWS, *[(4,)] * 4]),
    "norm, test": (norm(L.batchnorm_forward, "test"), L.batchnorm_backward, [ROWS, *[(4,)] * 4]),
    "spatial norm": (spatial_norm("train"), L.spatial_batchnorm_backward, OF_CHANNELS),
    "spatial norm, test": (spatial_norm("test"), L.spatial_batchnorm_backward, OF_CHANNELS),
    "conv": (L.conv_forward, L.conv_backward, [IMAGES, FILTERS]),
    "conv, stride and padding": (
        lambda x, w: L.conv_forward(x, w, stride=2, padding=1),
        L.conv_backward,
        [IMAGES, FILTERS],
    ),
    "channel bias": (L.channel_bias_forward, L.channel_bias_backward, [IMAGES, (2,)]),
    "pool": (lambda x: L.max_pool_forward(x, POOL), L.max_pool_backward, [IMAGES]),
    "average pool": (lambda x: L.avg_pool_forward(x, POOL), L.avg_pool_backward, [IMAGES]),
    "global average": (L.global_avg_pool_forward, L.global_avg_pool_backward, [IMAGES]),
    "layer norm": (L.layernorm_forward, L.layernorm_backward, [ROWS, (4,), (4,)]),
    "layer norm of images": (
        L.layernorm_forward,
        L.layernorm_backward,
        [IMAGES, IMAGES[1:], IMAGES[1:]],
    ),
    "tanh": (L.tanh_forward, L.tanh_backward, [ROWS]),
    "leaky ReLU": (lambda x: L.leaky_relu_forward(x, 0.2), L.leaky_relu_backward, [ROWS]),
    "GELU": (L.gelu_forward, L.gelu_backward, [ROWS]),
    "GELU, tanh form": (lambda x: L.gelu_forward(x, approximate=True), L.gelu_backward, [ROWS]),
    "SiLU": (L.silu_forward, L.silu_backward, [ROWS]),
}


def numbers(shape, seed=0):
    """Whole numbers from 1 to 9: the same in every dtype."""
    return np.random.default_rng(seed).integers(1, 10, shape)


def gradients(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("other", ["f2", "<f4", ">f4", "<f8", ">f8", "i8", ">i2", "u1", "list"])
@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_the_result_has_the_dtype_of_x(each_engine, name, own, other):
    forward, backward, shapes = PAIRS[name]

    def as_other(array):
        return array.tolist() if other == "list" else array.astype(other)

    x, *parameters = (numbers(shape) for shape in shapes)
    want, cache = forward(x.astype(own), *(array.astype(own) for array in parameters))
    out, mixed = forward(x.astype(own), *map(as_other, parameters))
    assert out.dtype == want.dtype == own
    np.testing.assert_array_equal(out, want)
    dout = numbers(out.shape, seed=1)
    for one, two in zip(
        gradients(backward(as_other(dout), mixed)),
        gradients(backward(dout.astype(own), cache)),
        strict=True,
    ):
        assert one.dtype == two.dtype == own
        np.testing.assert_array_equal(one, two)


def strided(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS = {
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "strided": strided,
    "backwards": lambda array: array[::-1].copy()[::-1],
    "read-only": read_only,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_any_order_of_bytes_and_memory_gives_the_same(each_engine, name, own, form):
    forward, backward, shapes = PAIRS[name]
    arrays = [numbers(shape).astype(own) for shape in shapes]
    want, cache = forward(*arrays)
    out, other = forward(*map(form, arrays))
    assert out.dtype == own
    assert out.dtype.isnative
    np.testing.assert_allclose(out, want, rtol=1e-6)
    dout = numbers(out.shape, seed=1).astype(own)
    for one, two in zip(
        gradients(backward(form(dout), other)), gradients(backward(dout, cache)), strict=True
    ):
        assert one.dtype == own
        assert one.dtype.isnative
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


# labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["i1", "<i4", ">i4", ">u2", "u8", "f2", ">f8", "?"])
@pytest.mark.parametrize("loss", [L.softmax_loss, L.logistic_loss, L.svm_loss])
def test_labels_of_every_type_and_order(loss, labels):
    x = np.random.default_rng(0).standard_normal((30, 2 if loss is L.softmax_loss else 1))
    y = np.arange(30) % 2
    want, dwant = loss(x, y)
    for given in (y.astype(labels), strided(y.astype(labels)), read_only(y.astype(labels))):
        got, dx = loss(x, given)
        assert got == want
        np.testing.assert_array_equal(dx, dwant)


def net(kind, dtype=np.float32):
    layers = {
        "dense": [Flatten(), Dense(8), ReLU(), Dense(3)],
        "conv": [Conv(4, 3, bias=True), ReLU(), MaxPool(2), Flatten(), Dense(3)],
        "norm": [
            *(Conv(4, 3), BatchNorm(), ReLU(), MaxPool(2), Flatten()),
            *(Dense(6), BatchNorm(), ReLU(), Dropout(0.5), Dense(3)),
        ],
    }[kind]
    return Network(
        layers, (1, 8, 8), dtype=dtype, reg=0.01, weight_scale=0.3, rng=np.random.default_rng(1)
    )


def trained(network, X, y):
    rows = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    rng = np.random.default_rng(2)
    solver = Solver(network, rows, "adam", num_epochs=2, batch_size=10, rng=rng, verbose=False)
    solver.train()
    return solver.loss_history, network.params


def rows():
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 30)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("labels", ["u1", ">i4", "i8", ">f4"])
@pytest.mark.parametrize("kind", ["dense", "conv", "norm"])
def test_networks_train_on_data_of_any_order(each_engine, kind, labels, form):
    X, y = rows()
    want, params = trained(net(kind), X, y)
    got, same = trained(net(kind), form(X), form(y.astype(labels)))
    assert got == want
    for name, array in params.items():
        np.testing.assert_array_equal(same[name], array)
    network = net(kind)
    loss, grads = network.loss(form(X), form(y.astype(labels)))
    plain, expected = net(kind).loss(X, y)
    assert loss == plain
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, expected[name])


PARAMETERS = {**FORMS, "float64": np.float64, "float16": np.float16}


@pytest.mark.parametrize("form", PARAMETERS.values(), ids=PARAMETERS)
@pytest.mark.parametrize("kind", ["dense", "conv", "norm"])
def test_networks_take_parameters_of_any_kind(each_engine, kind, form):
    X, y = rows()
    networks = net(kind), net(kind)
    for network in networks:
        for name, array in network.params.items():
            network.params[name] = array.astype(np.float16).astype(np.float32)
    plain, network = networks
    for name, array in network.params.items():
        network.params[name] = form(array)
    (want, expected), (got, grads) = plain.loss(X, y), network.loss(X, y)
    assert got == pytest.approx(want, rel=1e-6)
    for name, grad in grads.items():
        assert grad.dtype == np.float32
        np.testing.assert_allclose(grad, expected[name], rtol=1e-5, atol=1e-6)
    losses, _ = trained(network, X, y)
    assert losses[-1] == pytest.approx(trained(plain, X, y)[0][-1], rel=1e-2)


class Doubling(ReLU):
    """Somebody's own layer, which forgets the dtype and the memory order."""

    def forward(self, x, own, context):
        return np.asfortranarray(2.0 * x.astype(np.float64)), None

    def backward(self, dout, cache, *, need_dx):
        return np.asfortranarray(2.0 * dout.astype(np.float64)), {}


@pytest.mark.parametrize("kind", ["dense", "conv", "norm"])
def test_a_layer_of_ones_own_may_give_another_dtype(each_engine, kind):
    X, y = rows()
    plain = net(kind)
    doubled = Network(
        [part for layer in plain.layers for part in (Doubling(), layer)],
        (1, 8, 8),
        dtype=np.float32,
        weight_scale=0.3,
        rng=np.random.default_rng(1),
    )
    loss, grads = doubled.loss(X, y)
    assert np.isfinite(loss)
    assert {grad.dtype for grad in grads.values()} == {np.dtype(np.float32)}
    assert doubled.loss(X).dtype == np.float32


# update rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["f2", "f4", ">f4", "f8", "i8"])
@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("rule", optim.RULES.values(), ids=optim.RULES)
def test_a_step_has_the_dtype_of_w(rule, own, other):
    w, dw = numbers((3, 2)).astype(own), numbers((3, 2), 1)
    want, start = rule(w, dw.astype(own))
    want, end = rule(want, dw.astype(own), start)
    state = {
        name: value.astype(other if other[-2] == "f" and other != "f2" else np.float64)
        if isinstance(value, np.ndarray)
        else value
        for name, value in start.items()
    }
    step, after = rule(rule(w, dw.astype(other))[0], dw.astype(other), state)
    assert step.dtype == own
    np.testing.assert_allclose(step, want, rtol=1e-6)
    for name, value in end.items():
        if isinstance(value, np.ndarray):
            assert after[name].dtype == own


# underflow ------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_underflow_is_no_error_in_layers(each_engine, name, own):
    forward, backward, shapes = PAIRS[name]
    tiny = np.sqrt(np.finfo(own).tiny) / 1e3
    arrays = [numbers(shape).astype(own) * own(tiny) for shape in shapes]
    with np.errstate(all="raise"):
        out, cache = forward(*arrays)
        back = gradients(backward(numbers(out.shape).astype(own) * own(tiny), cache))
    for array in (out, *back):
        assert np.isfinite(array).all()


@pytest.mark.parametrize("rule", optim.RULES.values(), ids=optim.RULES)
def test_underflow_is_no_error_in_steps(rule):
    w, dw = np.ones(3, np.float32), np.full(3, 1e-30, np.float32)
    with np.errstate(all="raise"):
        step, config = rule(w, dw)
        step, _ = rule(step, dw, config)
    np.testing.assert_allclose(step, 1, rtol=1e-3)


def test_underflow_is_no_error_in_losses():
    with np.errstate(all="raise"):
        assert L.softmax_loss(np.float32([[0, -200, -90]]), [0])[0] == 0
        assert L.logistic_loss(np.float32([200.0]), [1])[0] < 1e-40
        assert L.svm_loss(np.float32([1e-40]), [1])[0] == 1
        assert L.multilabel_loss(np.float32([[200.0]]), [[1]])[0] < 1e-40
        assert L.mse_loss(np.float32([1e-30]), [0])[0] == 0
        assert L.mae_loss(np.float32([1e-40]), [0], sample_weight=[1e-40])[0] < 1e-39
        assert L.huber_loss(np.float32([1e-30]), [0], sample_weight=[1e300])[0] == 0


@pytest.mark.parametrize("kind", ["dense", "conv", "norm"])
def test_underflow_is_no_error_in_training(each_engine, kind):
    X, y = rows()
    X *= np.float32(1e-25)
    with np.errstate(all="raise"):
        losses, _ = trained(net(kind), X, y)
    assert np.isfinite(losses).all()

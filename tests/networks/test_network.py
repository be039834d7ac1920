"""Network: shapes, names, L2, the ReLU/max-pool exchange, modes, dtypes, VGG11, errors."""

import numpy as np
import pytest

from handgrad import layers as L
from handgrad.descriptions import Context
from handgrad.network import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    Network,
    ReLU,
)


def build(description, input_shape, seed=0, **options):
    return Network(description, input_shape, rng=np.random.default_rng(seed), **options)


def images(N=3, shape=(2, 7, 7), seed=1):
    return np.random.default_rng(seed).standard_normal((N, *shape))


def vgg11(batchnorm=False):
    """The assignment's compact VGG11: 3x3 convolutions with padding and bias."""
    net = []
    for width in (8, "P", 16, "P", 32, 32, "P", 64, 64, "P", 64, 64, "P"):
        if width == "P":
            net.append(MaxPool(2))
            continue
        norm = [BatchNorm()] if batchnorm else []
        net += [Conv(width, size=3, padding=1, bias=not batchnorm), *norm, ReLU()]
    return [*net, Flatten(), Dense(64), ReLU(), Dense(10)]


# shapes and names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "input_shape", "output_shape"),
    [
        (Dense(5), (7,), (5,)),
        (Dense(5), (2, 3, 4), (5,)),
        (Flatten(), (2, 3, 4), (24,)),
        (ReLU(), (2, 3, 4), (2, 3, 4)),
        (Dropout(0.5), (7,), (7,)),
        (BatchNorm(), (2, 3, 4), (2, 3, 4)),
        (Conv(6, size=3), (2, 7, 9), (6, 5, 7)),
        (Conv(6, size=3, padding=1), (2, 7, 9), (6, 7, 9)),
        (Conv(6, size=3, stride=2), (2, 7, 10), (6, 3, 4)),
        (Conv(6, size=4, stride=3, padding=2), (2, 7, 10), (6, 3, 4)),
        (MaxPool(2), (2, 7, 10), (2, 3, 5)),
        (MaxPool(3), (2, 7, 10), (2, 2, 3)),
        (MaxPool(3, stride=1), (2, 7, 10), (2, 5, 8)),
        (MaxPool(2, stride=3), (2, 7, 10), (2, 2, 3)),
    ],
    ids=str,
)
def test_shape_inference_agrees_with_the_forward(layer, input_shape, output_shape):
    assert layer.output_shape(input_shape) == output_shape
    own = {name: np.ones(size) for name, size in layer.parameter_shapes(input_shape).items()}
    own |= {name: np.ones(2) for name in layer.state_names}
    context = Context("train", np.random.default_rng(0))
    out, cache = layer.forward(np.ones((4, *input_shape)), own, context)
    assert out.shape == (4, *output_shape)
    dx, grads = layer.backward(out, cache, need_dx=True)
    assert dx.shape == (4, *input_shape)
    assert {name: grad.shape for name, grad in grads.items()} == layer.parameter_shapes(input_shape)
    assert build([layer, Flatten(), Dense(3)], input_shape).output_shape == (3,)


def test_parameters_and_state_are_named_by_family():
    net = build(
        [
            Conv(4, size=3, bias=True),
            BatchNorm(),
            ReLU(),
            Conv(5, size=2),
            MaxPool(2),
            Flatten(),
            Dense(6),
            BatchNorm(),
            Dense(3),
        ],
        (2, 7, 7),
    )
    assert {name: array.shape for name, array in net.params.items()} == {
        "W1": (4, 2, 3, 3),
        "b1": (4,),
        "gamma1": (4,),
        "beta1": (4,),
        "W2": (5, 4, 2, 2),
        "W3": (20, 6),
        "b3": (6,),
        "gamma2": (6,),
        "beta2": (6,),
        "W4": (6, 3),
        "b4": (3,),
    }
    state = {name: array.shape for name, array in net.state.items()}
    assert state == {
        "running_mean1": (4,),
        "running_var1": (4,),
        "running_mean2": (6,),
        "running_var2": (6,),
    }
    assert all(np.all(array == 0) for array in net.state.values())
    for name, array in net.params.items():
        if name.startswith(("b", "gamma")):  # b and beta
            assert np.all(array == (1 if name.startswith("gamma") else 0))
    _, grads = net.loss(images(), [0, 1, 2])
    assert list(grads) == list(net.params)
    assert all(grads[name].shape == net.params[name].shape for name in grads)


def test_he_scale_follows_each_layers_fan_in():
    net = build([Conv(200, size=5), Flatten(), Dense(300)], (3, 9, 9))
    # Fan-ins 3*5*5 = 75 and 200*5*5 = 5000; 15,000 and 1,500,000 draws.
    np.testing.assert_allclose(net.params["W1"].std(), np.sqrt(2 / 75), rtol=0.03)
    np.testing.assert_allclose(net.params["W2"].std(), np.sqrt(2 / 5000), rtol=0.03)


def test_weight_scale_is_the_standard_deviation():
    net = build([Dense(300), Dense(100)], (200,), weight_scale=0.05)
    for name in ("W1", "W2"):
        np.testing.assert_allclose(net.params[name].std(), 0.05, rtol=0.03)
        np.testing.assert_allclose(net.params[name].mean(), 0, atol=0.001)


def test_compact_vgg11_has_149370_parameters():
    net = build(vgg11(), (3, 32, 32))
    assert sum(array.size for array in net.params.values()) == 149_370
    assert net.output_shape == (10,)
    assert "149,370" in repr(net)
    assert "(3, 32, 32) -> (10,)" in repr(net)
    # With 'he' weights the scores keep their scale through eleven layers.
    scores = net.loss(images(4, (3, 32, 32)))
    assert scores.shape == (4, 10)
    assert 0.05 < scores.std() < 20


def test_layers_are_data_and_may_be_shared_by_networks():
    description = [Dense(3), ReLU(), Dense(2)]
    one, two = build(description, (4,)), build(description, (5,))
    assert one.params["W1"].shape == (4, 3)
    assert two.params["W1"].shape == (5, 3)
    assert description == [Dense(3), ReLU(), Dense(2)]
    with pytest.raises(AttributeError):
        description[0].units = 4


# what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "input_shape", "text"),
    [
        ([Conv(4, size=3)], (7,), r"layer 0, Conv\(.*needs images \(C, H, W\); got shape \(7,\)"),
        ([ReLU(), MaxPool(2)], (7,), r"layer 1, MaxPool\(.*needs images \(C, H, W\)"),
        ([Conv(4, size=8)], (2, 7, 9), r"a filter of 8 does not fit into an image of 7 x 9"),
        ([Conv(4, size=8)], (2, 9, 7), r"a filter of 8 does not fit into an image of 9 x 7"),
        ([Conv(4, size=10, padding=1)], (2, 7, 9), r"a filter of 10 does not fit"),
        ([MaxPool(4), MaxPool(2)], (2, 7, 7), r"layer 1, .* window of 2 .* image of 1 x 1"),
        ([Conv(0, size=3)], (2, 7, 7), r"filters, size and stride must be at least 1"),
        ([Conv(4, size=0)], (2, 7, 7), r"filters, size and stride must be at least 1"),
        ([Conv(4, size=3, stride=0)], (2, 7, 7), r"filters, size and stride must be at least 1"),
        ([Conv(4, size=3, padding=-1)], (2, 7, 7), r"padding at least 0"),
        ([MaxPool(0)], (2, 7, 7), r"size and stride must be at least 1"),
        ([MaxPool(2, stride=0)], (2, 7, 7), r"size and stride must be at least 1"),
        ([Dense(0)], (7,), r"layer 0, Dense\(units=0\): units must be at least 1; got 0"),
        ([Dropout(0)], (7,), r"keep must be in \(0, 1\]; got 0"),
        ([Dropout(1.5)], (7,), r"keep must be in \(0, 1\]; got 1.5"),
        ([Dropout(float("nan"))], (7,), r"keep must be in \(0, 1\]; got nan"),
        ([BatchNorm()], (4, 5), r"BatchNorm.*needs features \(D,\) or images.*got shape \(4, 5\)"),
        ([Conv(4, size=3)], (2, 7, 7), r"^Network: softmax needs outputs of shape \(C,\); got"),
    ],
)
def test_a_layer_that_cannot_stand_is_named(description, input_shape, text):
    with pytest.raises(ValueError, match=text) as raised:
        build(description, input_shape)
    assert str(raised.value).startswith("Network: ")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"loss": "hinge"}, "loss must be one of softmax, logistic, svm|.*; got 'hinge'"),
        ({"reg": -1.0}, "reg must be at least 0; got -1.0"),
        ({"reg": float("nan")}, "reg must be at least 0; got nan"),
        ({"weight_scale": -1.0}, "weight_scale must be 'he' or a number from 0; got -1.0"),
        ({"weight_scale": "xavier"}, "weight_scale must be 'he' .*; got 'xavier'"),
        ({"dtype": np.int64}, "dtype must be float32 or float64; got int64"),
        ({"dtype": np.float16}, "dtype must be float32 or float64; got float16"),
        ({"loss": "svm"}, r"svm needs outputs of shape \(1,\); got \(3,\)"),
        ({"loss": "logistic"}, r"logistic needs outputs of shape \(1,\); got \(3,\)"),
    ],
)
def test_a_wrong_option_is_named(options, text):
    with pytest.raises(ValueError, match=f"^Network: {text}"):
        build([Dense(3)], (4,), **options)


@pytest.mark.parametrize("shape", [(4, 5), (4,), (4, 2, 3), (0, 5)])
def test_wrong_inputs_are_named(shape):
    net = build([Dense(3)], (4,))
    with pytest.raises(ValueError, match=r"Network\.loss: .* \(4,\).*got X of shape"):
        net.loss(np.zeros(shape))


# the maths: as composed by hand ---------------------------------------------------------------


def by_hand(params, X, y):
    """Compute conv - bias - relu - pool - relu - fc - relu - fc - softmax, as described."""
    pool = {"pool_height": 2, "pool_width": 2, "stride": 1}
    out, conv = L.conv_forward(X, params["W1"], stride=2, padding=1)
    out, bias = L.channel_bias_forward(out, params["b1"])
    out, relu1 = L.relu_forward(out)
    out, pooled = L.max_pool_forward(out, pool)
    out, fc1 = L.fc_forward(out, params["W2"], params["b2"])
    out, relu2 = L.relu_forward(out)
    scores, fc2 = L.fc_forward(out, params["W3"], params["b3"])
    loss, dout = L.softmax_loss(scores, y)
    grads = {}
    dout, grads["W3"], grads["b3"] = L.fc_backward(dout, fc2)
    dout, grads["W2"], grads["b2"] = L.fc_backward(L.relu_backward(dout, relu2), fc1)
    dout = L.relu_backward(L.max_pool_backward(dout, pooled), relu1)
    dout, grads["b1"] = L.channel_bias_backward(dout, bias)
    _, grads["W1"] = L.conv_backward(dout, conv)
    return scores, loss, grads


HAND = [
    Conv(4, size=3, stride=2, padding=1, bias=True),
    ReLU(),
    MaxPool(2, stride=1),
    Flatten(),
    Dense(6),
    ReLU(),
    Dense(3),
]


@pytest.mark.parametrize("ties", [False, True])
def test_a_network_is_its_layers_composed_and_the_exchange_changes_nothing(ties):
    net = build(HAND, (2, 7, 7))
    X, y = images(5), np.array([0, 1, 2, 2, 0])
    if ties:  # whole numbers: equal pixels, and windows without a positive one
        net.params["W1"] = np.round(net.params["W1"] * 2)
        net.params["b1"] = np.array([0.0, -1.0, -9.0, 1.0])
        X = np.round(X)
    scores, loss, grads = by_hand(net.params, X, y)
    np.testing.assert_allclose(net.loss(X), scores, rtol=1e-12, atol=1e-12)
    net_loss, net_grads = net.loss(X, y)
    np.testing.assert_allclose(net_loss, loss, rtol=1e-12)
    assert set(net_grads) == set(grads)
    for name, grad in grads.items():
        np.testing.assert_allclose(net_grads[name], grad, rtol=1e-12, atol=1e-14, err_msg=name)


def test_scores_of_a_batch_norm_dropout_net_are_the_test_mode_layers():
    net = build([Dense(6), BatchNorm(momentum=0.5, eps=0.1), Dropout(0.8), Dense(3)], (4,))
    X, rng = images(5, (4,)), np.random.default_rng(2)
    net.state = {"running_mean1": rng.standard_normal(6), "running_var1": rng.random(6)}
    net.params["gamma1"], net.params["beta1"] = rng.random(6), rng.random(6)
    hidden = X @ net.params["W1"]
    mean, var = net.state["running_mean1"], net.state["running_var1"]
    hidden = net.params["gamma1"] * (hidden - mean) / np.sqrt(var + 0.1) + net.params["beta1"]
    expected = 0.8 * hidden @ net.params["W2"]
    np.testing.assert_allclose(net.loss(X), expected, rtol=1e-12)
    # Training moves them by momentum, from what they were.
    batch = X @ net.params["W1"]
    net.loss(X, [0, 1, 2, 0, 1])
    np.testing.assert_allclose(
        net.state["running_mean1"], 0.5 * mean + 0.5 * batch.mean(axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(
        net.state["running_var1"], 0.5 * var + 0.5 * batch.var(axis=0), rtol=1e-12
    )


def test_activations_are_each_layers_output_and_end_in_the_scores():
    net = build([*HAND[:3], BatchNorm(), Dropout(0.5), *HAND[3:]], (2, 7, 7))
    X = images(3)
    net.state["running_var1"] += 2.0
    outputs = net.activations(X)
    assert [out.shape[1:] for out in outputs[:3]] == [(4, 4, 4), (4, 4, 4), (4, 3, 3)]
    assert len(outputs) == len(net.layers)
    np.testing.assert_array_equal(outputs[1], np.maximum(outputs[0], 0))
    np.testing.assert_allclose(outputs[-1], net.loss(X), rtol=1e-12, atol=1e-12)


def test_l2_is_in_loss_and_gradient_of_weights_only():
    description = [Conv(3, size=3, bias=True), BatchNorm(), ReLU(), Flatten(), Dense(4)]
    plain, decayed = build(description, (2, 5, 5)), build(description, (2, 5, 5), reg=0.7)
    for net in (plain, decayed):
        for name in ("b1", "beta1", "b2"):
            net.params[name] += 1.5
    X, y = images(4, (2, 5, 5)), [0, 1, 2, 3]
    loss, grads = plain.loss(X, y)
    loss_l2, grads_l2 = decayed.loss(X, y)
    weights = [plain.params["W1"], plain.params["W2"]]
    np.testing.assert_allclose(loss_l2, loss + 0.35 * sum((w**2).sum() for w in weights))
    for name, grad in grads.items():
        extra = 0.7 * plain.params[name] if name in ("W1", "W2") else 0
        np.testing.assert_allclose(grads_l2[name], grad + extra, rtol=1e-12, atol=1e-14)

"""The assignment's classes: signatures, names, shapes, first losses, regularisation."""

import inspect

import numpy as np
import pytest

from handgrad.cnn import ConvNet
from handgrad.gradcheck import check_model
from handgrad.logistic import LogisticClassifier
from handgrad.network import BatchNorm, Dropout
from handgrad.softmax import SoftmaxClassifier
from handgrad.svm import SVM

BINARY = [LogisticClassifier, SVM]
ALL = [LogisticClassifier, SVM, SoftmaxClassifier, ConvNet]
EACH = pytest.mark.parametrize("model_class", ALL)
EACH_BINARY = pytest.mark.parametrize("model_class", BINARY)


def rng(seed=0):
    return np.random.default_rng(seed)


def shapes(model):
    return {name: array.shape for name, array in model.params.items()}


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


# signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_class", "expected"),
    [
        (LogisticClassifier, "input_dim=100, hidden_dim=None, weight_scale=0.001, reg=0.0"),
        (SVM, "input_dim=100, hidden_dim=None, weight_scale=0.001, reg=0.0"),
        (
            SoftmaxClassifier,
            "input_dim=784, hidden_dim=100, num_classes=10, weight_scale=0.001, reg=0.0",
        ),
        (
            ConvNet,
            "input_dim=(1, 28, 28), num_filters=32, filter_size=7, hidden_dim=100, "
            "num_classes=10, weight_scale=0.001, reg=0.0, dtype=<class 'numpy.float32'>",
        ),
    ],
)
def test_positional_arguments_and_defaults(model_class, expected):
    parameters = inspect.signature(model_class).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert ", ".join(f"{p.name}={p.default}" for p in positional) == expected


def test_positional_arguments_go_where_they_should():
    for binary in BINARY:
        model = binary(7, 5, 0.0, 0.25, rng=rng())
        assert shapes(model) == {"W1": (7, 5), "b1": (5,), "W2": (5, 1), "b2": (1,)}
        assert model.reg == 0.25
        assert np.all(model.params["W1"] == 0)
    model = SoftmaxClassifier(7, 5, 3, 0.0, 0.25, rng=rng())
    assert shapes(model) == {"W1": (7, 5), "b1": (5,), "W2": (5, 3), "b2": (3,)}
    assert model.reg == 0.25
    assert np.all(model.params["W1"] == 0)
    model = ConvNet((2, 9, 8), 4, 3, 6, 5, 0.0, 0.25, np.float64, rng=rng())
    # 9x8 -> conv 3 -> 7x6 -> pool -> 3x3.
    assert shapes(model) == {
        "W1": (4, 2, 3, 3),
        "W2": (4 * 3 * 3, 6),
        "b2": (6,),
        "W3": (6, 5),
        "b3": (5,),
    }
    assert model.reg == 0.25
    assert np.all(model.params["W2"] == 0)
    assert model.params["W1"].dtype == np.float64


def test_default_models():
    assert shapes(LogisticClassifier()) == {"W1": (100, 1), "b1": (1,)}
    assert shapes(SVM()) == {"W1": (100, 1), "b1": (1,)}
    assert shapes(SoftmaxClassifier()) == {
        "W1": (784, 100),
        "b1": (100,),
        "W2": (100, 10),
        "b2": (10,),
    }
    model = ConvNet()
    assert kinds(model) == ["Conv", "ReLU", "MaxPool", "Flatten", "Dense", "ReLU", "Dense"]
    assert shapes(model) == {
        "W1": (32, 1, 7, 7),
        "W2": (32 * 11 * 11, 100),
        "b2": (100,),
        "W3": (100, 10),
        "b3": (10,),
    }
    for model_class in (LogisticClassifier, SVM, SoftmaxClassifier):
        assert model_class().params["W1"].dtype == np.float64
    assert model.params["W1"].dtype == np.float32


@EACH_BINARY
def test_hidden_layer_is_fc_relu_fc(model_class):
    model = model_class(4, 6, 1.0, rng=rng())
    assert kinds(model) == ["Dense", "ReLU", "Dense"]
    X, p = rng(1).standard_normal((5, 4)), model.params
    expected = np.maximum(X @ p["W1"] + p["b1"], 0) @ p["W2"] + p["b2"]
    np.testing.assert_allclose(model.loss(X), expected[:, 0], rtol=1e-12)


def test_softmax_hidden_dim_none_is_linear():
    model = SoftmaxClassifier(4, None, 3, 1.0, rng=rng())
    assert shapes(model) == {"W1": (4, 3), "b1": (3,)}
    X = rng(1).standard_normal((5, 4))
    np.testing.assert_allclose(model.loss(X), X @ model.params["W1"], rtol=1e-12)
    hidden = SoftmaxClassifier(4, 6, 3, 1.0, rng=rng())
    assert kinds(hidden) == ["Dense", "ReLU", "Dense"]


# initial weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 0.2])
@pytest.mark.parametrize(
    ("model_class", "options"),
    [
        (LogisticClassifier, {"input_dim": 300, "hidden_dim": 50}),
        (SVM, {"input_dim": 300, "hidden_dim": 50}),
        (SoftmaxClassifier, {}),
        (ConvNet, {}),
    ],
)
def test_weight_scale_is_the_standard_deviation(model_class, options, scale):
    model = model_class(**options, weight_scale=scale, rng=rng())
    for name, array in model.params.items():
        if name.startswith("b"):
            assert np.all(array == 0)
        elif array.size >= 1000:
            np.testing.assert_allclose(array.std(), scale, rtol=0.06)
            assert abs(array.mean()) < 0.1 * scale
    default = model_class(**options, rng=rng()).params["W1"]
    np.testing.assert_allclose(default.std(), 1e-3, rtol=0.06)


def test_he_scale_follows_the_fan_in():
    model = SoftmaxClassifier(weight_scale="he", rng=rng())
    np.testing.assert_allclose(model.params["W1"].std(), np.sqrt(2 / 784), rtol=0.03)
    np.testing.assert_allclose(model.params["W2"].std(), np.sqrt(2 / 100), rtol=0.06)


@EACH
def test_numpys_global_seed_decides_where_no_rng_is_given(model_class):
    def weights(seed):
        np.random.seed(seed)  # noqa: NPY002 (what the course's scripts call)
        return model_class().params["W1"]

    np.testing.assert_array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))
    np.random.seed(3)  # noqa: NPY002
    one, two = model_class().params["W1"], model_class().params["W1"]
    assert not np.array_equal(one, two)


@EACH
def test_a_given_rng_decides_and_leaves_numpys_global_generator_alone(model_class):
    before = repr(np.random.get_state())  # noqa: NPY002
    one, two = model_class(rng=rng(8)).params, model_class(rng=rng(8)).params
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    assert repr(np.random.get_state()) == before  # noqa: NPY002


# first losses, scores, labels -----------------------------------------------------------------


@pytest.mark.parametrize("hidden_dim", [None, 20])
@pytest.mark.parametrize(("model_class", "expected"), [(LogisticClassifier, np.log(2)), (SVM, 1)])
def test_first_binary_loss(model_class, expected, hidden_dim):
    model = model_class(50, hidden_dim, rng=rng())
    X, y = rng(1).standard_normal((200, 50)), rng(2).integers(0, 2, 200)
    np.testing.assert_allclose(model.loss(X, y)[0], expected, rtol=0.01)


@pytest.mark.parametrize("num_classes", [3, 10])
def test_first_softmax_loss_is_ln_C(num_classes):
    X, y = rng(1).random((50, 1, 28, 28)), rng(2).integers(0, num_classes, 50)
    for model in (
        SoftmaxClassifier(num_classes=num_classes, rng=rng()),
        SoftmaxClassifier(hidden_dim=None, num_classes=num_classes, rng=rng()),
        ConvNet(num_classes=num_classes, num_filters=4, rng=rng()),
    ):
        np.testing.assert_allclose(model.loss(X, y)[0], np.log(num_classes), rtol=0.01)


@pytest.mark.parametrize("shape", [(6, 24), (6, 4, 6), (6, 2, 3, 4), (6, 1, 24)])
@pytest.mark.parametrize("hidden_dim", [None, 7])
def test_dense_models_take_any_number_of_dimensions(hidden_dim, shape):
    X = rng(1).standard_normal((6, 24))
    y = np.array([0, 1, 1, 0, 1, 0])
    for model, scores_shape in (
        (LogisticClassifier(24, hidden_dim, 0.3, rng=rng()), (6,)),
        (SVM(24, hidden_dim, 0.3, rng=rng()), (6,)),
        (SoftmaxClassifier(24, hidden_dim, 3, 0.3, rng=rng()), (6, 3)),
    ):
        scores = model.loss(X.reshape(shape))
        assert scores.shape == scores_shape
        np.testing.assert_array_equal(scores, model.loss(X))
        loss, grads = model.loss(X.reshape(shape), y)
        assert loss == model.loss(X, y)[0]
        assert {name: g.shape for name, g in grads.items()} == shapes(model)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float32, np.float64])
@EACH_BINARY
def test_binary_labels_in_both_codings(model_class, dtype):
    model = model_class(4, None, 1.0, rng=rng())
    X, y = rng(1).standard_normal((6, 4)), np.array([0, 1, 1, 0, 1, 0])
    loss, grads = model.loss(X, 2 * y - 1)
    same_loss, same_grads = model.loss(X, y.astype(dtype))
    assert loss == same_loss
    np.testing.assert_array_equal(grads["W1"], same_grads["W1"])


def test_the_two_binary_models_differ_in_their_loss():
    X, y = np.array([[2.0], [-3.0]]), np.array([1, 0])
    logistic, svm = LogisticClassifier(1), SVM(1)
    for model in (logistic, svm):
        model.params["W1"] = np.array([[0.4]])
    # Margins 0.8 and 1.2: ln(1 + exp(-m)), and max(0, 1 - m).
    np.testing.assert_allclose(logistic.loss(X, y)[0], np.log1p(np.exp([-0.8, -1.2])).mean())
    np.testing.assert_allclose(svm.loss(X, y)[0], 0.1)
    # Only the first violates; d/dw = -y x / N = -2 / 2.
    np.testing.assert_allclose(svm.loss(X, y)[1]["W1"], [[-1.0]])


@EACH_BINARY
def test_predicts_1_where_the_score_is_positive(model_class):
    model = model_class(1)
    model.params["W1"] = np.array([[1.0]])
    np.testing.assert_array_equal(model.predict([[-1.0], [0.0], [1.0]]), [0, 0, 1])


# regularisation and gradients -----------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda reg: LogisticClassifier(24, 5, 0.5, reg, rng=rng()),
        lambda reg: SVM(24, None, 0.5, reg, rng=rng()),
        lambda reg: SoftmaxClassifier(24, 5, 2, 0.5, reg, rng=rng()),
        lambda reg: ConvNet((1, 4, 6), 2, 3, 4, 2, 0.5, reg, np.float64, rng=rng()),
    ],
    ids=["logistic", "svm", "softmax", "conv"],
)
def test_regularisation_is_on_the_weights_in_loss_and_gradient(make):
    X, y = rng(1).standard_normal((6, 24)), np.array([0, 1, 1, 0, 1, 0])
    plain, decayed = make(0.0), make(0.6)
    for model in (plain, decayed):
        for name in model.params:
            if name.startswith("b"):
                model.params[name] = model.params[name] + 0.5
    loss, grads = plain.loss(X, y)
    loss_l2, grads_l2 = decayed.loss(X, y)
    squares = sum(np.sum(w**2) for name, w in plain.params.items() if name.startswith("W"))
    np.testing.assert_allclose(loss_l2 - loss, 0.5 * 0.6 * squares, rtol=1e-10)
    for name, w in plain.params.items():
        extra = 0.6 * w if name.startswith("W") else 0 * w
        np.testing.assert_allclose(grads_l2[name] - grads[name], extra, atol=1e-12)
    np.testing.assert_array_equal(plain.loss(X), decayed.loss(X))
    check_model(decayed, X, y, rng=rng(3), samples=30)


# ConvNet's variants ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batchnorm": ["conv"]}, "Conv BatchNorm ReLU MaxPool Flatten Dense ReLU Dense"),
        ({"batchnorm": {"dense"}}, "Conv ReLU MaxPool Flatten Dense BatchNorm ReLU Dense"),
        ({"dropout": 0.5}, "Conv ReLU MaxPool Flatten Dense ReLU Dropout Dense"),
        (
            {"dropout": 0.5, "dropout_at": ("conv",)},
            "Conv ReLU MaxPool Dropout Flatten Dense ReLU Dense",
        ),
        (
            {"blocks": 2, "batchnorm": ("conv", "dense"), "dropout": 0.5}
            | {"dropout_at": ("dense", "conv")},
            "Conv BatchNorm ReLU MaxPool Dropout Conv BatchNorm ReLU MaxPool Dropout "
            "Flatten Dense BatchNorm ReLU Dropout Dense",
        ),
    ],
)
def test_convnet_variants(options, expected):
    model = ConvNet((1, 14, 14), 3, 3, 5, 4, dtype=np.float64, rng=rng(), **options)
    assert kinds(model) == expected.split()
    assert all(layer == BatchNorm() for layer in model.layers if isinstance(layer, BatchNorm))
    assert all(layer == Dropout(0.5) for layer in model.layers if isinstance(layer, Dropout))
    X = rng(1).standard_normal((3, 1, 14, 14))
    assert model.loss(X).shape == (3, 4)
    loss, grads = model.loss(X, [0, 1, 3])
    assert np.isfinite(loss)
    assert list(grads) == list(model.params)


def test_the_second_block_has_twice_as_many_filters():
    model = ConvNet(num_filters=3, filter_size=5, blocks=2, rng=rng())
    # 28 -> 24 -> 12 -> 8 -> 4.
    assert model.params["W1"].shape == (3, 1, 5, 5)
    assert model.params["W2"].shape == (6, 3, 5, 5)
    assert model.params["W3"].shape == (6 * 4 * 4, 100)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batchnorm": "conv"}, "ConvNet: batchnorm must be a collection .*; got 'conv'"),
        ({"batchnorm": ["fc"]}, r"ConvNet: batchnorm must be .*; got \['fc'\]"),
        ({"dropout_at": "dense"}, "ConvNet: dropout_at must be a collection .*; got 'dense'"),
        ({"blocks": 0}, "ConvNet: blocks must be at least 1; got 0"),
        ({"dropout": 0.0}, r"keep must be in \(0, 1\]; got 0.0"),
        ({"filter_size": 29}, "a filter of 29 does not fit into an image of 28 x 28"),
        ({"blocks": 3}, "a filter of 7 does not fit into an image of 2 x 2"),
    ],
)
def test_convnet_says_what_is_wrong(options, text):
    with pytest.raises(ValueError, match=text):
        ConvNet(**options)


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_of_parameters_scores_and_gradients(model_class, dtype):
    model = model_class(dtype=dtype, rng=rng())
    X = rng(1).random((2, *model.input_shape))
    assert model.loss(X).dtype == dtype
    for arrays in (model.params, model.loss(X, [0, 1])[1]):
        assert {array.dtype for array in arrays.values()} == {np.dtype(dtype)}


@EACH
def test_unknown_keyword_is_named(model_class):
    with pytest.raises(TypeError, match="hiden_dim"):
        model_class(hiden_dim=3)

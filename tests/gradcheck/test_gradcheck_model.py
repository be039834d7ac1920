"""check_model: the gradient check of a whole model, wrong ones rejected, the model left alone."""

import contextlib
import re

import numpy as np
import pytest

from handgrad.gradcheck import GradientMismatchError, check_model
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU


class LeastSquares:
    """A student's model: loss = mean((X W + b - y)^2) / 2, its gradients spoilt on demand."""

    def __init__(self, spoil=lambda grads: grads):
        rng = np.random.default_rng(0)
        self.params = {"W": rng.standard_normal((5, 4)), "b": rng.standard_normal(4)}
        self.spoil = spoil
        self.evaluations = 0

    def loss(self, X, y):
        self.evaluations += 1
        residual = X @ self.params["W"] + self.params["b"] - y
        grads = {"W": X.T @ residual / len(X), "b": residual.mean(axis=0)}
        return 0.5 * float(np.sum(residual**2)) / len(X), self.spoil(grads)


def data(N=6):
    rng = np.random.default_rng(1)
    return rng.standard_normal((N, 5)), rng.standard_normal((N, 4))


def check(model, **options):
    return check_model(model, *data(), rng=np.random.default_rng(2), **options)


def put(name, index, value):
    """Return the spoiler that adds a value to one entry."""

    def spoil(grads):
        grads[name][index] += value
        return grads

    return spoil


def test_accepts_a_right_model_and_returns_the_errors():
    errors = check(LeastSquares())
    assert set(errors) == {"W", "b"}
    assert max(errors.values()) < 1e-8


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("W", lambda g: {**g, "W": 2 * g["W"]}),
        ("W", lambda g: {**g, "W": g["W"] * 1.00001}),
        ("b", lambda g: {**g, "b": -g["b"]}),
        ("b", lambda g: {**g, "b": 0 * g["b"]}),
        ("W", put("W", (4, 1), 1e-4)),
        ("b", put("b", 0, np.nan)),
    ],
    ids=["factor", "small factor", "sign", "zeros", "one entry", "NaN"],
)
def test_rejects_wrong_gradients(name, spoil):
    with pytest.raises(GradientMismatchError, match=f"the gradient of {name} is wrong"):
        check(LeastSquares(spoil))


@pytest.mark.parametrize("spoil", [lambda g: {"W": g["W"]}, lambda g: {**g, "c": g["b"]}])
def test_rejects_missing_and_surplus_parameters(spoil):
    with pytest.raises(GradientMismatchError, match=r"the model has \['W', 'b'\]"):
        check(LeastSquares(spoil))


def test_rejects_a_wrong_shape_of_the_right_size():
    text = r"the gradient of W has shape \(4, 5\), but W has \(5, 4\)"
    with pytest.raises(GradientMismatchError, match=text):
        check(LeastSquares(lambda g: {**g, "W": g["W"].T}))


def test_rejects_a_weight_penalty_in_the_loss_but_not_in_the_gradient():
    class Half(Network):
        def loss(self, X, y=None):
            loss, grads = super().loss(X, y)
            return loss + 0.05 * float(np.sum(self.params["W1"] ** 2)), grads

    net = Half([Dense(3)], (5,), rng=np.random.default_rng(0))
    with pytest.raises(GradientMismatchError, match="W1"):
        check_model(net, data()[0], np.array([0, 1, 2, 0, 1, 2]), rng=np.random.default_rng(0))


@pytest.mark.parametrize("samples", [None, 12])
def test_the_message_names_the_worst_index_in_the_parameters_own_shape(samples):
    X, y = data()
    right = LeastSquares().loss(X, y)[1]["W"]
    model = LeastSquares(lambda g: {**g, "W": g["W"] + np.arange(20.0).reshape(5, 4)})
    with pytest.raises(GradientMismatchError) as raised:
        check_model(model, X, y, rng=np.random.default_rng(2), samples=samples)
    text = str(raised.value)
    found = re.search(
        r"gradient of W is wrong: at index \((\d), (\d)\) backward says (\S+), "
        r"central differences say (\S+) ",
        text,
    )
    assert found, text
    index = int(found[1]), int(found[2])
    if samples is None:
        assert index == (4, 3)  # the entry that is off by most, 19
    np.testing.assert_allclose(float(found[3]), right[index] + 4 * index[0] + index[1], rtol=1e-8)
    np.testing.assert_allclose(float(found[4]), right[index], rtol=1e-7)


@pytest.mark.parametrize("spoil", [lambda g: g, put("b", 1, 1.0)], ids=["right", "wrong"])
def test_the_models_parameters_are_put_back_to_the_last_bit(spoil):
    model = LeastSquares(spoil)
    # (w - h) + h is not w for weights this small: only the kept value is.
    model.params["W"] *= 1e-9
    model.params["b"][2] = -0.0
    before = {name: array.tobytes() for name, array in model.params.items()}
    with contextlib.suppress(GradientMismatchError):
        check(model)
    assert {name: array.tobytes() for name, array in model.params.items()} == before


def test_the_parameters_are_put_back_when_the_loss_raises():
    class Breaks(LeastSquares):
        def loss(self, X, y):
            if self.evaluations == 7:
                raise ArithmeticError("no loss today")
            return super().loss(X, y)

    model = Breaks()
    before = {name: array.copy() for name, array in model.params.items()}
    with pytest.raises(ArithmeticError):
        check(model)
    for name, array in before.items():
        np.testing.assert_array_equal(model.params[name], array)


def test_parameters_in_another_memory_order_are_checked_too():
    model = LeastSquares()
    model.params["W"] = np.asfortranarray(model.params["W"])
    kept = model.params["W"].copy()
    assert check(model)["W"] < 1e-8
    np.testing.assert_array_equal(model.params["W"], kept)
    with pytest.raises(GradientMismatchError, match="gradient of W"):
        check(LeastSquares(put("W", (0, 3), 1.0)))


def test_float32_parameters_are_refused():
    net = Network([Dense(3)], (5,), dtype=np.float32, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"must be float64; got W1 of float32"):
        check_model(net, data()[0], np.zeros(6, int), rng=np.random.default_rng(0))


def test_samples_bounds_the_work():
    full, some = LeastSquares(), LeastSquares()
    check(full)
    assert full.evaluations == 2 + 2 * (20 + 4)  # two for the gradients: is the loss repeatable?
    errors = check(some, samples=6)
    assert some.evaluations == 2 + 2 * (6 + 4)
    assert set(errors) == {"W", "b"}


def test_samples_are_spread_over_the_parameter():
    # With 12 of 20 entries and seeds 0 to 9, every entry is looked at sooner or later.
    for i in range(20):
        caught = 0
        for seed in range(10):
            model = LeastSquares(put("W", np.unravel_index(i, (5, 4)), 1.0))
            try:
                check_model(model, *data(), rng=np.random.default_rng(seed), samples=12)
            except GradientMismatchError:
                caught += 1
        assert 0 < caught < 10


def test_before_each_restores_the_dropout_mask():
    net = Network([Dense(8), ReLU(), Dropout(0.5), Dense(3)], (5,), rng=np.random.default_rng(0))
    X, y = data()[0], np.array([0, 1, 2, 0, 1, 2])
    state = net.rng.bit_generator.state
    calls = []

    def same_mask():
        calls.append(1)
        net.rng.bit_generator.state = state

    check_model(net, X, y, rng=np.random.default_rng(0), before_each=same_mask)
    assert len(calls) == 2 + 2 * sum(w.size for w in net.params.values())
    with pytest.raises(ValueError, match="the loss is another at every call"):
        check_model(net, X, y, rng=np.random.default_rng(0))


def test_running_statistics_are_left_as_they_were():
    rng = np.random.default_rng(0)
    net = Network([Dense(4), BatchNorm(), Dense(3)], (5,), rng=rng)
    check_model(net, rng.standard_normal((6, 5)), np.arange(6) % 3, rng=rng)
    assert not net.state["running_mean1"].any()


# the model's own ways -------------------------------------------------------------------------


def test_running_statistics_are_left_as_they_were_after_a_mismatch():
    rng = np.random.default_rng(0)
    net = Network([Dense(4), BatchNorm(), Dense(3)], (5,), rng=rng)
    loss = net.loss
    net.loss = lambda X, y: (loss(X, y)[0], {name: 0 * w for name, w in net.params.items()})
    with pytest.raises(GradientMismatchError):
        check_model(net, rng.standard_normal((6, 5)), np.arange(6) % 3, rng=rng)
    assert not net.state["running_mean1"].any()


class InPlace(LeastSquares):
    """A loss that centres the batch where it lies."""

    def loss(self, X, y):
        X -= X.mean(axis=0)
        y *= 2
        return super().loss(X, y)


def test_a_loss_that_works_in_its_arguments_is_given_copies_and_told():
    X, y = data()
    X_before, y_before = X.copy(), y.copy()
    text = r"^check_model: loss changed X, loss changed y in place; the gradients are right, but "
    with pytest.warns(UserWarning, match=text) as caught:
        errors = check_model(InPlace(), X, y, rng=np.random.default_rng(0))
    assert caught[0].filename == __file__
    assert max(errors.values()) < 1e-8
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)
    wrong = InPlace(lambda grads: {**grads, "W": 2 * grads["W"]})
    with pytest.raises(GradientMismatchError, match=r"are off\); loss changed X; loss changed y$"):
        check_model(wrong, X, y, rng=np.random.default_rng(0))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_loss_that_moves_the_parameters_is_refused_and_they_are_put_back(replaced):
    class Steps(LeastSquares):
        def loss(self, X, y):
            loss, grads = super().loss(X, y)
            if replaced:
                self.params["W"] = self.params["W"] - 0.1 * grads["W"]
            else:
                self.params["W"] -= 0.1 * grads["W"]
            return loss, grads

    model = Steps()
    before = model.params["W"].copy()
    text = r"^check_model: loss must leave the parameters as they are; it changed W$"
    with pytest.raises(ValueError, match=text):
        check(model)
    np.testing.assert_array_equal(model.params["W"], before)


def test_gradients_in_buffers_that_the_next_call_overwrites():
    class Buffers(LeastSquares):
        def __init__(self):
            super().__init__()
            self.buffers = {name: np.zeros_like(w) for name, w in self.params.items()}

        def loss(self, X, y):
            loss, grads = super().loss(X, y)
            for name, grad in grads.items():
                self.buffers[name][...] = grad
            return loss, self.buffers

    assert max(check(Buffers()).values()) < 1e-8


def test_parameters_of_any_shape_and_order_stay_the_objects_that_they_are():
    class Scaled(LeastSquares):
        """Its own names for its parameters; a scale without an axis, W every other column."""

        def __init__(self, factor=1):
            super().__init__()
            self.factor = factor
            self.scale, self.W = np.array(1.5), np.ones((5, 8))[:, ::2]
            self.b = np.zeros(4).astype(">f8")
            self.params = {"scale": self.scale, "W": self.W, "b": self.b}

        def loss(self, X, y):
            linear = X @ self.W + self.b
            residual = self.scale * linear - y
            return 0.5 * float(np.sum(residual**2)), {
                "scale": self.factor * np.sum(residual * linear),
                "W": self.scale * X.T @ residual,
                "b": self.scale * residual.sum(axis=0),
            }

    model = Scaled()
    objects = dict(model.params)
    errors = check(model)
    assert max(errors.values()) < 1e-8
    assert set(errors) == {"scale", "W", "b"}
    assert all(model.params[name] is objects[name] for name in objects)
    with pytest.raises(GradientMismatchError, match=r"of scale is wrong: at index \(\) backward"):
        check(Scaled(1.001))


def test_parameters_that_are_no_arrays_are_refused():
    model = LeastSquares()
    model.params["b"] = 0.0
    with pytest.raises(ValueError, match=r"parameters must be float64; got b of float$"):
        check(model)

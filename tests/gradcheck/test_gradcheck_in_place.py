"""The gradient checker with functions that work in place: copies, and the changed argument told."""

import numpy as np
import pytest

from handgrad.gradcheck import (
    GradientMismatchError,
    check_gradients,
    check_loss,
    numeric_gradient,
)
from handgrad.layers import fc_backward, fc_forward, softmax_loss


def triple(x):
    return 3 * x, None


def zeros_in_place(dout, cache):
    dout *= 0
    return dout


def a_third_in_place(dout, cache):
    dout /= 3
    return 3 * dout


@pytest.mark.parametrize("backward", [zeros_in_place, a_third_in_place])
def test_a_wrong_backward_that_writes_into_dout_is_rejected_and_that_is_told(backward):
    x, rng = np.arange(1.0, 6), np.random.default_rng(0)
    with pytest.raises(GradientMismatchError, match=r"are off\); backward changed dout$"):
        check_gradients(triple, backward, [x], rng=rng)


def sigmoid(x):
    s = 1 / (1 + np.exp(-x))
    return s, s


def sigmoid_backward_in_place(dout, s):
    dout *= s * (1 - s)
    return dout


def relu_in_place(x):
    x[x < 0] = 0
    return x, x


def warned(match, *args, **options):
    with pytest.warns(UserWarning, match=match) as caught:
        errors = check_gradients(*args, rng=np.random.default_rng(0), **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "; the gradients are right, but whoever needs the argument" in str(caught[0].message)
    return errors


def test_a_right_backward_that_writes_into_dout_passes_and_that_is_told():
    text = "^check_gradients: backward changed dout in place; "
    errors = warned(text, sigmoid, sigmoid_backward_in_place, [np.linspace(-2, 2, 5)])
    assert errors["argument 0"] < 1e-8


def test_a_right_forward_that_writes_into_x_passes_and_that_is_told_by_name():
    x = np.array([-2.0, -1, 1, 2])
    before = x.copy()
    text = "^check_gradients: forward changed x in place; "
    errors = warned(text, relu_in_place, lambda d, c: d * (c > 0), [x], names=["x"])
    assert errors["x"] < 1e-8
    np.testing.assert_array_equal(x, before)


def test_a_wrong_forward_in_place_is_rejected():
    # The cache is x, which the forward pass then overwrites: d(x^2) becomes 2 x^2 dout.
    def square(x):
        cache = x
        x *= x
        return x, cache

    def backward(dout, x):
        return 2 * x * dout

    with pytest.raises(GradientMismatchError, match=r"are off\); forward changed argument 0$"):
        check_gradients(square, backward, [np.arange(1.0, 4)], rng=np.random.default_rng(0))


def test_a_backward_that_writes_into_what_the_forward_was_given_is_told():
    def backward(dout, cache):
        gradients = fc_backward(dout, cache)
        cache.x[...] = 0
        dout[...] = 0
        return gradients

    def forward(x, w, b):
        out, cache = fc_forward(x, w, b)
        return out, cache._replace(x=x)

    draw = np.random.default_rng(0).standard_normal
    arguments = draw((4, 3)), draw((3, 3)), draw(3)

    text = "^check_gradients: backward changed dout, backward changed x in place; "
    errors = warned(text, forward, backward, arguments, names=["x", "w", "b"])
    assert max(errors.values()) < 1e-8


def test_nan_that_stays_is_no_change():
    with pytest.raises(GradientMismatchError) as raised:
        check_gradients(
            lambda x: (x, None), lambda d, c: d, [np.array([np.nan])], rng=np.random.default_rng(0)
        )
    assert "changed" not in str(raised.value)


def test_numeric_gradient_of_a_function_that_works_in_place():
    x = np.array([0.0, 1.0])
    gradient = numeric_gradient(lambda x: np.exp(x, out=x).sum(), x)
    np.testing.assert_allclose(gradient, np.exp([0, 1]), rtol=1e-9)
    np.testing.assert_array_equal(x, [0, 1])


def test_arguments_without_an_axis():
    def forward(x, scale):
        return scale * x, (x, scale)

    def backward(dout, cache):
        x, scale = cache
        return scale * dout, np.sum(dout * x)

    x, rng = np.array([1.0, -2.0, 3.0]), np.random.default_rng(0)
    errors = check_gradients(forward, backward, [x, 0.5], rng=rng)
    assert max(errors.values()) < 1e-9
    assert numeric_gradient(lambda x: x**2, 3.0).shape == ()


def test_a_gradient_of_no_real_numbers_is_rejected():
    for spoil, kind in ((lambda d: d + 0j, "complex128"), (lambda d: d.astype(object), "object")):
        with pytest.raises(GradientMismatchError, match=f"must be of real numbers; got {kind}$"):
            check_gradients(
                triple,
                lambda d, c, spoil=spoil: spoil(3 * d),
                [np.ones(2)],
                rng=np.random.default_rng(0),
            )


def test_check_loss_gives_copies_and_names_what_was_changed():
    def loss(x, y):
        x -= x.max(axis=1, keepdims=True)
        y %= 3
        return softmax_loss(x, y)

    x, y = np.random.default_rng(6).standard_normal((4, 3)), np.array([0, 2, 1, 4])
    text = "^check_loss: loss changed x, loss changed argument 1 in place; "
    with pytest.warns(UserWarning, match=text):
        assert check_loss(loss, x, y) < 1e-8
    np.testing.assert_array_equal(y, [0, 2, 1, 4])

    def wrong(x, y):
        value, dx = loss(x, y)
        return value, 2 * dx

    with pytest.raises(GradientMismatchError, match=r"loss changed x; loss changed argument 1$"):
        check_loss(wrong, x, y)

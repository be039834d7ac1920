"""Near kinks the gradient checker condemns what is wrong, and nothing else."""

import functools
import warnings

import numpy as np
import pytest
from gradcheck_nets import MISTAKES, RELU_MISTAKES, Spoilt, WrongReLU, random_net, same_draws

from handgrad import layers
from handgrad.gradcheck import (
    GradientMismatchError,
    check_gradients,
    check_loss,
    check_model,
)
from handgrad.network import Dense, Network, ReLU

POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}


def judged(check, *args, seed=0, **options):
    """Return passed, warned (perhaps a kink), little (mostly kinks) or wrong."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check(*args, **options)
        except GradientMismatchError as error:
            return "little" if "little is proved" in str(error) else "wrong"
    assert all("perhaps a kink" in str(warning.message) for warning in caught)
    return "warned" if caught else "passed"


def of_model(model, X, y, seed, restore):
    rng = np.random.default_rng(seed)
    return judged(check_model, model, X, y, rng=rng, before_each=restore)


# random networks ------------------------------------------------------------------------------


def shows(net, model, X, y, restore):
    """Whether a model is wrong somewhere by ten times what is allowed, and not at a kink.

    Within 1e-9 of a kink the gradient of either side is right, and rounding hides the kink.
    """

    def gradients(of):
        restore()
        return {name: np.array(grad) for name, grad in of.loss(X, y)[1].items()}

    right, wrong = gradients(net), gradients(model)
    for name, gradient in right.items():
        allowed = 1e-5 * max(np.abs(gradient).max(), 1e-3)
        w = net.params[name]
        for place in zip(*np.nonzero(~(np.abs(wrong[name] - gradient) < allowed)), strict=True):
            kept, near = w[place], []
            for t in (-1e-9, 1e-9):
                w[place] = kept + t
                near.append(gradients(net)[name][place])
            w[place] = kept
            if np.abs(near - gradient[place]).max() < allowed:
                return True
    return False


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_random_nets_are_right_and_their_mistakes_wrong(first):
    """Count false alarms and misses over 200 networks, each with two mistakes planted."""
    alarms, misses, kinks, planted = [], [], 0, 0
    for seed in range(first, first + 20):
        net, X, y = random_net(seed)
        restore = same_draws(net)
        found = of_model(net, X, y, seed, restore)
        if found in ("wrong", "little"):
            alarms.append(seed)
        kinks += found == "warned"
        restore()
        right = net.loss(X, y)[1]

        mistake = list(MISTAKES)[seed % len(MISTAKES)]
        spoilt = Spoilt(net, MISTAKES[mistake](seed, right))
        relu_mistake = RELU_MISTAKES[seed % len(RELU_MISTAKES)]
        twin, _, _ = random_net(seed, lambda relu_mistake=relu_mistake: WrongReLU(relu_mistake))
        for name, model in ((mistake, spoilt), (relu_mistake, twin)):
            if model is twin:
                twin.rng = net.rng
            if not shows(net, model, X, y, restore):
                continue  # the sign of a zero, the mask of a unit that is open everywhere
            planted += 1
            if of_model(model, X, y, seed, restore) != "wrong":
                misses.append((seed, name))
    assert alarms == []
    assert misses == []
    assert kinks >= 4  # or the networks would be too tame to prove anything
    assert planted >= 20


def test_a_deep_net_of_small_weights_is_right():
    # As in CS231n's dropout notebook: all but the first layers' units are within 1e-6 of 0.
    rng = np.random.default_rng(0)
    hidden = [layer for size in (20, 10, 10, 10, 10) for layer in (Dense(size), ReLU())]
    net = Network([*hidden, Dense(10)], (15,), weight_scale=1e-3, rng=rng)
    X, y = rng.standard_normal((2, 15)), np.array([3, 7])
    with pytest.warns(UserWarning, match=r"perhaps a kink at \d+ of \d+ entries \(\d+ of b\d"):
        errors = check_model(net, X, y, rng=rng)
    assert max(errors.values()) < 1e-6
    assert set(errors) == set(net.params)


# layers and losses ----------------------------------------------------------------------------


def near_zero(rng, shape):
    """Standard normal, but a third within a step of 0, on it, or closer than a double can tell."""
    x = rng.standard_normal(shape)
    close = [0.0, -0.0, 1e-6, -1e-6, 9e-6, -9e-6, 1e-9, -1e-13, 1e-15, 5e-324]
    return np.where(rng.random(shape) < 0.3, rng.choice(close, shape), x)


RELU = {
    "right": layers.relu_backward,
    "no mask": lambda dout, x: dout,
    "turned mask": lambda dout, x: dout * (x < 0),
    "mask at 0": lambda dout, x: dout * (x != 0),
    "zeros": lambda dout, x: 0 * dout,
    "a hundredth of a per cent": lambda dout, x: 1.0001 * layers.relu_backward(dout, x),
}


@pytest.mark.parametrize("kind", RELU)
def test_relu_near_its_kink(kind):
    expected = {"passed", "warned", "little"} if kind == "right" else {"wrong"}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = near_zero(rng, (4, 6))
        assert judged(check_gradients, layers.relu_forward, RELU[kind], [x], rng=rng) in expected


@pytest.mark.parametrize("subgradient", [0.0, 0.3, 1.0])
def test_every_subgradient_at_the_kink_itself_is_right(subgradient):
    def backward(dout, x):
        return dout * np.where(x == 0, subgradient, x > 0)

    x, rng = np.array([1.0, 0.0, -2.0]), np.random.default_rng(0)
    text = r"^check_gradients: perhaps a kink at 1 of 3 entries \(1 of argument 0\): "
    with pytest.warns(UserWarning, match=text) as caught:
        errors = check_gradients(layers.relu_forward, backward, [x], rng=rng)
    assert errors["argument 0"] < 1e-7
    assert caught[0].filename == __file__


POOLS = {
    "right": layers.max_pool_backward,
    "all of it too much": lambda dout, cache: 1.0001 * layers.max_pool_backward(dout, cache),
    "another winner": lambda dout, cache: layers.max_pool_backward(dout, cache)[..., ::-1],
}


@pytest.mark.parametrize("kind", POOLS)
def test_max_pool_near_ties(kind):
    expected = {"passed", "warned"} if kind == "right" else {"wrong"}
    for seed in range(15):
        rng = np.random.default_rng(seed)
        x = rng.integers(0, 2, (1, 2, 4, 4)) + 1e-6 * rng.integers(-1, 2, (1, 2, 4, 4))
        x = np.where(rng.random(x.shape) < 0.7, rng.standard_normal(x.shape), x)
        pool = {"pool_height": 2, "pool_width": 2, "stride": 2}
        forward = functools.partial(layers.max_pool_forward, pool_param=pool)
        found = judged(check_gradients, forward, POOLS[kind], [x], rng=rng)
        assert found in expected


@pytest.mark.parametrize("factor", [1, 1.0001, -1, 0])
def test_the_hinge_near_its_margin(factor):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = near_zero(rng, 6) + rng.choice([-1, 0, 1], 6), rng.integers(0, 2, 6)

        def loss(x, y):
            value, dx = layers.svm_loss(x, y)
            return value, factor * dx

        right = factor == 1 or not layers.svm_loss(x, y)[1].any()
        assert (judged(check_loss, loss, x, y) != "wrong") == right


# what a second look must not forgive ----------------------------------------------------------


def check_smooth(backward, x, scale=1.0, **options):
    """Check f(x) = scale * sin(x), which has no kink anywhere."""
    return check_gradients(
        lambda x: (scale * np.sin(x), x), backward, [x], rng=np.random.default_rng(0), **options
    )


def cosine(dout, x):
    return dout * np.cos(x)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g, x: g * 1.000001,
        lambda g, x: g + 1e-6,
        lambda g, x: g * (x != 0),  # right everywhere but at one number
        lambda g, x: np.where(np.abs(x) < 1e-9, 0, g),
        lambda g, x: np.where(np.abs(x) < 1e-6, 0, g),
        lambda g, x: np.where(x < 1e-7, 0, g),
        lambda g, x: np.where(x == 0, np.nan, g),
        lambda g, x: np.where(x == 0, np.inf, g),
    ],
    ids=["factor", "summand", "at 0", "within 1e-9", "within 1e-6", "below", "NaN", "infinite"],
)
def test_a_smooth_function_has_no_excuse(spoil):
    x = np.array([0.7, 0.0, -1.2])
    assert check_smooth(cosine, x)["argument 0"] < 1e-9
    with pytest.raises(GradientMismatchError, match="is wrong: at index") as raised:
        check_smooth(lambda dout, x: spoil(cosine(dout, x), x), x)
    assert "kink" not in str(raised.value)


def test_a_mistake_at_the_first_call_only_is_one():
    calls = []

    def backward(dout, x):
        calls.append(1)
        return cosine(dout, x) * (2 if len(calls) == 1 else 1)

    with pytest.raises(GradientMismatchError, match="is wrong"):
        check_smooth(backward, np.array([0.5, 0.0]))


def test_a_buffer_that_the_next_call_overwrites_is_no_mistake():
    buffer = np.zeros(3)

    def backward(dout, x):
        buffer[...] = dout * (x > 0)
        return buffer

    x, rng = np.array([1.0, 1e-7, -1.0]), np.random.default_rng(0)
    assert check_gradients(layers.relu_forward, backward, [x], rng=rng)["argument 0"] < 1e-7


def test_a_step_too_long_for_a_curve_is_made_smaller():
    # tanh(x / 1e-4): the differences at a step of 1e-5 are off by a third of a per cent.
    def forward(x):
        return np.tanh(1e4 * x), x

    def backward(dout, x):
        return dout * 1e4 / np.cosh(1e4 * x) ** 2

    rng = np.random.default_rng(0)
    assert check_gradients(forward, backward, [np.zeros(2)], rng=rng)["argument 0"] < 1e-7
    with pytest.raises(GradientMismatchError, match="is wrong"):
        check_gradients(forward, lambda d, x: 1.001 * backward(d, x), [np.zeros(2)], rng=rng)


def test_a_kink_seen_with_a_wrong_gradient_is_told():
    dout, rng = np.random.default_rng(0).standard_normal(1), np.random.default_rng(0)
    with pytest.raises(GradientMismatchError) as raised:
        check_gradients(layers.relu_forward, lambda d, x: 2 * d * (x > 0), [np.zeros(1)], rng=rng)
    text = str(raised.value)
    assert "at index (0,) backward says" in text
    left, right = text.split("perhaps a kink (differences to the left ")[1].split(", to the right ")
    assert abs(float(left)) < 1e-6
    np.testing.assert_allclose(float(right.split(")")[0]), dout[0], rtol=1e-6)
    assert text.endswith("but it is wrong beside it, too")


def test_no_value_at_all_ends_as_a_mismatch():
    with pytest.raises(GradientMismatchError, match="central differences say nan"):
        check_loss(lambda x: (np.nan, 0 * x), np.ones(2))
    with pytest.raises(GradientMismatchError, match="central differences say 0 "):
        check_loss(lambda x: (0.0, x), np.ones(2))


@pytest.mark.parametrize(("zeros", "expected"), [(0, "passed"), (5, "warned"), (6, "little")])
def test_more_than_half_at_kinks_proves_too_little(zeros, expected):
    x = np.array([0.0] * zeros + [1.0] * (10 - zeros))
    rng = np.random.default_rng(0)
    found = judged(check_gradients, layers.relu_forward, layers.relu_backward, [x], rng=rng)
    assert found == expected
    if expected == "little":
        text = r"perhaps a kink at 6 of 10 entries \(6 of argument 0\), more than half"
        with pytest.raises(GradientMismatchError, match=text):
            check_gradients(
                layers.relu_forward, layers.relu_backward, [x], rng=np.random.default_rng(0)
            )


def test_everything_is_put_back_after_a_second_look():
    rng = np.random.default_rng(0)
    net = Network([Dense(4), ReLU(), Dense(3), ReLU(), Dense(2)], (3,), weight_scale=1e-3, rng=rng)
    X, y = rng.standard_normal((3, 3)), np.array([0, 1, 1])
    before = {name: array.tobytes() for name, array in net.params.items()}
    with pytest.warns(UserWarning, match="perhaps a kink"):
        check_model(net, X, y, rng=rng)
    assert {name: array.tobytes() for name, array in net.params.items()} == before

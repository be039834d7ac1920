"""Six update rules (steps by hand, state, purity, a quadratic minimised) and the schedules."""

import copy

import numpy as np
import pytest
from engines import each_engine as each_engine

from handgrad import optim
from handgrad.network import Dense, Network
from handgrad.optim import (
    RULES,
    adam,
    adamw,
    constant,
    cosine,
    nesterov,
    one_cycle,
    per_epoch_decay,
    rmsprop,
    sgd,
    sgd_momentum,
)

ALL_RULES = [sgd, sgd_momentum, nesterov, rmsprop, adam, adamw]
EACH_RULE = pytest.mark.parametrize("rule", ALL_RULES)
ARRAYS_OF_STATE = {
    sgd: set(),
    sgd_momentum: {"velocity"},
    nesterov: {"velocity"},
    rmsprop: {"cache"},
    adam: {"m", "v"},
    adamw: {"m", "v"},
}


def steps(rule, w, gradients, config=None):
    """Apply `rule` once per gradient; return the last w and the last config."""
    for dw in gradients:
        w, config = rule(w, np.array(dw), config)
    return w, config


# values by hand -------------------------------------------------------------------------------


def test_sgd_by_hand():
    w, _ = sgd(np.array([1.0, 2.0]), np.array([10.0, -20.0]))
    np.testing.assert_allclose(w, [1 - 0.01 * 10, 2 + 0.01 * 20], rtol=1e-15)
    w, _ = sgd(np.array([1.0]), np.array([10.0]), {"learning_rate": 0.5})
    np.testing.assert_array_equal(w, [-4])


def test_sgd_momentum_by_hand():
    w, config = steps(sgd_momentum, np.array([1.0]), [[10.0]])
    # v = 0.9*0 - 0.01*10 = -0.1; w = 1 - 0.1.
    np.testing.assert_allclose([w[0], config["velocity"][0]], [0.9, -0.1], rtol=1e-15)
    w, config = sgd_momentum(w, np.array([20.0]), config)
    # v = 0.9*-0.1 - 0.01*20 = -0.29; w = 0.9 - 0.29.
    np.testing.assert_allclose([w[0], config["velocity"][0]], [0.61, -0.29], rtol=1e-14)


def test_nesterov_by_hand():
    w, config = steps(nesterov, np.array([1.0]), [[10.0]])
    # v = 10; w = 1 - 0.01*(10 + 0.9*10) = 0.81.
    np.testing.assert_allclose([w[0], config["velocity"][0]], [0.81, 10], rtol=1e-14)
    w, config = nesterov(w, np.array([20.0]), config)
    # v = 0.9*10 + 20 = 29; w = 0.81 - 0.01*(20 + 0.9*29) = 0.349.
    np.testing.assert_allclose([w[0], config["velocity"][0]], [0.349, 29], rtol=1e-14)


def test_rmsprop_by_hand():
    w, config = steps(rmsprop, np.array([1.0]), [[10.0]])
    # cache = 0.01*100 = 1; w = 1 - 0.01*10/sqrt(1).
    np.testing.assert_allclose([w[0], config["cache"][0]], [0.9, 1], rtol=1e-8)
    w, config = rmsprop(w, np.array([-3.0]), config)
    # cache = 0.99*1 + 0.01*9 = 1.08; w = 0.9 + 0.03/sqrt(1.08).
    np.testing.assert_allclose(
        [w[0], config["cache"][0]], [0.9 + 0.03 / np.sqrt(1.08), 1.08], rtol=1e-8
    )


def test_rmsprop_adds_epsilon_outside_the_root():
    w, _ = steps(rmsprop, np.array([0.0]), [[1e-8]])
    # sqrt(0.01 * 1e-16) = 1e-9: the step is 0.01 * 1e-8 / (1e-9 + 1e-8) = 0.01 / 1.1.
    np.testing.assert_allclose(w, [-0.01 / 1.1], rtol=1e-12)


def test_adam_by_hand():
    w, config = steps(adam, np.array([1.0, 1.0]), [[10.0, -0.5]])
    # The corrections make m_hat = dw and v_hat = dw^2: the first step is the rate, with the sign.
    np.testing.assert_allclose(w, [1 - 1e-3, 1 + 1e-3], rtol=1e-10)
    np.testing.assert_allclose(config["m"], [1, -0.05], rtol=1e-14)
    np.testing.assert_allclose(config["v"], [0.1, 0.00025], rtol=1e-12)
    w, config = adam(w, np.array([0.0, -0.5]), config)
    # m = 0.9, v = 0.0999; m_hat = 0.9/0.19, v_hat = 0.0999/0.001999; the second is steady.
    step = 1e-3 * (0.9 / 0.19) / np.sqrt(0.0999 / 0.001999)
    np.testing.assert_allclose(w, [1 - 1e-3 - step, 1 + 2e-3], rtol=1e-10)


@pytest.mark.parametrize("rule", [adam, adamw])
def test_adam_counts_the_step_before_correcting(rule):
    _, config = rule(np.zeros(2), np.ones(2))
    assert config["t"] == 1
    _, config = rule(np.zeros(2), np.ones(2), config)
    assert config["t"] == 2


def test_adam_goes_on_from_a_given_step():
    # After t = 9 the tenth step corrects with beta ** 10: m = 0.1, v = 0.001 from zero moments.
    w, config = adam(
        np.zeros(1), np.ones(1), {"m": np.zeros(1), "v": np.zeros(1), "t": 9, "learning_rate": 1.0}
    )
    m_hat, v_hat = 0.1 / (1 - 0.9**10), 0.001 / (1 - 0.999**10)
    np.testing.assert_allclose(w, [-m_hat / np.sqrt(v_hat)], rtol=1e-6)
    assert config["t"] == 10


@pytest.mark.parametrize("rule", [adam, adamw])
def test_adam_adds_epsilon_to_the_corrected_root(rule):
    w, _ = steps(rule, np.array([0.0]), [[1e-8]])
    # |dw| / (|dw| + epsilon) = 1/2; epsilon beside the uncorrected root would give about 1/33.
    np.testing.assert_allclose(w, [-0.5e-3], rtol=1e-12)


def test_adamw_decays_the_weight_and_not_through_the_moments():
    w, config = steps(adamw, np.array([2.0]), [[0.0]])
    # No gradient: only w -= 1e-3 * 1e-2 * 2 is left.
    np.testing.assert_allclose(w, [2 - 2e-5], rtol=1e-15)
    assert (config["m"][0], config["v"][0]) == (0, 0)
    w, _ = adamw(np.array([2.0]), np.array([5.0]), {"weight_decay": 0.1, "learning_rate": 0.5})
    np.testing.assert_allclose(w, [2 - 0.5 * 0.1 * 2 - 0.5], rtol=1e-8)


def test_adamw_without_decay_is_adam():
    rng = np.random.default_rng(0)
    w, gradients = rng.standard_normal((3, 2)), rng.standard_normal((5, 3, 2))
    plain, _ = steps(adam, w, gradients)
    decoupled, _ = steps(adamw, w, gradients, {"weight_decay": 0.0})
    np.testing.assert_array_equal(decoupled, plain)


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        (sgd, {"learning_rate": 1e-2}),
        (sgd_momentum, {"learning_rate": 1e-2, "momentum": 0.9}),
        (nesterov, {"learning_rate": 1e-2, "momentum": 0.9}),
        (rmsprop, {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8}),
        (adam, {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
        (
            adamw,
            {
                "learning_rate": 1e-3,
                "beta1": 0.9,
                "beta2": 0.999,
                "epsilon": 1e-8,
                "weight_decay": 1e-2,
            },
        ),
    ],
)
def test_defaults_are_the_documented_ones(rule, settings):
    rng = np.random.default_rng(1)
    w, gradients = rng.standard_normal(4), rng.standard_normal((3, 4))
    by_default, _ = steps(rule, w, gradients)
    spelled_out, config = steps(rule, w, gradients, settings)
    np.testing.assert_array_equal(by_default, spelled_out)
    assert {key: config[key] for key in settings} == settings


# every rule -----------------------------------------------------------------------------------


@EACH_RULE
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 2, 2)])
def test_weights_keep_dtype_and_shape(rule, dtype, shape):
    rng = np.random.default_rng(2)
    w = rng.standard_normal(shape).astype(dtype)
    config = None
    for _ in range(3):
        w, config = rule(w, rng.standard_normal(shape).astype(dtype), config)
        assert w.dtype == dtype
        assert w.shape == shape


@EACH_RULE
def test_a_numpy_learning_rate_does_not_turn_float32_into_float64(rule):
    config = {"learning_rate": np.float64(0.01)}  # as 10 ** rng.uniform(-4, -1) hands it over
    w, config = rule(np.ones(3, np.float32), np.ones(3, np.float32), config)
    assert w.dtype == np.float32
    assert all(config[name].dtype == np.float32 for name in ARRAYS_OF_STATE[rule])


@EACH_RULE
def test_arguments_are_not_modified(rule):
    rng = np.random.default_rng(3)
    w, dw, config = rng.standard_normal(4), rng.standard_normal(4), {"learning_rate": 0.1}
    for _ in range(2):
        before = copy.deepcopy((w, dw, config))
        next_w, next_config = rule(w, dw, config)
        np.testing.assert_array_equal(w, before[0])
        np.testing.assert_array_equal(dw, before[1])
        np.testing.assert_equal(config, before[2])
        w, config = next_w, next_config


@EACH_RULE
def test_state_shares_no_memory_with_weights_or_gradient(rule):
    rng = np.random.default_rng(4)
    w, dw, config = rng.standard_normal(4), rng.standard_normal(4), None
    for _ in range(2):
        next_w, config = rule(w, dw, config)
        state = [value for value in config.values() if isinstance(value, np.ndarray)]
        assert len(state) == len(ARRAYS_OF_STATE[rule])
        for one, other in [(next_w, w), (next_w, dw), *((s, a) for s in state for a in (w, dw))]:
            assert not np.shares_memory(one, other)
        assert not any(np.shares_memory(s, next_w) for s in state)
        w = next_w


@EACH_RULE
def test_state_is_named_and_shaped_as_documented(rule):
    _, config = rule(np.ones((2, 3)), np.ones((2, 3)))
    names = {name for name, value in config.items() if isinstance(value, np.ndarray)}
    assert names == ARRAYS_OF_STATE[rule]
    assert all(config[name].shape == (2, 3) for name in names)


@EACH_RULE
def test_two_weights_without_config_do_not_share_their_state(rule):
    first, _ = rule(np.ones(3), np.full(3, 5.0))
    again, _ = rule(np.ones(3), np.full(3, 5.0))
    np.testing.assert_array_equal(first, again)
    other, _ = rule(np.ones((2, 2)), np.ones((2, 2)))  # another shape must not meet old state
    assert other.shape == (2, 2)


@EACH_RULE
def test_a_gradient_of_zero_moves_nothing(rule):
    config = {"weight_decay": 0.0} if rule is adamw else None
    w, _ = steps(rule, np.array([1.0, -2.0]), np.zeros((2, 2)), config)
    np.testing.assert_array_equal(w, [1, -2])


@EACH_RULE
def test_each_element_is_updated_alone(rule):
    rng = np.random.default_rng(5)
    w, gradients = rng.standard_normal(3), rng.standard_normal((4, 3))
    together, _ = steps(rule, w, gradients)
    alone = [steps(rule, w[i : i + 1], gradients[:, i : i + 1])[0][0] for i in range(3)]
    np.testing.assert_allclose(together, alone, rtol=1e-14)


@EACH_RULE
def test_a_quadratic_is_minimised(rule):
    # f(w) = (w - target)' A (w - target) / 2 with curvatures 1 and 10, from a distance of 2.
    target, curvature = np.array([1.0, -1.0]), np.array([1.0, 10.0])
    rate = {sgd: 0.05, sgd_momentum: 0.02, nesterov: 0.02, rmsprop: 0.01, adam: 0.02, adamw: 0.02}
    w, config = target + 2, {"learning_rate": rate[rule]}
    if rule is adamw:
        config["weight_decay"] = 0.0
    for step in range(600):
        if step == 500:
            config["learning_rate"] = rate[rule] / 20  # let the normalised rules settle
        w, config = rule(w, curvature * (w - target), config)
    np.testing.assert_allclose(w, target, atol=2e-3)


# schedules ------------------------------------------------------------------------------------


def test_rules_are_found_by_their_names():
    assert {name: rule.__name__ for name, rule in RULES.items()} == {name: name for name in RULES}
    assert set(RULES.values()) == set(ALL_RULES)


def test_constant_leaves_the_rate_alone():
    assert [constant()(progress) for progress in (0.0, 0.3, 0.99)] == [1, 1, 1]


def test_per_epoch_decay_steps_down_after_each_epoch():
    schedule = per_epoch_decay(0.5, num_epochs=10)
    progresses = [0.0, 0.099, 0.1, 0.199, 0.3, 0.7, 0.999]
    # 3/10 and 7/10 are not exact in binary: 10 * 0.3 must still count as three epochs done.
    assert [schedule(p) for p in progresses] == [1, 1, 0.5, 0.5, 0.125, 0.5**7, 0.5**9]


def test_cosine_goes_from_one_to_the_final_factor():
    schedule = cosine(final=0.2)
    # Half way cos is 0: 0.2 + 0.8 / 2; at a third it is 1/2: 0.2 + 0.8 * 3 / 4.
    values = [schedule(p) for p in (0.0, 1 / 3, 0.5, 1.0)]
    np.testing.assert_allclose(values, [1, 0.8, 0.6, 0.2], rtol=1e-12)


def test_one_cycle_warms_up_and_cools_down():
    schedule = one_cycle(warm_up=0.25, start=0.1, final=0.02)
    # Half of the way up: (0.1 + 1) / 2; the top at 0.25; half of the way down: (1 + 0.02) / 2.
    values = [schedule(p) for p in (0.0, 0.125, 0.25, 0.625, 1.0)]
    np.testing.assert_allclose(values, [0.1, 0.55, 1, 0.51, 0.02], rtol=1e-12)


@pytest.mark.parametrize("warm_up", [0.0, 1.0, -0.5, 1.5])
def test_one_cycle_refuses_a_warm_up_outside_0_to_1(warm_up):
    with pytest.raises(ValueError, match=rf"one_cycle: .*{warm_up}"):
        one_cycle(warm_up=warm_up)


# what is too large or too small to be squared ---------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-40, -30, -20, 0, 18, 19, 30, 38])
def test_clipping_keeps_the_direction_of_any_finite_gradient(exponent, dtype):
    size = 10.0**exponent
    if dtype == np.float64:
        size = size**8  # to 1e304 and 1e-320
    directions = {"W1": np.array([[3, 0], [0, -4]], dtype), "b1": np.array([12, 0, 0], dtype)}
    grads = {name: (array / 13 * dtype(size)).astype(dtype) for name, array in directions.items()}
    clipped = optim.clipped(grads, size / 2)
    assert {array.dtype for array in clipped.values()} == {np.dtype(dtype)}
    for name, array in directions.items():  # 3, 4, 12: of length 13
        tiniest = float(np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(
            clipped[name] / size, array / 26, rtol=1e-6, atol=2 * tiniest / size
        )
    for name, array in optim.clipped(grads, size * 2).items():
        np.testing.assert_array_equal(array, grads[name])
        assert not np.shares_memory(array, grads[name])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_clipping_leaves_what_is_not_finite_for_the_loss_to_report(bad):
    grads = {"W1": np.array([3.0, 4.0]), "b1": np.array([bad])}
    for name, array in optim.clipped(grads, 1).items():
        np.testing.assert_array_equal(array, grads[name])


@pytest.mark.parametrize("max_norm", [0, -1, float("nan")])
def test_clipping_to_no_length_is_refused(max_norm):
    with pytest.raises(ValueError, match=r"^clipped: max_norm must be above 0; got "):
        optim.clipped({"W1": np.ones(2)}, max_norm)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_penalty_of_large_weights_is_a_number(each_engine, dtype):
    network = Network([Dense(100)], (50,), reg=0.5, dtype=dtype)
    network.params["W1"] = np.full((50, 100), 2e19, dtype)
    loss, grads = network.loss(np.zeros((2, 50)), [0, 1])
    assert loss == pytest.approx(0.25 * 5000 * 4e38, rel=1e-6)
    np.testing.assert_allclose(grads["W1"], 1e19, rtol=1e-6)

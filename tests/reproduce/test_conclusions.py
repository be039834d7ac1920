"""What a search allows to conclude: what its validation rows resolve, and the grids' edges."""

import dataclasses

import pytest
import report_records

from handgrad.reproduce import conclusions
from handgrad.reproduce.conclusions import Curve, edges, of_search, resolution
from handgrad.results import Spread, Trial


def setup(val_rows, control=None, **searched):
    return dataclasses.replace(
        report_records.setup("2.4", ()), val_rows=val_rows, searched=searched, control=control or {}
    )


def trials(name, accuracies):
    """One candidate a value."""
    return [Trial({name: value}, accuracy, 1.0) for value, accuracy in accuracies.items()]


def test_resolution_is_half_of_the_interval():
    # p = 0.5, n = 100: half of Wilson's interval is 0.09616845, worked by hand in test_results.
    assert resolution(0.5, 100) == pytest.approx(0.09616845, abs=1e-7)
    # p = 0.96, n = 250: 1.959964 / 1.01536583 * sqrt(0.0001536 + 0.0000153658) = 0.0250914.
    assert resolution(0.96, 250) == pytest.approx(0.0250914, abs=1e-7)


def test_a_curve_has_the_best_candidate_of_each_value_in_rising_order():
    tried = [
        Trial({"reg": 0.1, "rate": 1}, 0.8, 1.0),
        Trial({"reg": 0.1, "rate": 2}, 0.9, 1.0),
        Trial({"reg": 0.0, "rate": 1}, 0.7, 1.0),
        Trial({"reg": 0.0, "rate": 2}, None, 1.0, "diverged"),
        Trial({"reg": 0.5, "rate": 1}, None, 1.0, "diverged"),
    ]
    curve = Curve.of("reg", [0.5, 0.1, 0.0], tried)
    assert (curve.values, curve.best) == ((0.0, 0.1, 0.5), (0.7, 0.9, None))
    assert curve.known == [(0.0, 0.7), (0.1, 0.9)]
    assert curve.top == (0.1, 0.9)


def test_level_values_are_those_next_to_the_best():
    curve = Curve("x", (1, 2, 3, 4, 5), (0.90, 0.80, 0.895, 0.90, 0.89))
    assert curve.level(0.015) == [(1, 0.90)]  # 3 to 5 are near, but not beside it
    assert Curve("x", ("a", "b", "c"), (0.9, 0.8, 0.9)).level(0.015) == [("a", 0.9), ("c", 0.9)]


def test_what_250_rows_cannot_tell_apart_and_what_they_can():
    tried = [
        Trial({"hidden_dim": hidden, "learning_rate": rate}, accuracy, 1.0)
        for rate, loss in ((0.01, 0.1), (0.03, 0.004), (0.1, 0.0))
        for hidden, accuracy in ((5, 0.957 - loss), (20, 0.96 - loss), (160, 0.958 - loss))
    ]
    space = {"hidden_dim": (5, 20, 160), "learning_rate": (0.01, 0.03, 0.1)}
    chosen = {"hidden_dim": 20, "learning_rate": 0.1}
    assert of_search(setup(250, **space), tried, chosen) == (
        "On validation, the best candidates of hidden units 5 to 160 lie within 0.30 points and "
        "learning rate 0.03 to 0.1 lie within 0.40 points; 250 rows resolve 2.51 points.",
        "What these rows do tell apart: learning rate 0.01 is 10.00 points below 0.1.",
    )


def test_nothing_that_is_told_apart():
    first, second = of_search(
        setup(250, reg=(0.1, 0.0)), trials("reg", {0.1: 0.96, 0.0: 0.956}), {"reg": 0.1}
    )
    assert first == (
        "On validation, the best candidates of reg 0.0 to 0.1 lie within 0.40 points; 250 rows "
        "resolve 2.51 points."
    )
    assert second.startswith("No searched value falls behind by more than that")


def test_several_values_behind_and_no_level_ones():
    tried = trials("learning_rate", {0.01: 0.5, 0.1: 0.9, 1.0: 0.7, 3.0: None})
    first, second = of_search(
        setup(1000, learning_rate=(0.01, 0.1, 1.0, 3.0)), tried, {"learning_rate": 0.1}
    )
    assert first == (
        "On validation, no value lies within 1.86 points of the best, which is what 1,000 rows "
        "resolve."
    )
    assert second == (
        "What these rows do tell apart: learning rate 0.01 and 1.0 are 20.00 to 40.00 points below "
        "0.1."
    )


def test_the_control_is_compared_and_not_among_the_values():
    tried = trials("keep", {0.7: 0.990, 0.85: 0.991, 1.0: 0.993})
    described = setup(6000, {"keep": 1.0}, keep=(0.7, 0.85, 1.0))
    first, _, third = of_search(described, tried, {"keep": 0.85})
    assert "share kept 0.7 (drop 0.3) to 0.85 (drop 0.15) lie within 0.10 points" in first
    assert third == (
        "In the search, the chosen candidate lies 0.20 points below the best control (keep 1.0 "
        "(drop 0), never chosen), less than is resolved."
    )
    assert edges(described, tried, {"keep": 0.85}) == ()  # what lies beyond it was tried


def test_a_grid_of_one_value_and_its_control():
    tried = trials("keep", {0.5: 0.90, 1.0: 0.88})
    assert of_search(setup(1000, {"keep": 1.0}, keep=(0.5, 1.0)), tried, {"keep": 0.5}) == (
        "No hyperparameter takes two values to compare; 1,000 rows resolve 1.86 points.",
        "In the search, the chosen candidate lies 2.00 points above the best control (keep 1.0 "
        "(drop 0), never chosen), more than is resolved.",
    )


# edges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [("reg", 0.0, 0.1), ("keep", 1.0, 0.7), ("hidden_dim", 1, 2), ("filter_size", 1, 3)],
)
def test_an_edge_beyond_which_there_is_nothing(name, value, other):
    tried = trials(name, {value: 0.96, other: 0.5})
    (edge,) = edges(setup(250, **{name: (value, other)}), tried, {name: value})
    assert (edge.name, edge.kind) == (name, "limit")
    assert edge.text.endswith(
        f" {value}" + " (drop 0)" * (name == "keep") + ", and no value lies beyond it."
    )


def test_an_edge_where_the_curve_has_flattened():
    tried = trials("hidden_dim", {400: 0.985, 800: 0.9883, 1600: 0.9898})
    (edge,) = edges(setup(6000, hidden_dim=(400, 800, 1600)), tried, {"hidden_dim": 1600})
    assert edge.kind == "flat"
    assert edge.text == (
        "hidden units 1600, where the curve has flattened: 98.98 % against 98.83 % at 800, and "
        "6,000 rows resolve 0.26 points."
    )


def test_an_edge_where_the_curve_still_rises():
    tried = trials("learning_rate", {0.1: 0.94, 0.03: 0.92, 0.01: 0.90})
    (edge,) = edges(setup(6000, learning_rate=(0.01, 0.03, 0.1)), tried, {"learning_rate": 0.1})
    assert edge.kind == "open"
    assert edge.text == (
        "learning rate 0.1, where the curve still rises: 94.00 % against 92.00 % at 0.03, and "
        "6,000 rows resolve 0.60 points. A wider grid may do better."
    )


def test_an_edge_beside_values_that_all_diverged():
    tried = trials("learning_rate", {0.1: 0.94, 0.3: None})
    (edge,) = edges(setup(6000, learning_rate=(0.1, 0.3)), tried, {"learning_rate": 0.1})
    assert edge.kind == "open"
    assert edge.text.endswith("every other value diverged. A wider grid may do better.")


def test_no_edges_inside_a_grid_of_one_value_or_without_an_order():
    tried = trials("reg", {0.3: 0.9, 0.1: 0.96, 0.01: 0.9})
    assert edges(setup(250, reg=(0.3, 0.1, 0.01)), tried, {"reg": 0.1}) == ()
    one = trials("learning_rate", {0.1: 0.9})
    assert edges(setup(250, learning_rate=(0.1,)), one, {"learning_rate": 0.1}) == ()
    words = trials("architecture", {"a": 0.9, "b": 0.8})
    assert edges(setup(250, architecture=("a", "b")), words, {"architecture": "a"}) == ()
    # A larger value was tried and diverged: the choice is inside.
    lost = trials("learning_rate", {0.1: 0.9, 0.3: 0.95, 1.0: None})
    assert edges(setup(250, learning_rate=(0.1, 0.3, 1.0)), lost, {"learning_rate": 0.3}) == ()


# without a search -------------------------------------------------------------------------------


def history(*accuracies):
    return [{"epoch": e, "val_accuracy": a} for e, a in enumerate(accuracies, 1)]


def test_seeds_and_splits_and_a_curve_that_still_rises():
    first, second = conclusions.of_training(
        Spread.of([0.66, 0.664]),
        Spread.of([0.66, 0.66]),
        setup(5000),
        [history(0.5, 0.6, 0.66), history(0.5, 0.6, None, 0.664)[:2] + history(0.1, 0.2, 0.7)[2:]],
    )
    assert first == (
        "Validation accuracies of the seeds lie within 0.40 points, validation accuracy is 0.20 "
        "points above test accuracy; 5,000 rows resolve 1.31 points."
    )
    assert second == (
        "Validation accuracy was highest after epoch 3 of 3, so longer training may do better."
    )


def test_a_curve_that_has_stopped_rising():
    one = Spread.of([0.7])
    _, second = conclusions.of_training(one, one, setup(5000), [history(0.5, 0.7, 0.69)])
    assert second == "Validation accuracy was highest after epoch 2 of 3, so it had stopped rising."
    _, second = conclusions.of_training(
        one, one, setup(5000), [history(0.5, 0.7, 0.69), history(0.5, 0.6, 0.7)]
    )
    assert second.endswith("after epoch 2 to 3 of 3, so it had stopped rising in some run.")


def test_single_changes_that_cost_and_gain():
    tried = [
        Trial({"group": group, "change": name}, accuracy, 1.0)
        for group, name, accuracy in (
            ("none", "improved", 0.80),
            ("size", "half", 0.70),
            ("size", "double", 0.83),
            ("optimizer", "sgd", 0.77),
            ("activation", "relu", 0.80),
        )
    ]
    assert conclusions.of_changes(setup(5000), tried) == (
        "Of 4 single changes on 5,000 validation rows, which resolve 1.11 points, 2 cost more than "
        "that: half (10.00 points) and sgd (3.00 points); 1 gain more than that: double (3.00 "
        "points); 1 cannot be told from none.",
    )

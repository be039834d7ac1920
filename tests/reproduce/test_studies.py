"""Question 7's measurements: what they show, on the shipped digits, and how they are recorded."""

import json
import re

import numpy as np
import pytest
from reproduce_runs import arguments, finished
from threadpoolctl import threadpool_limits

from handgrad.datasets import Dataset
from handgrad.datasets.mnist import load_mnist
from handgrad.experiments import STUDIES, studies
from handgrad.experiments.studies import StudyBudget
from handgrad.results import Results


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The 900 training rows in the package, whatever else this machine has."""
    empty = str(tmp_path_factory.mktemp("nothing"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HANDGRAD_CACHE", "HOME", "KERAS_HOME"):
            patch.setenv(name, empty)
        patch.delenv("HANDGRAD_DATA", raising=False)
        patch.chdir(empty)
        data = load_mnist(offline=True)
    assert data.stand_in
    return data


def measured(id, data: Dataset, steps, seed=0):
    with threadpool_limits(1):  # as reproduce does; two threads only wait for each other here
        findings = STUDIES[id].measure(data, StudyBudget(900, steps), np.random.default_rng(seed))
    return findings, {series.name: np.array(series.y, dtype=float) for series in findings.series}


def test_gradients_vanish_through_sigmoids_and_not_through_relus(digits):
    _, lines = measured("7.1", digits, steps=30)
    sigmoid, relu = lines["sigmoid, at the start"], lines["ReLU, at the start"]
    assert len(sigmoid) == len(relu) == 9
    assert sigmoid[-1] / sigmoid[1] > 500  # the theory's bound: 1 / 0.354^7 = 1400, to first order
    assert (np.diff(np.log(sigmoid[1:])) > 0).all()  # layer after layer
    assert 1 / 5 < relu[-1] / relu[1] < 5
    assert lines.keys() == {
        f"{unit}, {moment}"
        for unit in ("sigmoid", "ReLU")
        for moment in ("at the start", "after 30 steps")
    }


def test_sigmoids_and_relus_begin_with_the_same_weights_and_see_the_same_batches(
    digits, monkeypatch
):
    nets, orders = [], []
    network, losses = studies._network, studies._losses

    def recorded_network(*arguments):
        net = network(*arguments)
        nets.append({name: array.copy() for name, array in net.params.items()})
        return net

    def recorded_losses(net, X, y, rng, *arguments, **named):
        orders.append(rng.bit_generator.state)
        return losses(net, X, y, rng, *arguments, **named)

    monkeypatch.setattr(studies, "_network", recorded_network)
    monkeypatch.setattr(studies, "_losses", recorded_losses)
    findings, _ = measured("7.1", digits, steps=1)
    sigmoid, relu = nets
    assert sigmoid.keys() == relu.keys()
    assert len(sigmoid) == 18
    for name in sigmoid:
        np.testing.assert_array_equal(sigmoid[name], relu[name])
    assert orders[0] == orders[1]
    # On the way forward, too: 0.354 a layer at most, to first order; less than 1 / 1000 over seven.
    first, last = re.search(
        r"by ([\d.e-]+) with sigmoids, one of the last by ([\d.e-]+);", findings.caption
    ).groups()
    assert 0 < float(last) < float(first) / 1000


def test_the_mean_over_masks_is_the_test_pass_before_the_relu_and_not_after(digits):
    findings, lines = measured("7.2", digits, steps=4000)
    before, test_before = lines["mean over masks, before ReLU"], lines["test pass, before ReLU"]
    after, test_after = lines["mean over masks, after ReLU"], lines["test pass, after ReLU"]
    assert len(set(test_before)) == len(set(test_after)) == 1
    # z is about normal with deviation s: the mean of max(0, z) is s / sqrt(2 pi) where E z = 0.
    s = after[-1] * np.sqrt(2 * np.pi)
    assert abs(before[-1] - test_before[0]) < 5 * s / np.sqrt(4000)
    assert test_after[0] < 0.1 * s < after[-1]
    assert f"{after[-1]:.3f}" in findings.caption


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_loss_falls_and_diverges_and_each_change_cures_it(digits, seed):
    _, lines = measured("7.3", digits, STUDIES["7.3"].budgets["smoke"].steps, seed)
    first, *others = lines
    diverging = lines[first]
    assert np.nanmin(diverging) < diverging[0] / 2
    end = diverging[-3:]
    assert np.isnan(end).any() or end.min() > 2 * np.nanmin(diverging)
    assert others == [
        "rate 0.2 throughout",
        "rising to 0.03",
        "gradient clipped to length 0.25",
        "batch normalisation",
    ]
    constant = lines["rate 0.2 throughout"][-3:]
    assert np.isnan(constant).any() or constant.min() > 1  # of 24 seeds, the least was 1.5
    for cure in others[1:]:
        assert lines[cure][-3:].mean() < 0.4


@pytest.mark.parametrize("id", STUDIES)
def test_the_same_seed_gives_the_same_findings(id, digits):
    assert measured(id, digits, 20, seed=3)[0] == measured(id, digits, 20, seed=3)[0]


def test_question_7_is_recorded_once_and_said_in_the_summary(tmp_path):
    run = finished(tmp_path, *arguments(questions="7"))
    results = Results.read(run.out / "results.json")
    assert [study.id for study in results.studies] == ["7.1", "7.2", "7.3"]
    assert results.data["mnist"].stand_in
    assert not results.experiments
    summary = (run.out / "summary.md").read_text()
    for study in results.studies:
        assert study.caption in summary
        assert study.caption.split()[0] in run.stdout
        assert study.command == "handgrad reproduce --questions 7 --profile smoke --seed 0"
    before = (run.out / "results.json").read_text()
    again = finished(tmp_path, *arguments(questions="7"))
    assert "7.1 Length" not in again.stderr  # not measured again
    after = json.loads((run.out / "results.json").read_text())
    assert after["studies"] == json.loads(before)["studies"]  # even their times

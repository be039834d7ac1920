"""`--search`: settings chosen on validation rows, by any number of processes."""

import json
import subprocess
import sys

import numpy as np
import pytest
from children import started
from own_data_problems import a_problem
from own_data_runs import flowers, refused, run, write_csv

from handgrad import report
from handgrad.errors import NonFiniteLossError, SearchError
from handgrad.own_data.settings import default_settings, to_params
from handgrad.training_record import TrainingRecord

pytest.importorskip("optuna")

from handgrad.own_data import fitting, search as searching
from handgrad.own_data.search import Plan, Search


@pytest.fixture
def _few_epochs(monkeypatch):
    """Let epochs end a candidate and not the clock: its score does not depend on the machine."""
    monkeypatch.setattr(fitting, "MOST_EPOCHS", 15)


def a_search(tmp_path, candidates=4, **changes):
    settings = {"candidates": candidates, "storage": tmp_path / "s.journal", "name": "s"}
    plan = Plan(**{**settings, "seconds": 600.0, "seed": 0, **changes})
    return Search(plan, a_problem(rows=120), default_settings(84, (4,)))


@pytest.mark.usefixtures("_few_epochs")
def test_the_default_is_tried_first_and_the_best_is_chosen(tmp_path):
    told = []
    search = a_search(tmp_path)
    summary = search.run(lambda trial, net: told.append((trial, net)))
    assert [each.number for each in summary.trials] == [0, 1, 2, 3]
    assert summary.trials[0].params == to_params(default_settings(84, (4,)))
    scores = [each.val_score for each in summary.trials if each.state == "complete"]
    best = next(each for each in summary.trials if each.number == summary.best)
    assert best.val_score == max(scores)
    for trial, net in told:
        assert (net is None) == (trial.state != "complete")
        if net is not None:
            assert net.best.val_score == trial.val_score
    assert search.settings_of(best).batch_size == best.params["batch_size"]


@pytest.mark.usefixtures("_few_epochs")
def test_an_interrupted_search_goes_on_to_the_same_candidates(tmp_path, monkeypatch):
    whole = a_search(tmp_path, name="whole").run(lambda *_: None)
    count = 0

    def interrupting(*_):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a_search(tmp_path, name="parts").run(interrupting)
    parts = a_search(tmp_path, name="parts").run(lambda *_: None)
    assert [each.params for each in parts.trials] == [each.params for each in whole.trials]
    assert [each.val_score for each in parts.trials] == [each.val_score for each in whole.trials]


@pytest.mark.usefixtures("_few_epochs")
def test_a_candidate_that_was_interrupted_does_not_count(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(searching, "fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            a_search(tmp_path, 2).run(lambda *_: None)
    summary = a_search(tmp_path, 2).run(lambda *_: None)
    assert len(summary.trials) == 2


@pytest.mark.usefixtures("_few_epochs")
def test_a_candidate_that_diverges_is_recorded_and_the_search_goes_on(tmp_path, monkeypatch):
    fit, calls = searching.fit, []

    def sometimes(*args):
        calls.append(args)
        if len(calls) == 1:
            raise NonFiniteLossError("the loss became nan")
        return fit(*args)

    monkeypatch.setattr(searching, "fit", sometimes)
    summary = a_search(tmp_path, 2).run(lambda *_: None)
    assert [each.state for each in summary.trials] == ["failed", "complete"]
    assert summary.trials[0].error == "the loss became nan"
    assert summary.best == 1


def test_a_search_of_which_every_candidate_fails(tmp_path, monkeypatch):
    def diverge(*_):
        raise NonFiniteLossError("the loss became nan")

    monkeypatch.setattr(searching, "fit", diverge)
    with pytest.raises(SearchError, match="every candidate of the search failed: the loss became"):
        a_search(tmp_path, 2).run(lambda *_: None)


@pytest.mark.usefixtures("_few_epochs")
def test_poor_candidates_are_pruned(tmp_path):
    summary = a_search(tmp_path, 12).run(lambda *_: None)
    pruned = [each for each in summary.trials if each.state == "pruned"]
    assert pruned
    longest = max(each.epochs for each in summary.trials)
    assert all(each.epochs < longest for each in pruned)


@pytest.fixture
def _in_a_folder_without_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "write_own", lambda record, path: None)


@pytest.mark.usefixtures("_in_a_folder_without_reports", "_few_epochs")
def test_the_command_trains_what_it_chose(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--search", "3", "--time", "60"]
    code, _, err = run(monkeypatch, capsys, *words)
    assert code == 0, err
    assert "candidate 3 of 3" in err
    record = TrainingRecord.read(tmp_path / "m/record.json")
    assert len(record.search.trials) == 3
    best = next(each for each in record.search.trials if each.number == record.search.best)
    assert record.net.hyperparameters["learning_rate"] == best.params["learning_rate"]


@pytest.mark.usefixtures("_in_a_folder_without_reports", "_few_epochs")
def test_a_search_can_grow(tmp_path, monkeypatch, capsys):
    """The same folder goes on to more candidates, and shows what it has for fewer."""
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "60", "--search"]
    first = run(monkeypatch, capsys, *words, "2")
    assert first[0] == 0, first[2]
    before = TrainingRecord.read(tmp_path / "m/record.json")
    interrupted = searching.fit

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(searching, "fit", interrupt)
    assert run(monkeypatch, capsys, *words, "4")[0] == 130
    assert run(monkeypatch, capsys, *words, "2")[:2] == first[:2]  # is still what it was
    monkeypatch.setattr(searching, "fit", interrupted)
    code, _, err = run(monkeypatch, capsys, *words, "4")
    assert code == 0, err
    assert "candidate 4 of 4" in err
    assert "candidate 5, for another: " in err  # for the third, which was interrupted
    assert "candidate 2 of 4" not in err
    after = TrainingRecord.read(tmp_path / "m/record.json")
    assert len(after.search.trials) == 4
    assert after.search.trials[:2] == before.search.trials
    scores = [each.net.validation["accuracy"] for each in (before, after)]
    assert scores[0] <= scores[1]
    assert "holds this training, done" in run(monkeypatch, capsys, *words, "3")[2]


def trained_twice(tmp_path, outs, *words):
    """Run the same search twice at once; give the two records and what was said."""
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--search", "4", "--time", "6", *words]
    command = [sys.executable, "-m", "handgrad", *words, "--out"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with started([*command, outs[0]], **pipes) as one, started([*command, outs[1]], **pipes) as two:
        ends = [process.communicate(timeout=100) for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], ends
    return [TrainingRecord.read(tmp_path / n / "record.json") for n in outs], ends


def test_two_machines_share_a_storage(tmp_path):
    pytest.importorskip("sqlalchemy")
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    (first, second), ends = trained_twice(tmp_path, ("one", "two"), "--storage", storage)
    # Each may have begun one while the other finished the last that was wanted.
    assert 4 <= len(first.search.trials) <= 5
    assert first.search.best == second.search.best
    assert sum(end[1].count("candidate ") for end in ends) <= 5
    params = [json.dumps(each.params, sort_keys=True) for each in first.search.trials]
    assert len(set(params)) == len(params)


def test_two_processes_share_a_folder(tmp_path):
    (first, _), ends = trained_twice(tmp_path, ("m", "m"))
    assert 4 <= len(first.search.trials) <= 5
    assert ends[0][0] == ends[1][0]  # the same table: one trained it, the other waited
    assert sum(end[1].count("training ended") for end in ends) == 1


@pytest.mark.usefixtures("_in_a_folder_without_reports")
def test_a_storage_that_cannot_be_used(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--search", "2", "--storage", "nonsense://x"]
    line = refused(monkeypatch, capsys, *words)
    assert line.startswith("the storage nonsense://x cannot be used (")


@pytest.mark.usefixtures("_in_a_folder_without_reports")
def test_a_search_without_optuna(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "handgrad.own_data.search")
    words = ["train", "a.csv", "--target", "kind", "--search", "2"]
    line = refused(monkeypatch, capsys, *words)
    assert "pip install 'handgrad[search]'" in line
    assert not (tmp_path / "a-model").exists()


def test_settings_and_candidates_are_one_another():
    for shape in ((4,), (1, 8, 8)):
        default = default_settings(1000, shape)
        assert searching.from_params(to_params(default), default) == default
        assert np.isfinite(default.learning_rate)

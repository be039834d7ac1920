"""`handgrad reproduce` as a user runs it: its records, and what it refuses.

All runs are the smoke profile in processes of their own, without network, with an empty cache and
a home and working folder of their own, so that the data are the stand-in and the shipped digits.
"""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import report_records
from datasets_fakes import fake_course, isolate, write_all
from reproduce_runs import (
    Silent,
    arguments,
    finished,
    numbers,
)
from safetensors.numpy import load_file

from handgrad.analysis import Analysis
from handgrad.errors import ResultsError
from handgrad.experiments import EXPERIMENTS, Budget, Experiment
from handgrad.reproduce import Job, reproduce
from handgrad.reproduce.folder import code_hash, opened
from handgrad.reproduce.plan import Estimate
from handgrad.reproduce.stages import SearchStage
from handgrad.reproduce.tasks import CandidateTask, DataRequest
from handgrad.reproduce.training import Diverged, FinalRun
from handgrad.results import SCHEMA, Interval, Results, Spread
from handgrad.selection import Search

SETUP = report_records.setup("2.3", ())

SEARCHED = {id: e for id, e in EXPERIMENTS.items() if isinstance(e, Experiment)}

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


# what a run leaves ------------------------------------------------------------------------------


def test_smoke_takes_less_than_a_minute(reference):
    assert float((reference.parent / "seconds").read_text()) < 60


def test_results_have_the_schema_of_the_assignment(reference):
    record = json.loads((reference / "out/results.json").read_text())
    assert next(iter(record)) == "schema"
    assert record["schema"] == SCHEMA == 5
    assert record["profile"] == "smoke"
    assert record["environment"]["numpy"] == np.__version__
    assert set(record["data"]) == {"course", "mnist"}
    for data in record["data"].values():
        assert {"source", "sha256", "stand_in"} <= set(data)
        assert data["stand_in"] is True
        assert all(len(digest) == 64 for digest in data["sha256"].values())
    assert [e["id"] for e in record["experiments"]] == list(SEARCHED)
    assert [e["id"] for e in record["not_run"]] == ["6.2", "6.3"]
    for entry in record["experiments"]:
        experiment = SEARCHED[entry["id"]]
        budget = experiment.budgets["smoke"]
        assert (entry["title"], entry["data"]) == (experiment.title, experiment.data)
        assert [trial["params"] for trial in entry["trials"]] == budget.candidates
        best = max(entry["trials"], key=lambda trial: trial["val_accuracy"])
        assert entry["chosen"] == best["params"]
        assert entry["seeds"] == list(range(budget.seeds))
        for name in ("val_accuracy", "test_accuracy"):
            spread = entry[name]
            assert set(spread) == {"mean", "std", "values"}
            assert all(0 <= value <= 1 for value in spread["values"])
            assert Spread.of(spread["values"]) == Spread(
                spread["mean"], spread["std"], tuple(spread["values"])
            )
            assert len(spread["values"]) == budget.seeds
        rows = {"course": 250, "mnist": 500}[entry["data"]]
        interval = Interval.wilson(entry["test_accuracy"]["mean"], rows)
        assert entry["test_interval"]["low"] == interval.low
        assert entry["test_interval"]["high"] == interval.high
        assert isinstance(entry["parameters"], int)
        assert entry["train_seconds"] > 0
    assert Results.read(reference / "out/results.json").profile == "smoke"


def test_every_run_has_its_history(reference):
    for id, experiment in SEARCHED.items():
        budget, runs = experiment.budgets["smoke"], reference / "out/runs" / id
        folders = [(f"candidate-{n:03d}", budget.search_epochs) for n in range(2)]
        if budget.finalists:  # here: all of them, with one more seed
            folders += [(f"candidate-{n:03d}-seed-1", budget.search_epochs) for n in range(2)]
        folders += [(f"seed-{seed}", budget.final_epochs) for seed in range(budget.seeds)]
        assert sorted(path.name for path in runs.iterdir()) == sorted(name for name, _ in folders)
        for name, epochs in folders:
            lines = (runs / name / "history.jsonl").read_text().splitlines()
            records = [json.loads(line) for line in lines]
            assert [record["epoch"] for record in records] == list(range(1, epochs + 1))
            assert all(np.isfinite(record["loss"]) for record in records)
            assert all(0 <= record["val_accuracy"] <= 1 for record in records)


def test_the_chosen_models_are_there_and_whole(reference):
    results = Results.read(reference / "out/results.json")
    for record in results.experiments:
        assert len(record.models) == len(record.seeds)
        shape = (20,) if record.data == "course" else (1, 28, 28)
        built = SEARCHED[record.id].build(record.chosen, shape, np.random.default_rng(0))
        assert record.parameters == sum(array.size for array in built.params.values())
        for name in record.models:
            arrays = load_file(reference / "out" / name)
            expected = {**built.params, **built.state}
            assert set(arrays) == set(expected) | {"input_mean", "input_std"}
            for key, array in expected.items():
                assert arrays[key].shape == array.shape, (name, key)
                assert np.isfinite(arrays[key]).all(), (name, key)


def test_each_retraining_tells_of_its_one_pass_over_the_test_rows(reference):
    for record in Results.read(reference / "out/results.json").experiments:
        assert len(record.analyses) == len(record.histories) == len(record.seeds)
        accuracies = []
        for seed, name in zip(record.seeds, record.analyses, strict=True):
            analysis = Analysis.read(reference / "out" / name)
            assert (analysis.seed, analysis.rows) == (seed, record.test_interval.rows)
            assert sum(map(sum, analysis.confusion)) == analysis.rows
            assert len(analysis.mistakes) > 0
            assert (analysis.calibration is None) == record.id.startswith("3")
            assert (analysis.histogram is not None) == (record.data == "course")
            titles = [sheet.title for sheet in analysis.sheets]
            assert titles[0] in ("First-layer weights", "First-layer filters")
            assert ("After pool 1" in titles) == record.id.startswith("5")
            accuracies.append(analysis.accuracy)
        assert tuple(accuracies) == record.test_accuracy.values
        for name in record.histories:
            assert (reference / "out" / name).is_file()


def test_it_ends_with_the_report_and_the_records_alone_give_it_again(reference, tmp_path):
    for library in ("jinja2", "matplotlib", "latex2mathml", "markdown_it"):
        pytest.importorskip(library)
    page = (reference / "out/report.html").read_bytes()
    assert "All of it on one page: out/report.html" in (reference / "stdout").read_text()
    for name in SEARCHED:
        shown = f"runs/{name}/seed-0/show.html"
        assert f'<a href="{shown}">' in page.decode()
        assert b"../../../report.html" in (reference / "out" / shown).read_bytes()
    records = tmp_path / "elsewhere"
    names = ["results.json", *(reference / "out").rglob("seed-*/*.json*")]
    for name in names:
        file = reference / "out" / name
        target = records / file.relative_to(reference / "out")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    finished(tmp_path, "report", "elsewhere", "--output", "again.html")
    # The pages of the networks stayed behind, and nothing links to where there is none.
    again = re.sub(r'<p><a href="[^"]*show.html">.*?</p>\n', "", page.decode())
    assert (tmp_path / "again.html").read_text(encoding="utf-8").split() == again.split()


def test_a_lost_analysis_is_made_again_and_nothing_else_changes(reference, tmp_path):
    run = finished(tmp_path, *arguments())
    lost = run.out / "runs/2.4/seed-1/analysis.json"
    before = numbers(run.out), lost.read_bytes()
    lost.unlink()
    finished(tmp_path, *arguments())
    assert (numbers(run.out), lost.read_bytes()) == before


def test_stand_ins_are_said_everywhere(reference):
    stderr, stdout = (reference / "stderr").read_text(), (reference / "stdout").read_text()
    assert "NOTICE: stand-in: data.pkl was not found" in stderr
    assert "NOTICE: stand-in: MNIST was not found" in stderr
    assert "course (stand-in): stand-in (generated; data.pkl was not found)" in stdout
    assert "mnist (stand-in): sample of 1,500 digits" in stdout
    assert stdout.partition("course (stand-in)")[0].count("stand-in") == 8  # each line of the table
    summary = (reference / "out/summary.md").read_text()
    assert summary.count("**Stand-in: these numbers say nothing about the real data.**") == 2


def test_question_6_without_its_images_is_reported_and_the_rest_goes_on(reference):
    results = Results.read(reference / "out/results.json")
    assert [missing.id for missing in results.not_run] == ["6.2", "6.3"]
    for missing in results.not_run:
        assert "handgrad data import" in missing.reason  # says how to provide the data
    assert "NOTICE: 6.2, 6.3 will not run: " in (reference / "stderr").read_text()
    assert "Not run: 6.2 VGG11 as given: " in (reference / "stdout").read_text()
    assert "**Not run: 6.3 VGG11 improved.**" in (reference / "out/summary.md").read_text()


def test_plan_progress_and_table(reference):
    stderr, stdout = (reference / "stderr").read_text(), (reference / "stdout").read_text()
    summary = (reference / "out/summary.md").read_text()
    assert stderr.index("Expected time: about ") < stderr.index("chose ")
    for record in Results.read(reference / "out/results.json").experiments:
        assert f"{record.id} {record.title}"[:40] in stderr  # in the plan
        assert f"] {record.id}: chose " in stderr
        assert f"] {record.id}: test " in stderr
        low, high = record.test_interval.low, record.test_interval.high
        measured = [f"{100 * s.mean:.2f}" for s in (record.val_accuracy, record.test_accuracy)]
        interval = f"{100 * low:.2f} to {100 * high:.2f}"
        row = stdout.partition(f" {record.id} {record.title}")[2].split("stand-in")[0]
        for words in (*measured, interval, f"{record.parameters:,}", *record.chosen):
            assert words in row
        chosen = ", ".join(f"{name} {value}" for name, value in record.chosen.items())
        chosen = chosen.replace("keep 0.5", "keep 0.5 (drop 0.5)")
        assert f"### {record.id} {record.title}" in summary
        for sentence in (*record.conclusions, *(edge.text for edge in record.edges)):
            assert sentence in summary
        assert f"| all | | | {record.parameters:,} |" in summary
        (line,) = [line for line in summary.splitlines() if line.startswith(f"| {record.id} ")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:2] == [f"{record.id} {record.title}", chosen]
        assert [cell.split(" ")[0] for cell in cells[2:4]] == measured
        assert cells[4:7] == [interval, str(len(record.seeds)), f"{record.parameters:,}"]


def test_results_do_not_depend_on_the_number_of_jobs_nor_on_the_other_questions(
    reference, tmp_path
):
    run = finished(tmp_path, *arguments(questions="2,5", jobs=1))
    _, all_questions = numbers(reference / "out")
    assert numbers(run.out)[1] == [e for e in all_questions if e["id"][0] in "25"]


def test_a_second_call_changes_nothing_and_another_question_is_added(reference, tmp_path):
    run = finished(tmp_path, *arguments())
    files = {path: path.read_bytes() for path in run.out.rglob("*.safetensors")}
    before, first = numbers(run.out), (run.out / "results.json").read_text()
    again = finished(tmp_path, *arguments("--jobs", "2"))
    assert "done" in again.stderr
    assert numbers(run.out) == before
    assert {path: path.read_bytes() for path in files} == files
    assert len(files) == 4
    third = finished(tmp_path, *arguments(questions="3")).stdout
    assert numbers(run.out, "2") == before
    assert numbers(run.out)[1] == numbers(reference / "out")[1][:4]
    assert third.count(" 2.3 Logistic") == third.count(" 3.3 Linear") == 1
    assert (
        json.loads(first)["experiments"]
        == json.loads((run.out / "results.json").read_text())["experiments"][:2]
    )  # even their times


# refusals --------------------------------------------------------------------------------------


def test_a_second_handgrad_in_the_same_folder_is_refused(reference, tmp_path):
    with opened(tmp_path / "out", profile="smoke", seed=0):
        run = finished(tmp_path, *arguments(), expected=2)
    (line,) = run.stderr.splitlines()
    assert line == (
        "handgrad: error: another handgrad is at work in out; wait for it, or name another folder "
        "with --out"
    )
    finished(tmp_path, *arguments())


def test_data_that_changed_between_calls_are_refused(reference, tmp_path, monkeypatch):
    run = finished(tmp_path / "run", *arguments())
    isolate(tmp_path, monkeypatch)
    given = write_all(tmp_path / "given", {"data.pkl": fake_course(monkeypatch)})
    job = Job([2], "smoke", run.out, "", jobs=1, data_dir=given, offline=True)
    before = (run.out / "results.json").read_bytes()
    message = "was made with other course data than is found now; name another folder"
    with pytest.raises(ResultsError, match=message):
        reproduce(job, Silent())
    assert (run.out / "results.json").read_bytes() == before
    # And it stays usable with the data it was made with.
    finished(tmp_path / "run", *arguments())
    assert numbers(run.out) == numbers(reference / "out", "2")


def test_a_chosen_candidate_that_diverges_in_retraining_gives_way_to_the_next(
    tmp_path, monkeypatch
):
    values = {"reg": [0.1], "learning_rate": [0.05, 0.1]}
    budgets = {"smoke": Budget(values, 1, 2, 2)}
    monkeypatch.setitem(EXPERIMENTS, "2.3", replace(EXPERIMENTS["2.3"], budgets=budgets))
    with opened(tmp_path / "out", profile="smoke", seed=0) as folder:
        search = Search.prepare(folder.journal("2.3"), "2.3", values)
        for accuracy in (0.8, 0.9):
            search.report(search.claim(), accuracy, 1.0)
        request = DataRequest("course", None, ())
        stage = SearchStage(EXPERIMENTS["2.3"], "smoke", 0, folder, request)
        assert stage.timing is not None
        assert not stage.waiting
        stage.timed(Estimate(1.0, 3.0))
        assert stage.timing is None
        assert stage.seconds_left == 6.0
        first, second = stage.waiting
        assert dict(first.chosen)["learning_rate"] == 0.1
        said = stage.received(first, Diverged("the loss became nan"))
        assert said.startswith("retraining diverged (the loss became nan); chose reg 0.1, ")
        # The other seed of the candidate that is out may still end, and does not count.
        run = FinalRun(dict(second.chosen), 1, 0.9, 0.9, 250, 21, 2, 1.0, SETUP)
        assert stage.received(second, run) is None
        for task in stage.waiting:
            assert dict(task.chosen)["learning_rate"] == 0.05
            run = FinalRun(dict(task.chosen), task.seed, 0.8, 0.7, 250, 21, 2, 1.0, SETUP)
            stage.received(task, run)
        assert stage.record.chosen["learning_rate"] == 0.05
        assert stage.record.test_accuracy.values == (0.7, 0.7)


def test_finalists_are_tried_before_one_is_chosen(tmp_path, monkeypatch):
    values = {"reg": [0.1, 0.2, 0.3], "learning_rate": [0.1]}
    budgets = {"smoke": Budget(values, 1, 2, 1, finalists=2, finalist_seeds=2)}
    monkeypatch.setitem(EXPERIMENTS, "2.3", replace(EXPERIMENTS["2.3"], budgets=budgets))
    with opened(tmp_path / "out", profile="smoke", seed=0) as folder:
        stage = SearchStage(EXPERIMENTS["2.3"], "smoke", 0, folder, DataRequest("course", None, ()))
        assert stage.candidates_left == 5
        stage.timed(Estimate(1.0, 3.0))
        accuracies = iter([0.8, 0.7, 0.9, 0.9, 0.7])  # candidates 0, 1, 2; then 0 and 2 again
        said = []
        while isinstance(stage.waiting[0], CandidateTask):
            task = stage.waiting.pop(0)
            search = stage._search
            search.report(search.claim(), next(accuracies), 1.0)
            said.append(stage.received(task, None))
            assert stage.candidates_left == 4 - len(said) + 1
        assert said[:2] == [None, None]
        assert said[2] == "trying the best 2 candidates with more seeds"
        assert said[3] is None
        assert said[4].startswith("chose reg 0.1, learning_rate 0.1 of 3 candidates (validation 85")
        assert dict(stage.waiting[0].chosen)["reg"] == 0.1


def test_a_folder_made_by_other_code_is_refused(tmp_path):
    with opened(tmp_path / "out", profile="smoke", seed=0):
        pass
    manifest = tmp_path / "out/manifest.json"
    manifest.write_text(manifest.read_text().replace(code_hash(), "0" * 12))
    message = f"was made with code 000000000000, this is code {code_hash()}; name another folder"
    with (
        pytest.raises(ResultsError, match=message),
        opened(tmp_path / "out", profile="smoke", seed=0),
    ):
        pass

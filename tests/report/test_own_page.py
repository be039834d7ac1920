"""The page of `handgrad train`: its numbers are the record's, whatever parts the record has."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_records import KINDS, a_record

from handgrad import report
from handgrad.analysis import analyse
from handgrad.errors import ReportError, ResultsError
from handgrad.training_record import (
    METRICS,
    ColumnRecord,
    EpochRecord,
    Importance,
    TargetAnalysis,
    TrialSummary,
)

for library in ("html5lib", "jinja2", "matplotlib"):
    pytest.importorskip(library)

from report_pages import (  # noqa: E402
    check_alone,
    check_alternatives,
    check_ids,
    check_numbers,
    check_texts,
    classes,
    other_digits,
    own_words,
    parse,
    section,
)


def lookup(record, folder):
    """Read values from the record's file, without any code of the report."""
    record.write(folder / "record.json")
    whole = json.loads((folder / "record.json").read_text(encoding="utf-8"))

    def at(place):
        name, _, pointer = place.partition("#")
        assert name == "record.json"
        value = whole
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]
        return value

    return at


@pytest.fixture(scope="module", params=KINDS)
def shown(request):
    record = a_record(**KINDS[request.param])
    page = report.build_own(record)
    return record, page, parse(page)


def words(record):
    return " ".join("".join(parse(report.build_own(record)).find("body").itertext()).split())


# what every record's page must be ---------------------------------------------------------------


def test_each_number_and_text_is_the_one_in_the_record(shown, tmp_path):
    record, _, tree = shown
    at = lookup(record, tmp_path)
    numbers = check_numbers(tree, at)
    assert len(numbers) > 100
    amounts = [e for e in numbers if e.get("data-style") == "amount"]  # of columns and targets
    assert bool(amounts) == (record.data.kind == "table")
    assert len(check_texts(tree, at)) > 25


def test_no_other_digit_stands_on_the_page(shown):
    assert other_digits(own_words(shown[2].find("body")), r"95 %") == []


def test_it_is_one_valid_file_that_asks_for_nothing(shown):
    _, page, tree = shown
    assert len(page.encode()) < 250_000
    check_alone(tree)
    check_ids(tree)
    pictures, drawn = check_alternatives(tree)
    assert len(drawn) >= 3
    assert bool(pictures) == ("images" in page)
    assert "<b>" not in page.partition("</style>")[2]


def test_net_and_baselines_stand_in_one_table(shown):
    record, _, tree = shown
    (table,) = [e for e in tree.iter("table") if "answers" in classes(e)]
    rows = [["".join(cell.itertext()) for cell in row] for row in table.find("tbody")]
    names = [*(each.name for each in record.baselines), "net"]
    assert len(rows) == len(names) == 3
    assert all(row[0].startswith(name) for row, name in zip(rows, names, strict=True))
    assert all(len(row) == 2 + 2 * len(METRICS[record.task]) for row in rows)


def test_plots_draw_recorded_numbers_only(shown, monkeypatch, tmp_path):
    from matplotlib.axes import Axes

    record = shown[0]
    recorded = {0.0, 100.0}  # the diagonal of calibration

    def collect(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for entry in value:
                collect(entry)
        elif isinstance(value, int | float):
            recorded.update((float(value), 100 * value))

    collect(lookup(record, tmp_path)("record.json#"))
    drawn = []
    plain, stairs, bars = Axes.plot, Axes.stairs, Axes.barh

    def plot(axes, x, y, **rest):
        drawn.extend([*np.asarray(x, float), *np.asarray(y, float)])
        return plain(axes, x, y, **rest)

    def stair(axes, values, edges, **rest):
        drawn.extend([*map(float, values), *map(float, edges)])
        return stairs(axes, values, edges, **rest)

    def barh(axes, y, width, **rest):
        drawn.extend([*map(float, width), *map(float, rest["xerr"])])
        return bars(axes, y, width, **rest)

    monkeypatch.setattr(Axes, "plot", plot)
    monkeypatch.setattr(Axes, "stairs", stair)
    monkeypatch.setattr(Axes, "barh", barh)
    report.build_own(record)
    known = {value for value in drawn if not np.isnan(value)}
    assert len(known) > 20
    assert known <= recorded


# what it shows ----------------------------------------------------------------------------------


def test_each_part_of_a_record_is_there():
    tree = parse(report.build_own(a_record(search=True)))
    data = section(tree, "data")
    assert "CSV, 100 rows, comma, header. 100 rows; 2 equal an earlier one" in data
    assert "Left out, because it tells the target: copy." in data
    assert "class b & c has 2 rows in the test part" in data
    assert "colour <b>category" in data
    assert "left out: another value in every row" in data
    assert "stratified by class" in data
    assert "missing numbers: the median" in data
    training = section(tree, "training")
    assert "Kept is epoch 6, the best on the validation rows." in training
    assert "the validation score had not risen for 2 epochs" in training
    tested = section(tree, "tested")
    assert "Confusion matrix: counts of test rows" in tested
    assert "Expected calibration error" in tested
    assert "The most confidently wrong test rows" in tested
    assert "colour <b>" in section(tree, "importance")
    search = section(tree, "search")
    assert "failed: the loss became nan" in search
    assert "Chosen: candidate 0." in search
    assert "handgrad predict model.safetensors DATA" in section(tree, "run")


def test_images_are_shown_with_their_names():
    record = a_record(images=True)
    tree = parse(report.build_own(record))
    names = record.analyses[0].names
    captions = ["".join(e.itertext()) for e in tree.iter("figcaption")]
    assert all(any(caption.endswith(name) for caption in captions) for name in names)
    assert "each 1 × 8 × 8 (channels, height, width)" in section(tree, "data")
    assert "a/broken.png: not an image" in section(tree, "data")
    assert "Wrong rows" not in section(tree, "tested")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (-2.0, "-2"),
        (64.84021, "64.84"),
        (9999.5, "9,999.5"),
        (-123456.7, "-123,457"),
        (1e8 + 1e-3, "100,000,000"),
        (6.93889e-18, "6.9389e-18"),
        (1e300, "1e+300"),
    ],
)
def test_amounts_of_any_size_are_read_at_a_glance(value, said):
    from handgrad.report.formats import amount

    assert amount(value) == said


def test_a_leak_that_a_warning_names_is_told_once():
    record = a_record()
    told = replace(record.data, warnings=("column 'copy' equals the target; not used",))
    assert "Left out, because" not in words(replace(record, data=told))


@pytest.mark.parametrize(
    ("net", "linear", "said"),
    [
        (0.8, 0.8, "The net is no better than the linear baseline on the test rows."),
        (0.8, 0.9, "The net is no better than the linear baseline on the test rows."),
        (0.9, 0.8, "The linear baseline lies within the net’s interval"),  # 15 rows say little
        (0.9, 0.5, None),
    ],
)
def test_it_says_when_the_net_was_not_worth_it(net, linear, said):
    record = a_record()
    majority, old = record.baselines
    record = replace(
        record,
        net=replace(record.net, test={**record.net.test, "accuracy": net}),
        baselines=(
            replace(majority, test={**majority.test, "accuracy": 0.3}),
            replace(old, test={**old.test, "accuracy": linear}),
        ),
    )
    text = words(record)
    sentences = ("The net is no better", "lies within the net’s interval")
    if said is None:
        assert not any(sentence in text for sentence in sentences)
    else:
        assert said in text


# absent and extreme parts -----------------------------------------------------------------------


def test_a_run_that_ended_early_says_so():
    whole = a_record(interrupted=True, search=True)
    net = replace(whole.net, test={}, test_interval=None, history=(), hyperparameters={})
    baselines = tuple(replace(each, test={}) for each in whole.baselines)
    text = words(
        replace(
            whole,
            net=net,
            baselines=baselines,
            analyses=(),
            importances=(),
            preprocessing=(),
            search=replace(whole.search, trials=()),
        )
    )
    assert "Interrupted: this is the best net until then." in text
    assert "Not tested: the run ended before the test rows were scored." in text
    assert "No epoch was recorded." in text
    assert "On the test rows" not in text
    assert "Permutation importance" not in text


def test_values_that_no_record_has_are_none():
    record = a_record()
    epoch = EpochRecord(1, 0.5, None, None, 0.5, None, 0.1)
    found = analyse(
        np.array([0, 1, 1]), seed=0, classes=("a", "b"), scores=np.array([-1.0, 2.0, -3.0])
    )
    text = words(
        replace(
            record,
            net=replace(record.net, history=(epoch,), best_epoch=1, test={"accuracy": None}),
            analyses=(TargetAnalysis("species", found, None),),
            environment={},
        )
    )
    assert "Calibration" not in text
    assert "noneseconds" not in text
    assert text.count("none") >= 4


def test_names_of_any_kind_are_shown():
    names = ("price in $ per $m_{2}$", "温度", "bell\x07", "a" * 90, "<script>", "&amp;", " ")
    record = a_record(search=True)
    columns = tuple(ColumnRecord(name, "number", "input", 0, 3, 1, 1e8, 2e8, 3e8) for name in names)
    trials = tuple(
        TrialSummary(
            i, {"rate": 10.0**-i, "$layers": [8] * i, "on": i > 1}, "complete", 0.5, 1, 1.0
        )
        for i in range(5)
    )
    found = analyse(
        np.array([0, 1, 0]), seed=0, classes=names[:2], probabilities=np.eye(2)[[0, 1, 1]]
    )
    page = report.build_own(
        replace(
            record,
            data=replace(record.data, columns=columns),
            importances=tuple(Importance(name, 0.1, 0.01, 5) for name in names),
            search=replace(record.search, trials=trials, best=3),
            analyses=(TargetAnalysis("targét $", found, None),),
        )
    )
    body = section(parse(page), "importance")
    assert "price in $ per $m_{2}$" in body
    assert "温度" in body
    assert "bell\N{REPLACEMENT CHARACTER}" in body
    assert "\x07" not in page
    assert "<script" not in page
    assert "mathdefault" not in page
    plot = page.partition('aria-labelledby="importance-title')[2].partition("</svg>")[0]
    assert "price in $ per $m_{2}$" in plot
    assert "&lt;script&gt;" in plot
    assert "a" * 13 + "…" + "a" * 12 in plot


def test_large_records_stay_small_pages():
    record = a_record(search=True)
    rng = np.random.default_rng(0)
    names = tuple(f"class {i}" for i in range(120))
    labels = rng.integers(0, 120, 3000)
    found = analyse(labels, seed=0, classes=names, probabilities=rng.dirichlet(np.ones(120), 3000))
    history = tuple(EpochRecord(e, 1 / e, 1 / e, 0.5, 0.5, 1e-3, 0.1) for e in range(1, 1001))
    columns = tuple(ColumnRecord(f"c{i}", "number", "input", 0, 3, 1) for i in range(3000))
    page = report.build_own(
        replace(
            record,
            data=replace(record.data, columns=columns),
            net=replace(record.net, history=history, best_epoch=777),
            analyses=(TargetAnalysis("species", found, None),),
            importances=tuple(Importance(f"c{i}", 0.1, 0.01, 5) for i in range(300)),
        )
    )
    assert len(page.encode()) < 1_000_000
    tree = parse(page)
    assert "The classes that are confused most often" in section(tree, "tested")
    assert "Evenly spaced epochs, with the kept and the last one" in section(tree, "training")
    epochs = [e.get("value") for e in tree.iter("data") if "history" in e.get("data-record")]
    assert {"1", "777", "1000"} <= set(epochs)
    assert "The first columns; the record has the others, too" in section(tree, "data")


def test_of_many_targets_the_first_are_drawn_and_all_are_told():
    for task, drawn in (("multilabel", 8), ("regress", 16)):
        record = a_record(task)
        targets = tuple(replace(record.analyses[0], target=f"target {i}") for i in range(12))
        tree = parse(report.build_own(replace(record, analyses=targets)))
        check_ids(tree)
        (tested,) = [e for e in tree.iter("section") if e.get("id") == "tested"]
        assert len(check_alternatives(tested)[1]) == drawn
        for i in range(12):
            assert f"target {i}" in section(tree, "tested")


# how it is made ---------------------------------------------------------------------------------

AGAIN = """
import sys
from pathlib import Path
from handgrad import report
from handgrad.training_record import TrainingRecord
report.write_own(TrainingRecord.read(Path(sys.argv[1])), Path(sys.argv[2]))
heavy = {"torch", "sklearn", "pandas", "optuna", "latex2mathml", "markdown_it"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""


def test_another_process_makes_the_same_bytes_and_loads_nothing_else(tmp_path):
    record = a_record(search=True)
    record.write(tmp_path / "record.json")
    (tmp_path / "matplotlibrc").write_text("font.size: 30\n")  # a user's own style is no matter
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(report.__file__).parents[2]),
        "PYTHONHASHSEED": "7",
        "MPLCONFIGDIR": str(tmp_path / "mpl"),
    }
    command = [sys.executable, "-c", AGAIN, "record.json", "again.html"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "again.html").read_bytes() == report.build_own(record).encode()


def test_the_page_of_a_folder_is_that_of_its_record(tmp_path):
    record = a_record("regress")
    record.write(tmp_path / "record.json")
    assert report.write(tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.build_own(record)
    (tmp_path / "show.html").touch()
    assert report.build(tmp_path) == report.build_own(record, walk="show.html")
    assert '<a href="show.html">' in report.build(tmp_path)
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"record.json is not a record of handgrad train"):
        report.build(tmp_path)


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setattr(report, "_OWN_NEEDED", ("json", "not_installed_at_all"))
    with pytest.raises(ReportError, match=r"no report: not_installed_at_all not installed: `pip"):
        report.build_own(a_record())


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "build_own", lambda record, **_: "<!doctype html>")
    with pytest.raises(ReportError, match=r"cannot write .*nowhere/x.html \(No such file"):
        report.write_own(a_record(), tmp_path / "nowhere/x.html")

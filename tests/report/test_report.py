"""The report: every number is in a record, the same bytes again, valid, self-contained."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import report_records

from handgrad import report
from handgrad.errors import ResultsError
from handgrad.report import ReportError

for library in ("html5lib", "jinja2", "matplotlib", "latex2mathml", "markdown_it"):
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

from handgrad import theory  # noqa: E402
from handgrad.report import formats, plots, records  # noqa: E402

SMALL = 5_000_000  # bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    report_records.write(path)
    return path


@pytest.fixture(scope="module")
def page(folder):
    return report.build(folder)


def test_it_links_to_the_pages_of_networks_that_are_there(folder, page, tmp_path):
    assert "show.html" not in page
    copied = shutil.copytree(folder, tmp_path / "records")
    results = json.loads((folder / "results.json").read_text())
    models = [record["models"] for record in results["experiments"]]
    (name, *_) = next(filter(None, models))
    shown = (copied / name).with_name("show.html")
    shown.parent.mkdir(parents=True, exist_ok=True)
    shown.touch()
    address = shown.relative_to(copied).as_posix()
    linked = report.build(copied)
    assert linked.count("show.html") == linked.count(f'<a href="{address}">') == 1
    assert f'<a href="../records/{address}">' in report.build(copied, tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def tree(page):
    return parse(page)


def lookup(folder, place):
    """Follow a file name and a JSON pointer without any code of the report."""
    name, _, pointer = place.partition("#")
    path = folder / name
    if name == "public_solutions.json":
        path = Path(report.__file__).parent / name
    text = path.read_text(encoding="utf-8")
    if name.endswith(".jsonl"):
        value = [json.loads(line) for line in text.splitlines()]
    else:
        value = json.loads(text)
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


# every number is recorded -----------------------------------------------------------------------


def test_each_number_of_the_page_is_the_one_in_the_record_it_names(folder, tree):
    numbers = check_numbers(tree, lambda place: lookup(folder, place))
    assert len(numbers) > 500
    used = {element.get("data-style") for element in numbers}
    # test_own_page.py shows the others.
    assert used == set(formats.STYLES) - {"amount"}, "every format is shown by some record here"


def test_each_text_taken_from_a_record_is_what_the_record_says(folder, tree):
    assert len(check_texts(tree, lambda place: lookup(folder, place))) > 100


# What carries digits without being a result: the assignment's own numbers, and "95 %".
NOT_RESULTS = re.compile(
    r"\b[1-7](\.[1-5])?(, [1-7]\.[1-5])?(?= The code)|(?<=Question )[1-7]|\b95 %|SHA-256|VGG11"
    r"|CIFAR-10|question 4 out|(?<=--questions )[1-7]|(?<=question )[1-7]"
)


def test_no_other_digit_stands_on_the_page(folder, tree):
    """Whatever is not a recorded value, a derivation or a plot's axis has no number in it."""
    body = tree.find("body")
    assert body is not None

    def studies(element, words):  # theory is prose and formulas, but for the studies in it
        if "theory" in classes(element):
            return " ".join(words(e) for e in element.iter() if "study" in classes(e))
        return None

    # A file name of the record is a key, which has no place of its own.
    files = {f for d in lookup(folder, "results.json#/data").values() for f in d["sha256"]}
    rest = own_words(body, studies)
    titles = (page.title for page in theory.pages())  # "The L2 term"
    for name in (*files, "cifar10", *titles):
        rest = rest.replace(name, "")
    assert not other_digits(rest, NOT_RESULTS)


def test_plots_draw_recorded_numbers_only(folder, monkeypatch):
    from matplotlib.axes import Axes

    recorded: set[float] = {0.0, -1.0, 1.0, 100.0}  # reference lines: diagonal, border, margin

    def collect(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for entry in value:
                collect(entry)
        elif isinstance(value, int | float):
            recorded.update((float(value), 100 * value))

    for name in ("results.json", *(str(p.relative_to(folder)) for p in folder.rglob("*.json*"))):
        collect(lookup(folder, name + "#"))
    drawn: list[float] = []
    plain, stairs = Axes.plot, Axes.stairs

    def plot(axes, x, y, **rest):
        drawn.extend(np.asarray(x, float).tolist())
        if rest.get("linestyle") != "none":  # rows of dots stand at their row's position
            drawn.extend(np.asarray(y, float).tolist())
        return plain(axes, x, y, **rest)

    def stair(axes, values, edges, **rest):
        drawn.extend([*map(float, values), *map(float, edges)])
        return stairs(axes, values, edges, **rest)

    monkeypatch.setattr(Axes, "plot", plot)
    monkeypatch.setattr(Axes, "stairs", stair)
    report.build(folder)
    known = [value for value in drawn if not np.isnan(value)]
    assert len(known) > 500
    assert set(known) <= recorded


def test_a_number_of_no_record_cannot_be_printed():
    with pytest.raises(TypeError, match=r"results.json#/x is not a number: 'high'"):
        formats._number(records.Ref("results.json#/x", "high"), "percent")


# one file, the same again -----------------------------------------------------------------------

AGAIN = """
import socket, sys
from pathlib import Path
from types import SimpleNamespace
def refuse(*a, **k): raise SystemExit("network")
socket.socket.connect = refuse
from handgrad import report
report.write(*map(Path, sys.argv[1:]))
"""


def test_another_process_makes_the_same_bytes_without_torch_numba_or_network(
    folder, page, tmp_path
):
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    (tmp_path / "numba.py").write_text("raise SystemExit('numba was imported')")
    (tmp_path / "matplotlibrc").write_text("font.size: 30\n")  # a user's own style is no matter
    source = str(Path(report.__file__).parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), source]),
        "PYTHONHASHSEED": "7",
        "TZ": "Pacific/Auckland",
        "MPLCONFIGDIR": str(tmp_path / "mpl"),
    }
    subprocess.run(
        [sys.executable, "-c", AGAIN, str(folder), str(tmp_path / "again.html")],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert (tmp_path / "again.html").read_bytes() == page.encode()


def test_one_small_file_that_asks_for_nothing(page, tree):
    assert len(page.encode()) < SMALL
    check_alone(tree)


def test_ids_are_unique_and_links_lead_somewhere(tree):
    check_ids(tree)


def test_html_in_a_record_stays_text(page):
    assert "<b>" not in page.split("</style>")[1].split('<section id="q1"')[0]
    assert "&lt;b&gt;&amp;amp;é" in page


# what it shows ----------------------------------------------------------------------------------


def test_the_contents_list_every_item_of_the_assignment(tree):
    contents = tree.find(".//nav")
    numbers = (
        " ".join("".join(e.itertext()) for e in contents.iter("span") if "number" in classes(e))
        .replace(",", " ")
        .split()
    )
    theory_numbers = [page.number for page in theory.pages()]
    assert set(numbers) >= {"2.1", "2.2", "2.4", "3.1", "3.2", "3.3", "4.1", "5.4", "6.1", "6.2"}
    assert set(numbers) >= set(theory_numbers)
    assert {"1.1", "1.2", "1.3", "1.4", "1.5", "7.1", "7.2", "7.3"} <= set(theory_numbers)


def test_stand_ins_and_what_did_not_run_are_marked(page):
    assert page.count("stand-in data</span>") >= 2 * 2  # in the table and at each experiment
    assert "Not run: " in page
    assert "there is no &lt;torch&gt;" in page
    assert "This run left question 4 out" in page


def test_every_picture_has_a_text_and_every_table_a_caption_and_scopes(tree):
    pictures, drawn = check_alternatives(tree)
    assert len(pictures) > 50
    assert len(drawn) > 12


def test_each_experiment_says_what_was_trained(tree):
    words = section(tree, "q5-4")
    assert "Conv2d 1, 8, kernel_size=(3, 3) 8 × 26 × 26 72".replace(" ", "") in words.replace(
        " ", ""
    )
    assert "training 54,000, validation 6,000, test 10,000" in words
    assert "nesterov, batches of 100 rows" in words
    assert "one_cycle: warm_up 0.3" in words
    assert "every candidate for 2 epochs with 1 seed; the best 3 with 3" in words
    assert "14 epochs with each of the seeds 0, 1, 2" in words
    assert "momentum 0.9, widths [8, 16], flip none" in words
    assert "5 to 160 hidden units lie within 0.30 points." in words


def test_a_dropout_rate_is_said_as_kept_and_dropped(tree):
    words = section(tree, "q5-4")
    assert "keep 0.7 (drop 0.3)" in words
    assert "0.4 (drop 0.6), 0.55 (drop 0.45), 0.7 (drop 0.3)" in words  # the whole grid
    assert "Dropout" in words
    assert re.search(r"(?i)dropout 0\.\d", words) is None


def test_controls_are_shown_as_such(tree):
    words = section(tree, "q5-4")
    assert "keep 0.4 (drop 0.6): tried and shown beside the others, never chosen" in words
    assert words.count("(control)") == 2  # one an architecture
    assert "(control)" not in section(tree, "q2-4")


def test_a_choice_on_the_edge_of_its_grid_is_marked(tree):
    (found,) = [e for e in tree.iter() if e.get("id") == "q2-4"]
    notices = ["".join(e.itertext()) for e in found.iter("p") if "notice" in classes(e)]
    assert any(n.startswith("At the edge of its grid: reg 0.1, where") for n in notices)
    assert not any("hidden units 5" in n for n in notices)
    assert "At the edge of its grid: hidden units 5" in section(tree, "q2-4")


def test_accuracies_say_which_epoch_and_rows_they_are_of(tree):
    words = section(tree, "q2-4")
    assert "% (the best epoch's, whose weights are kept and tested)." in words
    assert "Training: that of the last epoch, after the epoch, on at most 1,000" in words


def test_a_recipe_is_told_as_a_difference(tree):
    words = section(tree, "q6-3")
    assert "6.3 as a difference from 6.2" in words
    (table,) = [
        table
        for table in tree.iter("table")
        for caption in table.iter("caption")
        if "as a difference" in "".join(caption.itertext())
    ]
    lines = [["".join(c.itertext()) for c in row] for row in table.find("tbody")]
    assert lines == [
        ["optimizer", "adam", "muon"],
        ["widths", "[8, 16]", "[32, 48]"],
        ["batch_norm", "False", "True"],
        ["learning_rate", "0.001", "0.05"],
    ]


def test_the_given_architecture_stands_at_its_own_item(tmp_path):
    results = report_records.write(tmp_path)
    given = replace(results.experiments[-1], id="6.2", title="VGG11 as given")
    replace(results, experiments=(*results.experiments[:-1], given)).write(
        tmp_path / "results.json"
    )
    page = parse(report.build(tmp_path))
    assert "6.1 The architecture: the layers of 6.2" in section(page, "q6-architecture")
    assert "Its layers are in the table above" in section(page, "q6-2")


def test_a_folder_without_analyses_says_so(tmp_path):
    report_records.write(tmp_path)
    for file in tmp_path.rglob("analysis.json"):
        file.unlink()
    page = report.build(tmp_path)
    assert page.count("This folder has no record of what the model did on the test rows") == 4


def test_a_study_without_a_page_of_its_number_is_no_reason_to_fail(folder, page):
    assert "Gradient norms" in page


def test_numbers_of_an_axis_are_set_not_spelled(page):
    assert "mathdefault" not in page  # matplotlib's own word for 10^-4


# bad input --------------------------------------------------------------------------------------


def test_no_results_is_one_line(tmp_path):
    with pytest.raises(ReportError, match=r"holds no results.json; `handgrad reproduce --out"):
        report.build(tmp_path)


@pytest.mark.parametrize("name", ["history.jsonl", "analysis.json"])
def test_a_damaged_record_is_named(tmp_path, name):
    report_records.write(tmp_path)
    (tmp_path / "runs/2.4/seed-0" / name).write_text('{"seed": ')
    with pytest.raises(ResultsError, match=rf"seed-0/{name} is damaged"):
        report.build(tmp_path)


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_NEEDED", ("json", "not_installed_at_all"))
    with pytest.raises(ReportError, match=r"no report: not_installed_at_all not installed: `pip"):
        report.build(tmp_path)


def test_an_output_that_cannot_be_written_is_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "build", lambda *_: "<!doctype html>")
    with pytest.raises(ReportError, match=r"cannot write .*nowhere/x.html \(No such file"):
        report.write(folder, tmp_path / "nowhere/x.html")


def test_plots_of_one_candidate_and_one_epoch(folder):
    record = records.read(folder).value.experiments[1]
    one = replace(record, trials=record.trials[8:9])
    assert "svg" in plots.candidates("one", "3.3", one).svg


def test_a_run_without_the_libraries_says_so_and_goes_on(folder, monkeypatch):
    from handgrad.reproduce.folder import Folder
    from handgrad.reproduce.job import _report

    monkeypatch.setattr(report, "missing_libraries", lambda: "matplotlib not installed: ...")
    heard = []
    _report(Folder(folder), SimpleNamespace(notice=heard.append))
    assert heard == ["report.html was not written: matplotlib not installed: ..."]
    assert not (folder / "report.html").exists()


def test_the_command_ends_with_one_line_for_a_folder_without_results(tmp_path, monkeypatch, capsys):
    from handgrad.cli import main

    monkeypatch.setattr(sys, "argv", ["handgrad", "report", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("handgrad: error: ")
    assert "holds no results.json" in line


def test_a_run_that_learned_nothing_does_not_press_the_others_together():
    from handgrad.report.plots import _left_end

    near = [72.0, 78.0, 79.0, 80.0, 80.5, 81.0, 82.0]
    assert _left_end(near) == 72.0
    assert _left_end([9.7, *near]) == pytest.approx(71.0)
    assert _left_end([80.0]) == 80.0


def test_every_derivation_that_a_question_points_at_is_there():
    from handgrad.report.assignment import QUESTIONS

    slugs = {page.slug for page in theory.pages()}
    for question in QUESTIONS:
        assert set(question.theory) <= slugs, question.number

"""Hidden items appear in nothing that a student sees, in any format; what the platforms read."""

import csv
import json
import zipfile
from dataclasses import replace

import pytest
from check_reports import CASES, case, report
from check_runs import FAST, GOOD, called, ran, spoilt

from handgrad.check.classroom.audience import View
from handgrad.check.classroom.rubric import Item, Rubric, read_rubric
from handgrad.check.classroom.seeds import seed_of
from handgrad.check.formats.output import FORMATS, UNFINISHED, Saved, refusal, render
from handgrad.check.records import Observation

# Whatever a report may say of the hidden function: its name, its cases, what was seen and done.
SECRETS = ("dropout", "secret item", "hush", "sotto voce", "0.321")
KEPT = "conv_backward"


def secretive(visibility):
    """A report of which everything about dropout is hidden, in every place of it."""
    lacks = "the package hush, which is neither installed here nor a file of the submission"
    cases = [
        *CASES,
        case("dropout_forward", "sotto voce", "failed", "no-test-scaling", "0.321 is wrong."),
        replace(  # a remark
            case("dropout_forward", "sotto voce, float32", "failed", "dtype-not-kept", "0.321"),
            severity="beyond",
            counts=False,
        ),
        case("dropout_backward", "sotto voce again", "missing", "not-written", "not there: hush"),
        replace(
            case("dropout_backward", "sotto voce, too", "not judged"),
            seen=Observation(said=f"dropout_backward in layers.py needs {lacks}.", lacks=lacks),
        ),
    ]
    found = replace(
        report(cases),
        problems=(f"not judged: dropout_backward in layers.py needs {lacks}",),
        timings={"dropout_forward: sotto voce": 321.0, "fc_forward: values": 1.0},
        recognised={"dropout": "inverted", "names": "hush for dropout_forward"},
        notes=("dropout_forward is defined in cell 1 and in cell 2",),
    )
    items = (
        Item("convolution", "conv", (), 6.0, "visible", "share"),
        Item("secret item", "dropout", (), 4.0, visibility),
    )
    return found, Rubric("Assignment", items)


@pytest.mark.parametrize("visibility", ["hidden", "after_due_date", "after_published"])
@pytest.mark.parametrize("style", FORMATS)
def test_nothing_hidden_is_in_what_a_student_reads(style, visibility):
    found, rubric = secretive(visibility)
    text = render(style, found, rubric)
    if style == "gradescope":  # which hides the test itself, and shows the rest
        record = json.loads(text)
        (secret,) = [test for test in record["tests"] if test["name"] == "secret item"]
        assert (secret["visibility"], secret["max_score"]) == (visibility, 4)
        assert "sotto voce" in secret["output"]
        record["tests"].remove(secret)
        text = json.dumps(record)
        assert record["execution_time"] == 1
    assert KEPT in text
    assert [word for word in SECRETS if word in text] == []
    told = render(style, found, rubric, audience="instructor")  # where these words would be
    assert [word for word in SECRETS if word not in told] == (
        ["secret item"] if style in ("json", "junit") else []
    )


@pytest.mark.parametrize("style", sorted(set(FORMATS) - {"gradescope"}))
def test_it_is_as_if_the_hidden_cases_had_never_been_asked(style):
    found, rubric = secretive("hidden")
    alone = replace(
        report(CASES), recognised={}, timings={"fc_forward: values": 1.0}, problems=(), notes=()
    )
    assert render(style, found, rubric) == render(style, alone, rubric.visible())


@pytest.mark.parametrize("style", FORMATS)
def test_a_file_that_grows_hides_from_its_first_moment(style, tmp_path):
    found, rubric = secretive("hidden")
    out = tmp_path / "report"
    saved = Saved(out, style, replace(found, cases=(), problems=(), recognised={}), rubric)
    texts = [out.read_text()]
    for each in found.cases:
        saved.case(each)
        texts.append(out.read_text())
    for text in texts:
        if style == "gradescope":
            record = json.loads(text)
            record["tests"] = [t for t in record["tests"] if t["name"] != "secret item"]
            text = json.dumps(record)
        assert [word for word in SECRETS if word in text] == []


def test_a_rubric_that_hides_all_shows_nothing():
    found, _ = secretive("hidden")
    groups = dict.fromkeys(case.group for case in found.cases)
    everything = Rubric("", tuple(Item(group, group, (), 1.0, "hidden") for group in groups))
    for style in sorted(set(FORMATS) - {"gradescope"}):
        text = render(style, found, everything)
        assert not any(each.function in text for each in found.cases), style
    assert View(everything).of(found).cases == ()
    assert View(everything, "instructor").of(found) == found


@pytest.mark.parametrize("style", FORMATS)
def test_the_command_hides_and_its_exit_code_tells_nothing(style, tmp_path):
    (tmp_path / "layers.py").write_text(spoilt(("return dout * (cache > 0)", "return -dout")))
    (tmp_path / "r.toml").write_text(
        '[[item]]\ngroup = "fc"\npoints = 3\n'
        '[[item]]\nname = "hush"\ngroup = "relu"\npoints = 1\nvisibility = "hidden"\n'
    )
    run = ("layers.py", *FAST, "--rubric", "r.toml", "--format", style, "--no-timing")
    said = ran(tmp_path, *run)
    if style != "gradescope":
        assert "relu" not in said
        assert "hush" not in said
    assert "fc_backward" in said or style in ("gradescope", "prairielearn")
    assert "relu_backward" in ran(tmp_path, *run, "--for", "instructor", code=1)


# what a rubric counts -----------------------------------------------------------------------------

FRAGILE = ("db = dout.sum(axis=0)", "db = dout.sum(axis=0)\n    dout *= 2")  # when all is done


def test_what_a_rubric_counts_decides_words_exit_code_and_every_format(tmp_path):
    (tmp_path / "subs").mkdir()
    (tmp_path / "subs/ann.py").write_text(spoilt(FRAGILE))
    item = '[[item]]\ngroup = "fc"\npoints = 3\n'
    only = ("--only", "fc_backward", "--case", "modifies no argument")
    for counts, code in (("", 1), ('counts = ["wrong"]\n', 0), ('counts = ["fragile"]\n', 1)):
        (tmp_path / "r.toml").write_text(counts + item)
        run = ("subs/ann.py", *only, "--rubric", "r.toml", "--no-timing")
        told = {style: ran(tmp_path, *run, "--format", style, code=code) for style in FORMATS}
        assert ("1 mistake to fix" in told["text"], "1 remark." in told["text"]) == (code, not code)
        assert ("<failure" in told["junit"], "<skipped" in told["junit"]) == (code, not code)
        assert ("1 mistake to fix" in " ".join(told["html"].split())) == code
        assert [c["counts"] for c in json.loads(told["json"])["cases"]] == [bool(code)]
        assert [r["passed"] for r in json.loads(told["otter"])["fc"]["test_case_results"]] == [
            not code
        ]
        for style in ("gradescope", "prairielearn"):
            output = json.loads(told[style])["tests"][0]["output"]
            assert ("Remarks: good practice" in output) == (not code)
        batch = ("subs", *only, "--rubric", "r.toml", "--batch", "out")
        said = ran(tmp_path, *batch, code=code)
        assert f"1 submissions: {1 - code} pass everything" in said
        with (tmp_path / "out/results.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["failed"], row["remarks"]) == (str(code), str(1 - code))
        rows = (tmp_path / "out/misconceptions.csv").read_text()
        assert ("argument-modified" in rows) == code


# what the platforms read ------------------------------------------------------------------------


def test_prairielearn_is_told_what_its_documentation_asks_for():
    rubric = Rubric("", (
        Item("conv", "conv", (), 10.0, "visible", "share"),
        Item("Dense", "", ("fc_forward",), 2.5),
    ))  # fmt: skip
    record = json.loads(render("prairielearn", report(), rubric))
    assert list(record) == ["gradable", "score", "message", "output", "tests"]
    assert (record["gradable"], record["score"]) == (True, 0.36)  # (2 + 2.5) of 12.5
    assert [(t["name"], t["points"], t["max_points"]) for t in record["tests"]] == [
        ("conv", 2, 10),
        ("Dense", 2.5, 2.5),
    ]
    assert record["tests"][0]["message"] == "1 of 5 cases passed."
    assert "N times too large" in record["tests"][0]["output"]
    assert "Seed 7" in record["output"]
    # Nothing but these: an attempt that cannot be judged is not lost.
    for text in (
        refusal("prairielearn", "bob.py: no", rubric),
        render("prairielearn", report(), rubric, note=UNFINISHED),
    ):
        record = json.loads(text)
        assert list(record) == ["gradable", "format_errors"]
        assert record["gradable"] is False


def test_otter_is_told_what_its_own_results_hold():
    found, rubric = secretive("hidden")
    record = json.loads(render("otter", found, rubric, audience="instructor"))
    assert list(record) == ["convolution", "secret item"]
    conv = record["convolution"]
    assert list(conv) == [
        "score", "possible", "name", "path", "test_cases", "all_or_nothing", "test_case_results",
    ]  # fmt: skip
    assert (conv["score"], conv["possible"], conv["all_or_nothing"]) == (1.2, 6, False)
    assert sum(c["points"] for c in conv["test_cases"]) == pytest.approx(6)
    results = conv["test_case_results"]
    assert [r["test_case"] for r in results] == conv["test_cases"]
    assert list(results[0]["test_case"]) == [
        "name", "body", "hidden", "points", "success_message", "failure_message",
    ]  # fmt: skip
    assert [r["passed"] for r in results] == [True, False, False, False, False]
    assert results[0]["message"] is None
    assert "N times too large" in results[1]["message"]
    hidden = {c["hidden"] for c in record["secret item"]["test_cases"]}
    assert (hidden, {c["hidden"] for c in conv["test_cases"]}) == ({True}, {False})
    # Of two items with one name both are there; what is not whole earns nothing.
    twice = Rubric("", (rubric.items[0], replace(rubric.items[1], name="convolution")))
    assert len(json.loads(render("otter", found, twice, audience="instructor"))) == 2
    for text in (
        refusal("otter", "bob.py: no", rubric),
        render("otter", found, rubric, note=UNFINISHED),
    ):
        record = json.loads(text)
        assert [(name, r["score"], r["possible"]) for name, r in record.items()] == [
            ("convolution", 0, 6)
        ]
        assert [r["passed"] for r in record["convolution"]["test_case_results"]] == [False]


@pytest.mark.parametrize("style", ["gradescope", "prairielearn", "otter"])
def test_what_cannot_be_loaded_is_told_to_the_platform(style, tmp_path):
    (tmp_path / "layers.py").write_text("oh no")
    ran(tmp_path, "layers.py", "--format", style, "--output", "r.json", code=2)
    assert "SyntaxError" in (tmp_path / "r.json").read_text()


# seeds ------------------------------------------------------------------------------------------


def test_a_submission_has_a_seed_of_its_own(tmp_path):
    (tmp_path / "a.py").write_text(GOOD)
    (tmp_path / "c.py").write_text(GOOD.replace("np.maximum(x, 0)", "np.maximum(0, x)"))
    run = ("--only", "relu", "--format", "json", "--no-timing", "--seed-from", "submission")

    def seed(file, *more):
        record = json.loads(ran(tmp_path, file, *run, *more))
        assert record["seed"] == seed_of(record["sha256"], "".join(more[1:]))
        return record["seed"]

    assert len({seed("a.py"), seed("c.py"), seed("a.py", "--salt", "x")}) == 3
    said = ran(tmp_path, "a.py", *run, "--seed", "3", code=2)
    assert said == "--seed and --seed-from do not go together"
    # A failure is repeated with the seed that the report names.
    (tmp_path / "a.py").write_text(spoilt(("return dout * (cache > 0)", "return -dout")))
    record = json.loads(ran(tmp_path, "a.py", *run, code=1))
    failed = [c for c in record["cases"] if c["status"] == "failed"]
    assert all(c["repeat"].endswith(f"--seed {record['seed']}") for c in failed)


def test_the_autograder_holds_the_salt_and_its_words_do_not(tmp_path):
    called(tmp_path, "--autograder", "a.zip", "--seed-from", "submission", "--salt", "it's secret")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        script = archive.read("run_autograder").decode()
    assert "HANDGRAD_CHECK_SALT='it'\"'\"'s secret'" in script
    command = script[script.index("-m handgrad check") :]
    assert "--seed-from submission" in command
    assert "secret" not in command


def test_read_rubric_knows_what_is_hidden(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(
        'visibility = "after_published"\n[[item]]\ngroup = "fc"\npoints = 3\n'
        '[[item]]\ngroup = "relu"\npoints = 1\nvisibility = "visible"\n'
    )
    rubric = read_rubric(path)
    assert [item.name for item in rubric.hidden] == ["fc"]
    assert [item.name for item in rubric.visible().items] == ["relu"]
    assert (rubric.points, rubric.visible().points) == (4, 1)

"""The courses that ship: their references pass, their mistakes are named, other styles pass."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from check_corpus import verdicts
from check_runs import ran

from handgrad.check import check_submission, proof
from handgrad.check.case import Setting
from handgrad.check.cases import all_cases, groups_of
from handgrad.check.conventions import parse
from handgrad.check.courses import load, shipped
from handgrad.check.reference import reference
from handgrad.check.verdict.diagnosis import CAUSES
from handgrad.errors import CourseError, SubmissionError

STYLES = Path(__file__).parent / "check_corpus" / "other_courses"
OF_DATA = ["deeplearning-ai", "class-style"]  # courses of data alone


@pytest.fixture(scope="module", autouse=True)
def one_child() -> Iterator[None]:
    """All checks of this file share the child process that forks one for each case."""
    with verdicts.one_child():
        yield


def write_reference(folder: Path, course: str) -> Path:
    folder.mkdir()
    for unit, source in reference(parse("", course)).sources.items():
        (folder / f"{unit}.py").write_text(source)
    return folder


def failed(path: Path, course: str, **options: object) -> list[str]:
    report = check_submission(path, convention=parse("", course), timeout=60, **options)  # type: ignore[arg-type]
    assert report.course == course
    return [
        f"{case.function}: {case.name}: {case.status}: {case.detail}"
        for case in report.cases
        if case.status != "passed"
    ]


def test_four_courses_ship_and_are_listed(tmp_path: Path) -> None:
    assert shipped() == ["assignment", "class-style", "cs231n", "deeplearning-ai"]
    said = ran(tmp_path, "--courses")
    for name in shipped():
        assert f"\n{name}: {load(name).title}\n" in f"\n{said}"
    assert "--convention: inverted-dropout" in said


@pytest.mark.parametrize("course", OF_DATA)
def test_a_course_s_reference_passes_in_the_child_process(course: str, tmp_path: Path) -> None:
    assert failed(write_reference(tmp_path / "right", course), course) == []


@pytest.mark.parametrize("course", shipped()[1:])
@pytest.mark.parametrize("seed", range(2))
def test_a_course_s_reference_passes_whatever_the_numbers(course: str, seed: int) -> None:
    assert proof.of_reference(load(course), seed) == []


@pytest.mark.parametrize("course", shipped()[1:])
def test_a_course_s_planted_mistakes_are_named(course: str) -> None:
    found = list(proof.proved(load(course)))
    assert len(found) >= 20
    shown = verdicts.rows_of(verdicts.PAGE.read_text())
    for mistake, verdict in found:
        row = f"| {course}: {verdicts.mistake_row(mistake, verdict).removeprefix('| ')}"
        assert row in shown.values(), "run python tools/make_check_tables.py; see what changed"
    assert [m.name for m, verdict in found if not verdict.failed] == []
    unnamed = [f"{m.name}: {v.stated}" for m, v in found if not v.names(m)]
    misled = [f"{m.name}: {v.stated}" for m, v in found if v.misleads(m)]
    assert len(unnamed) <= len(found) // 20, unnamed
    assert misled == []


@pytest.mark.parametrize("file", sorted(STYLES.glob("*.py")), ids=lambda file: file.stem)
def test_a_right_solution_in_another_style_is_no_alarm(file: Path) -> None:
    (course,) = (c for c in OF_DATA if file.stem.replace("_", "-").startswith(c))
    assert failed(file, course) == []


def test_each_course_of_data_has_three_other_styles() -> None:
    for course in OF_DATA:
        stem = course.replace("-", "_")
        assert len(list(STYLES.glob(f"{stem}_*.py"))) >= 3


@pytest.mark.parametrize("course", shipped())
def test_names_and_causes_of_a_course_are_used_and_known(course: str) -> None:
    held = load(course)
    own = {cause for mistake in held.mistakes for cause in (*mistake.causes, *mistake.also)}
    assert own <= set(CAUSES) | set(held.causes)
    assert set(held.causes) <= own
    cases = all_cases(Setting(parse("", course), 0))
    assert {case.group for case in cases} == set(groups_of(held))
    names = [(case.function, case.name) for case in cases]
    assert len(names) == len(set(names))
    assert {case.function for case in cases} >= held.optional
    assert all(case.read for case in cases)


@pytest.mark.parametrize("course", shipped()[1:])
def test_each_case_has_a_severity_and_each_entry_a_case(course: str) -> None:
    held = load(course)
    cases = all_cases(Setting(parse("", course), 0))
    assert {held.severity_of(case).level for case in cases} == {"wrong", "fragile", "beyond"}
    for entry in held.severities.entries:
        assert any(map(entry.holds, cases)), entry


def test_each_function_of_a_topic_has_all_usual_cases() -> None:
    asked: dict[str, set[str]] = {}
    for case in all_cases(Setting(parse("", "deeplearning-ai"), 0)):
        asked.setdefault(case.function, set()).add(case.name)
    assert asked["linear_backward"] == {
        "gradient of A_prev", "gradient of W", "gradient of b", "float32 stays float32",
        "modifies no argument", "the same cache twice", "two calls in turn",
        "agrees with differences of its own forward",
    }  # fmt: skip
    assert asked["linear_forward"] == {
        "value", "float32 stays float32", "modifies no argument", "two calls in turn",
    }  # fmt: skip
    assert "large numbers" in asked["sigmoid"]


# -- CS231n -------------------------------------------------------------------------------------


def test_cs231n_asks_by_its_own_names() -> None:
    functions = {case.function for case in all_cases(Setting(parse("cs231n"), 0))}
    assert functions >= {
        "affine_forward", "affine_backward", "conv_forward_naive", "max_pool_backward_naive",
        "batchnorm_backward", "batchnorm_backward_alt", "layernorm_forward", "layernorm_backward",
        "spatial_groupnorm_forward", "spatial_groupnorm_backward", "svm_loss", "softmax_loss",
        "sgd", "sgd_momentum", "rmsprop", "adam",
    }  # fmt: skip
    assert not functions & {"fc_forward", "conv_forward", "logistic_loss", "Solver"}


def test_a_function_may_be_asked_for_by_any_of_its_names(tmp_path: Path) -> None:
    folder = write_reference(tmp_path / "right", "cs231n")
    for word in ("fc_backward", "affine_backward"):
        report = check_submission(folder, convention=parse("", "cs231n"), only=[word])
        assert {case.function for case in report.cases} == {"affine_backward"}
        assert report.passed
    with pytest.raises(SubmissionError, match="there is no group or function 'Solver'"):
        check_submission(folder, convention=parse("", "cs231n"), only=["Solver"])


def test_the_whole_of_cs231n_passes_and_keeps_its_own_order_of_axes(tmp_path: Path) -> None:
    """The reference in a child; and with gamma of shape (C,), which is not what the course has."""
    folder = write_reference(tmp_path / "right", "cs231n")
    groups = ["batchnorm_alt", "layernorm", "groupnorm", "fc", "losses"]
    assert failed(folder, "cs231n", only=groups) == []


def test_a_mistake_in_layernorm_is_named_in_the_report(tmp_path: Path) -> None:
    folder = write_reference(tmp_path / "wrong", "cs231n")
    text = (folder / "layers.py").read_text()
    wrong = text.replace("centre = x.mean(axis=1, keepdims=True)", "centre = x.mean(axis=0)")
    wrong = wrong.replace("variance = x.var(axis=1, keepdims=True)", "variance = x.var(axis=0)")
    (folder / "layers.py").write_text(wrong)
    said = ran(folder.parent, "wrong", "--course", "cs231n", "--only", "layernorm", code=1)
    assert "summed (or averaged) over the wrong axis" in said
    assert "--course cs231n" in " ".join(said.split())


# -- options ------------------------------------------------------------------------------------


def test_course_and_convention_go_together_or_say_why_not(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    file.write_text("def fc_forward(x, w, b):\n    raise NotImplementedError\n")
    said = ran(tmp_path, "layers.py", "--course", "nowhere", code=2)
    assert said.startswith("there is no course 'nowhere'; choose from assignment, class-style")
    said = ran(tmp_path, "layers.py", "--course", "cs231n", "--convention", "handgrad", code=2)
    assert said == "the convention handgrad is another course's than cs231n"
    said = ran(tmp_path, "layers.py", "--course", "class-style", "--convention", "drop", code=2)
    assert "there is no convention 'drop'" in said
    with pytest.raises(CourseError, match=r"holds no course\.toml"):
        load(str(tmp_path))


def test_a_method_that_is_not_written_is_missing_and_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "nn.py"
    file.write_text(
        "class ReLU:\n"
        "    def forward(self, x):\n        return x * (x > 0)\n\n"
        "class Linear:\n"
        "    def __init__(self, n_in, n_out):\n        pass\n"
        "    def forward(self, x):\n        pass\n"
    )
    report = check_submission(
        file, convention=parse("", "class-style"), only=["linear", "activations"]
    )
    status = {(case.function, case.status) for case in report.cases}
    assert ("ReLU.forward", "passed") in status
    assert {
        s for f, s in status if f in ("ReLU.backward", "Linear.forward", "Linear.backward")
    } == {"missing"}
    assert ("Sigmoid.forward", "missing") in status


def test_what_one_object_leaves_for_another_is_named(tmp_path: Path) -> None:
    text = reference(parse("", "class-style")).sources["nn"]
    (tmp_path / "nn.py").write_text(text.replace("self.cache", "type(self).cache"))
    report = check_submission(
        tmp_path / "nn.py", convention=parse("", "class-style"), only=["linear"]
    )
    found = {case.name: case.diagnosis for case in report.cases if case.status != "passed"}
    assert found == {"two calls in turn": "instances-share"}

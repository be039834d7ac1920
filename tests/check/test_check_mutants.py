"""The corpus as a whole: the tables, no false alarm on right submissions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from check_corpus import verdicts
from check_corpus.corpus import ALTERNATIVES, Alternative
from check_corpus.mutants import Mutant, write_ours, write_plain
from check_corpus.mutants_ours import OURS

from handgrad.check import check_submission
from handgrad.check.conventions import parse
from handgrad.check.courses import load, shipped
from handgrad.check.reference import reference
from handgrad.check.verdict.diagnosis import CAUSES

OTHERS = [*load().switches, "cs231n", "cs231n,flipped-convolution"]


@pytest.fixture(scope="module", autouse=True)
def one_child() -> Iterator[None]:
    """All checks of a file share the child process that forks one for each case."""
    with verdicts.one_child():
        yield


def test_the_page_holds_one_line_for_each_and_counts_them_right() -> None:
    text = verdicts.PAGE.read_text()
    assert text == verdicts.page(verdicts.rows_of(text))


def test_the_tables_say_what_the_proof_claims() -> None:
    """Each line is compared with what check says now, mistake by mistake, in the files beside."""
    rows = verdicts.rows_of(verdicts.PAGE.read_text())
    for known, count, named in ((load().mistakes, 350, 350), (OURS, 32, 23)):
        ends = [rows[mistake.name].rsplit("| ", 1)[1].removesuffix(" |") for mistake in known]
        assert "missed" not in ends
        assert "misled" not in ends
        assert len(ends) >= count
        assert ends.count("yes") >= named
    ends = [rows[other.name].rsplit("| ", 1)[1] for other in ALTERNATIVES]
    assert sum(end.startswith("all passed") for end in ends) >= 27
    assert sum(end.startswith(("all passed", "passed; remarks: ")) for end in ends) >= 42
    page = (verdicts.PAGE.parent / "check.md").read_text()
    of_courses = sum(key.startswith(tuple(f"{name}: " for name in shipped())) for key in rows)
    count = len(load().mistakes) + len(OURS) + of_courses
    assert f"lists {count} planted mistakes" in page


def test_causes_exist() -> None:
    known = [*load().mistakes, *OURS]
    for mistake in known:
        assert mistake.causes
        assert {*mistake.causes, *mistake.also} <= set(CAUSES), mistake.name
    names = [mistake.name for mistake in known] + [other.name for other in ALTERNATIVES]
    assert len(set(names)) == len(names)


def test_a_mistake_s_text_is_in_the_reference_of_its_convention() -> None:
    """Once: ``patched`` refuses a text that is there twice."""
    for mistake in load().mistakes:
        sources = reference(parse(mistake.convention)).sources
        assert len(list(mistake.planted(sources))) == len(mistake.each), mistake.name
        assert mistake.touches(sources), mistake.name


@pytest.mark.parametrize("convention", ["handgrad", *OTHERS])
def test_in_every_convention_s_reference_a_mistake_can_be_planted_or_is_not_there(
    convention: str,
) -> None:
    held = reference(parse(convention))
    planted = [m for m in held.convention.course.mistakes if list(m.planted(held.sources))]
    assert len(planted) > 250


@pytest.mark.parametrize("mutant", OURS, ids=lambda mutant: mutant.name)
def test_a_mistake_in_our_own_files_is_found(mutant: Mutant, tmp_path: Path) -> None:
    """Through the child process, as a student's file is."""
    verdict = verdicts.of_mutant(mutant, tmp_path / "submission")
    assert verdict.failed, f"{mutant.name} passes: {mutant.what}"
    shown = verdicts.rows_of(verdicts.PAGE.read_text()).get(mutant.name)
    assert verdicts.mistake_row(mutant, verdict) == shown


def test_the_plain_submission_passes_everything(tmp_path: Path) -> None:
    write_plain(tmp_path / "submission")
    report = check_submission(tmp_path / "submission", timeout=60)
    assert [case for case in report.cases if case.status != "passed"] == []
    assert {case.group for case in report.cases} >= {"conv", "models", "solver", "time"}


@pytest.mark.parametrize("convention", OTHERS)
def test_the_plain_submission_of_another_course_passes_everything(
    convention: str, tmp_path: Path
) -> None:
    """Its models are built on its own layers: a ConvNet on filters that are flipped."""
    write_plain(tmp_path / "submission", convention)
    report = check_submission(tmp_path / "submission", convention=convention, timeout=60)
    assert [case for case in report.cases if case.status != "passed"] == []


def test_our_own_files_pass_everything(tmp_path: Path) -> None:
    write_ours(tmp_path / "submission")
    groups = ["fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses", "optim"]
    report = check_submission(tmp_path / "submission", only=groups, timeout=60)
    assert [case for case in report.cases if case.status != "passed"] == []


@pytest.mark.parametrize("alternative", ALTERNATIVES, ids=lambda other: other.name)
def test_a_right_submission_in_another_style_passes(
    alternative: Alternative, tmp_path: Path
) -> None:
    verdict = verdicts.of_alternative(alternative, tmp_path / "submission")
    assert verdict.mistakes == []
    shown = verdicts.rows_of(verdicts.PAGE.read_text()).get(alternative.name)
    assert verdicts.alternative_row(alternative, verdict) == shown

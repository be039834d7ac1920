"""The corpus as a whole: the tables, no false alarm on right submissions."""

from pathlib import Path

import pytest
from check_corpus import verdicts
from check_corpus.asserted import one_child  # noqa: F401 (a fixture for the whole file)
from check_corpus.corpus import ALTERNATIVES, MUTANTS, Alternative
from check_corpus.mutants import write_baseline, write_ours

from handgrad.check import check_submission
from handgrad.check.verdict.diagnosis import CAUSES


def test_the_page_holds_one_line_for_each_and_counts_them_right() -> None:
    text = verdicts.PAGE.read_text()
    assert text == verdicts.page(verdicts.rows_of(text))


def test_the_tables_say_what_the_proof_claims() -> None:
    """Each line is compared with what check says now, mutant by mutant, in the files beside."""
    rows = verdicts.rows_of(verdicts.PAGE.read_text())
    ends = [rows[mutant.name].rsplit("| ", 1)[1].removesuffix(" |") for mutant in MUTANTS]
    assert "missed" not in ends
    assert ends.count("yes") >= 200
    assert "misled" not in ends
    assert len(MUTANTS) >= 200
    assert len(ALTERNATIVES) >= 25


def test_expected_causes_exist() -> None:
    for mutant in MUTANTS:
        assert mutant.expected <= set(CAUSES), mutant.name
        assert mutant.also <= set(CAUSES), mutant.name
    names = [mutant.name for mutant in MUTANTS] + [other.name for other in ALTERNATIVES]
    assert len(set(names)) == len(names)


def test_the_plain_submission_passes_everything(tmp_path: Path) -> None:
    write_baseline(tmp_path / "submission")
    report = check_submission(tmp_path / "submission", timeout=60)
    assert [case for case in report.cases if case.status != "passed"] == []
    assert {case.group for case in report.cases} >= {"conv", "models", "solver", "time"}


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
    assert verdict.failed == ()
    shown = verdicts.rows_of(verdicts.PAGE.read_text()).get(alternative.name)
    assert verdicts.alternative_row(alternative, verdict) == shown

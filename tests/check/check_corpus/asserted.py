"""What the tests of the mutants assert of each one; the tests are split into files for speed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from check_corpus import verdicts
from check_corpus.corpus import MUTANTS
from check_corpus.mutants import Mutant


def mutants(*groups: str) -> pytest.MarkDecorator:
    """Parametrise a test by the mutants of these groups."""
    chosen = [mutant for mutant in MUTANTS if mutant.group in groups]
    return pytest.mark.parametrize("mutant", chosen, ids=lambda mutant: mutant.name)


@pytest.fixture(scope="module", autouse=True)
def one_child() -> Iterator[None]:
    """All checks of a file share the child process that forks one for each case."""
    with verdicts.one_child():
        yield


def assert_rejected_as_tabled(mutant: Mutant, tmp_path: Path) -> None:
    """The mistake is found, and what is said of it is what docs/check_tables.md shows."""
    verdict = verdicts.of_mutant(mutant, tmp_path / "submission")
    assert verdict.failed, f"{mutant.name} passes: {mutant.mistake}"
    row = verdicts.mutant_row(mutant, verdict)
    shown = verdicts.rows_of(verdicts.PAGE.read_text()).get(mutant.name)
    assert row == shown, "run python tools/make_check_tables.py, and look at what changed"

"""What the tests of the known mistakes assert of each one; they are split into files for speed."""

import pytest

from check_corpus import verdicts
from handgrad.check import proof
from handgrad.check.courses import load
from handgrad.check.mistakes import Mistake


def mistakes(*groups: str) -> pytest.MarkDecorator:
    """Parametrise a test by the table's mistakes in these groups."""
    chosen = [mistake for mistake in load().mistakes if mistake.group in groups]
    return pytest.mark.parametrize("mistake", chosen, ids=lambda mistake: mistake.name)


def assert_rejected_as_tabled(mistake: Mistake) -> None:
    """The mistake is found and named, in each way to make it, as docs/check_tables.md shows."""
    found = proof.of_mistake(mistake)
    assert len(found) == len(mistake.each), "the text to patch is not in its convention's reference"
    for verdict, value in zip(found, mistake.each, strict=True):
        assert verdict.failed, f"{mistake.name} passes: {mistake.what} {value}"
        assert verdict.names(mistake), f"{mistake.name} {value}: {verdict.stated}"
    row = verdicts.mistake_row(mistake, found[0])
    shown = verdicts.rows_of(verdicts.PAGE.read_text()).get(mistake.name)
    assert row == shown, "run python tools/make_check_tables.py, and look at what changed"

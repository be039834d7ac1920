"""Every known mistake in update rules, models and the Solver is found."""

from check_corpus.asserted import assert_rejected_as_tabled, mistakes

from handgrad.check.mistakes import Mistake


@mistakes("optim", "models", "solver")
def test_a_mistake_is_found(mistake: Mistake) -> None:
    assert_rejected_as_tabled(mistake)

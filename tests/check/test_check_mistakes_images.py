"""Every known mistake in convolution, pooling and the losses is found."""

from check_corpus.asserted import assert_rejected_as_tabled, mistakes

from handgrad.check.mistakes import Mistake


@mistakes("conv", "pool", "losses")
def test_a_mistake_is_found(mistake: Mistake) -> None:
    assert_rejected_as_tabled(mistake)

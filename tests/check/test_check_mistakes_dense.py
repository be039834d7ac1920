"""Every known mistake in dense layers, ReLU, dropout and batch norm is found."""

from check_corpus.asserted import assert_rejected_as_tabled, mistakes

from handgrad.check.mistakes import Mistake


@mistakes("fc", "relu", "dropout", "batchnorm")
def test_a_mistake_is_found(mistake: Mistake) -> None:
    assert_rejected_as_tabled(mistake)

"""Every planted mistake in convolution, pooling and the losses is found."""

from pathlib import Path

from check_corpus.asserted import assert_rejected_as_tabled, mutants, one_child  # noqa: F401
from check_corpus.mutants import Mutant


@mutants("conv", "pool", "losses")
def test_a_mistake_is_found(mutant: Mutant, tmp_path: Path) -> None:
    assert_rejected_as_tabled(mutant, tmp_path)

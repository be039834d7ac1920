"""Every planted mistake in dense layers, ReLU, dropout and batch norm is found."""

from pathlib import Path

from check_corpus.asserted import assert_rejected_as_tabled, mutants, one_child  # noqa: F401
from check_corpus.mutants import Mutant


@mutants("fc", "relu", "dropout", "batchnorm")
def test_a_mistake_is_found(mutant: Mutant, tmp_path: Path) -> None:
    assert_rejected_as_tabled(mutant, tmp_path)

"""How many threads NumPy's BLAS takes: held to what threadpoolctl finds."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from handgrad import blas


def numpys():
    """What threadpoolctl says of the BLAS that NumPy loaded."""
    np.dot(np.ones((2, 2)), np.ones((2, 2)))
    found = [entry for entry in threadpool_info() if entry["user_api"] == "blas"]
    mine = [entry for entry in found if "numpy" in entry["filepath"]] or found
    return mine[0] if mine else None


pytestmark = pytest.mark.skipif(numpys() is None, reason="a BLAS that threadpoolctl does not know")


def test_both_tell_the_same_number():
    assert blas.threads() == numpys()["num_threads"]
    for count in (1, 2, 3):
        with threadpool_limits(count, user_api="blas"):
            assert blas.threads() == count


def test_a_limit_holds_in_its_block_and_ends_with_it():
    before = blas.threads()
    for count in (1, before + 1):
        with blas.limited_to(count):
            assert numpys()["num_threads"] == blas.threads() == count
    with pytest.raises(KeyError), blas.limited_to(before + 1):
        raise KeyError
    assert numpys()["num_threads"] == blas.threads() == before


def test_the_description_has_name_version_and_processor():
    theirs = numpys()
    if theirs["internal_api"] != "openblas":
        pytest.skip("not OpenBLAS")
    assert blas.description() == f"openblas {theirs['version']} ({theirs['architecture']})"


def test_a_blas_that_cannot_be_told_is_left_alone(monkeypatch):
    monkeypatch.setattr(blas, "_FUNCTIONS", ())
    blas._library.cache_clear()
    try:
        assert blas.threads() == 1
        with blas.limited_to(3):
            assert blas.threads() == 1
        assert blas.description() == ""
    finally:
        blas._library.cache_clear()

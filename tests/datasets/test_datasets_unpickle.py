"""The restricted unpickler reads plain arrays and refuses, by name, to do anything else."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_fakes import python2_pickle
from hypothesis import given, strategies as st

from handgrad.datasets import unpickle
from handgrad.errors import DataError

X = np.array([[1.5, -2.0, 0.25], [3.0, 4.0, 5.0]])
Y = np.array([1, 0])


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [3, 4])
def test_reads_arrays_that_python_3_wrote(protocol: int) -> None:
    got_X, got_y = unpickle.loads(pickle.dumps((X, Y), protocol=protocol))
    np.testing.assert_array_equal(got_X, X)
    np.testing.assert_array_equal(got_y, Y)


@pytest.mark.parametrize(
    ("protocol", "name"), [(0, r"_codecs\.encode"), (2, r"_codecs\.encode"), (5, r"_frombuffer")]
)
def test_only_the_three_names_are_allowed_even_for_arrays(protocol: int, name: str) -> None:
    with pytest.raises(DataError, match=f"asks for .*{name}, which is refused"):
        unpickle.loads(pickle.dumps((X, Y), protocol=protocol))


def test_reads_what_python_2_wrote() -> None:
    got_X, got_y = unpickle.loads(python2_pickle(X, Y))
    np.testing.assert_array_equal(got_X, X)
    assert got_X.dtype == np.float64
    np.testing.assert_array_equal(got_y, Y)
    assert got_y.dtype == np.int64


def test_keeps_fortran_order_big_endian_and_containers() -> None:
    value = {"a": [1, 2.5, None, True], "F": np.asfortranarray(X), "big": X.astype(">f8")}
    got = unpickle.loads(pickle.dumps(value, protocol=4))
    assert got["a"] == [1, 2.5, None, True]
    np.testing.assert_array_equal(got["F"], X)
    np.testing.assert_array_equal(got["big"], X)


def test_a_command_is_refused_by_name_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    raw = pickle.dumps(Call(os.system, f"touch {marker}"))
    with pytest.raises(DataError, match=r"it asks for posix\.system, which is refused"):
        unpickle.loads(raw)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("numpy", "load"),
        ("numpy", "ndarray.__reduce__"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "frombuffer"),
        ("subprocess", "Popen"),
        ("handgrad.datasets.unpickle", "_Array"),
    ],
)
def test_every_other_name_is_refused(module: str, name: str) -> None:
    with pytest.raises(DataError, match=f"asks for {module}.{name}, which is refused"):
        unpickle.loads(f"c{module}\n{name}\n.".encode())


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (pickle.dumps(np.array([None], dtype=object)), "array of type 'O8', not of plain numbers"),
        (b"cnumpy\nndarray\n.", "it holds a Ndarray"),
        (b"cnumpy\nndarray\n((I9999999\ntlR.", "not a whole pickle"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.", "other than a"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.", "without con"),
        (b"Pname\n.", "objects outside itself"),
        (b"", "not a whole pickle"),
        (b"hello", "not a whole pickle"),
    ],
)
def test_odd_pickles_get_one_clear_line(raw: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        unpickle.loads(raw)


def test_a_shape_that_the_bytes_do_not_fill_is_refused_before_allocating() -> None:
    raw = python2_pickle(X, Y).replace(b"I2\nI3\n", b"I2000000\nI3000000\n")
    with pytest.raises(DataError, match=r"bytes do not fill its shape \(2000000, 3000000\)"):
        unpickle.loads(raw)


def test_a_small_pickle_cannot_unfold_without_end() -> None:
    level: Any = [0] * 300
    for _ in range(3):
        level = [level] * 300  # 300^4 items from a few kilobytes
    with pytest.raises(DataError, match="larger or nested deeper"):
        unpickle.loads(pickle.dumps(level))


def test_a_list_inside_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(DataError, match="nested deeper"):
        unpickle.loads(pickle.dumps(loop))


@pytest.mark.parametrize("name", ["ndarray", "dtype"])
def test_a_pickle_cannot_change_the_reader(name: str) -> None:
    # BUILD with a (None, {attribute: value}) state sets attributes on whatever it was given.
    raw = b"cnumpy\n" + name.encode() + b"\n(N(S'__call__'\nI1\ndtb."
    with pytest.raises(DataError):
        unpickle.loads(raw)
    np.testing.assert_array_equal(unpickle.loads(python2_pickle(X, Y))[0], X)


def test_more_bytes_than_any_data_file_are_refused() -> None:
    with pytest.raises(DataError, match="larger than 67,108,864 bytes"):
        unpickle.loads(bytes((1 << 26) + 1))


def test_a_truncated_pickle_is_a_data_error_at_every_length() -> None:
    raw = python2_pickle(X, Y)
    for length in range(len(raw)):
        with pytest.raises(DataError):
            unpickle.loads(raw[:length])


GOOD = pickle.dumps((X, [1, 2]), protocol=4)


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4))
def test_damage_anywhere_gives_a_value_or_a_data_error(position: int, junk: bytes) -> None:
    damaged = GOOD[:position] + junk + GOOD[position + len(junk) :]
    with contextlib.suppress(DataError):
        unpickle.loads(damaged)


def test_a_memo_bomb_is_a_data_error() -> None:
    raw = b"\x80\x02K\x00r" + struct.pack("<I", 0xFFFFFFFF) + b"."
    with pytest.raises(DataError):
        unpickle.loads(raw)

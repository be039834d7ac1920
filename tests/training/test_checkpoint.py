"""Checkpoint files keep arrays and headers exactly, or say in one line what they cannot keep."""

import numpy as np
import pytest

from handgrad import checkpoint
from handgrad.errors import CheckpointError

DTYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
]


def written(path, arrays, header=None):
    checkpoint.write(path / "file", arrays, header or {})
    return checkpoint.read(path / "file")


def assert_same(read, array):
    """Values, shape and dtype, of whatever byte order the array was."""
    assert read.shape == array.shape
    assert read.dtype == array.dtype.newbyteorder("=")
    assert read.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_arrays_come_back_as_they_were(tmp_path):
    whole = np.arange(24.0).reshape(2, 3, 4)
    arrays = {
        "rows": whole[0],
        "turned": whole[0].T,
        "axes moved": whole.transpose(1, 2, 0),
        "Fortran": np.asfortranarray(whole),
        "every other": np.arange(10, dtype=np.float32)[::2],
        "backwards": whole[:, ::-1],
        "broadcast": np.broadcast_to(np.arange(3.0), (2, 3)),
        "whole": np.array([[2**62, -1]]),
        "edge": np.array([np.nan, np.inf, -0.0, 5e-324]),
        "none": np.zeros((0, 3)),
        "none of none": np.zeros((0,), np.float16),
        "no axis": np.array(2.5),
        "no axis, a view": whole[1, 2, 3:].reshape(()),
        "one": np.ones((1, 1, 1)),
    }
    read, _ = written(tmp_path, arrays)
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        assert_same(read[name], array)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (0, 2)])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_byte_order(tmp_path, dtype, order, shape):
    array = np.array([0, 1, 2, 3])[: int(np.prod(shape))].reshape(shape)
    array = array.astype(np.dtype(dtype).newbyteorder(order))
    assert_same(written(tmp_path, {"a": array})[0]["a"], array)


def test_a_number_of_numpys_comes_back_as_an_array_without_an_axis(tmp_path):
    read, _ = written(tmp_path, {"b": np.float32(0.1)})
    assert read["b"].shape == ()
    assert read["b"] == np.float32(0.1)


@pytest.mark.parametrize(
    "array",
    [
        np.array([1 + 2j]),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array([None]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.zeros(2, [("a", "f4")]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_other_dtypes_are_refused_and_nothing_is_written(tmp_path, array):
    with pytest.raises(CheckpointError, match=r"^a checkpoint holds arrays of bool, .*") as raised:
        checkpoint.write(tmp_path / "file", {"good": np.ones(2), "params/W1": array}, {})
    assert str(raised.value).endswith(f"; got params/W1 of {array.dtype}")
    assert not list(tmp_path.iterdir())


def test_headers_come_back_as_they_were(tmp_path):
    header = {
        "a": 1,
        "σ": [0.1, None, True, "text"],
        "big": 2**127,
        "pair": (0.9, (0.999, [1, ()])),
        "nested": {"x": {"y": (1,)}, "none": {}},
        "infinite": -np.inf,
        "single": np.float32(0.1),
        "double": np.float64(0.1),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "key": np.arange(4, dtype=np.uint32),
        "point": np.array(1.5),
    }
    _, read = written(tmp_path, {}, header)
    assert list(read) == list(header)

    def types(value):
        if isinstance(value, dict):
            return {key: types(item) for key, item in value.items()}
        inner = [types(item) for item in value] if isinstance(value, list | tuple) else None
        return type(value), inner

    assert types(read) == types(header)
    for name in ("key", "point"):
        assert_same(read.pop(name), header.pop(name))
    assert read == header


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (len, "builtin_function_or_method"),
        (1j, "complex"),
        (np.array([1j]), "ndarray"),
        (np.complex64(1), "complex64"),
        ({1: 2}, "dict"),
        ({1, 2}, "set"),
        (b"bytes", "bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_a_header_cannot_keep_is_named(tmp_path, value, name):
    with pytest.raises(CheckpointError, match=rf"; got optim/W1 of type {name}$"):
        checkpoint.write(tmp_path / "file", {}, {"optim": {"W1": [0, (value,)]}})
    assert not list(tmp_path.iterdir())

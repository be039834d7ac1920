"""The engine's C: each fast product against the plain loop above it, at every processor level."""

import ctypes
from ctypes import POINTER, byref, c_double, c_int32, c_int64, c_uint64, c_void_p

import numpy as np
import pytest
from engines import CASES, close, each_level, needs_the_engine
from hypothesis import given, strategies as st

from handgrad.engine import library
from handgrad.engine.program import Program
from handgrad.network import Conv, Dense, Flatten, Network, ReLU

pytestmark = needs_the_engine
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


class Product(ctypes.Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("a", "b", "rows", "taps")),
        *((name, c_int32) for name in ("P", "T", "vectors", "ldb", "ldc")),
        ("start", c_void_p), ("add", c_int32), ("c", c_void_p),
    ]  # fmt: skip


class Sparse(ctypes.Structure):
    _fields_ = [
        ("a", c_void_p), ("b", c_void_p), ("words", POINTER(c_uint64)),
        ("down", c_int64), ("across", c_int64),
        *((name, c_int32) for name in ("rows", "vectors", "ldb", "ldc")), ("c", c_void_p),
    ]  # fmt: skip


class Turn(ctypes.Structure):
    _fields_ = [
        ("layer", POINTER(library.Layer)),
        *((name, c_void_p) for name in ("x", "d", "dx", "source", "draws")),
        *((name, c_int32) for name in ("n", "threads", "training")),
        *((name, c_double) for name in ("reg", "rate", "squares")),
    ]  # fmt: skip


@each_level
@each_dtype
@CASES
@given(st.data())
def test_a_convolutions_product(level, dtype, data):
    found = library.load(np.dtype(dtype), level)
    P, T = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 60))
    V, add = data.draw(st.integers(1, 9)), data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    wide = V * found.hg_lanes()
    a, b = rng.standard_normal(500).astype(dtype), rng.standard_normal((T, wide + 3)).astype(dtype)
    rows, taps = (rng.integers(0, 250, n).astype(np.int32) for n in (P, T))
    start = rng.standard_normal(wide).astype(dtype)
    c = rng.standard_normal((2, P, wide + 5)).astype(dtype)
    c[1] = c[0]
    for out, function in zip(c, (found.product, found.product_plainly), strict=True):
        function(byref(Product(
            *(array.ctypes.data for array in (a, b, rows, taps)), P, T, V, wide + 3, wide + 5,
            start.ctypes.data if data.draw(st.booleans()) or not add else None, add,
            out.ctypes.data,
        )))  # fmt: skip
    close(c[0], c[1], dtype)


@each_level
@each_dtype
@CASES
@given(st.data())
def test_a_product_among_zeros(level, dtype, data):
    found = library.load(np.dtype(dtype), level)
    rows, V = data.draw(st.integers(1, 64)), data.draw(st.integers(1, 18))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    wide, share = V * found.hg_lanes(), data.draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))
    a = rng.standard_normal((64, 64)).astype(dtype)
    b = rng.standard_normal((64, wide)).astype(dtype)
    bits = rng.random((rows, 64)) < share
    words = np.packbits(bits, axis=1, bitorder="little").view(np.uint64)
    down, across = (64, 1) if data.draw(st.booleans()) else (1, 64)
    c = np.repeat(rng.standard_normal((1, rows, wide + 5)).astype(dtype), 2, axis=0)
    for out, function in zip(c, (found.sparse_product, found.sparse_product_plainly), strict=True):
        function(byref(Sparse(
            a.ctypes.data, b.ctypes.data, words.ctypes.data_as(POINTER(c_uint64)), down, across,
            rows, V, wide, wide + 5, out.ctypes.data,
        )))  # fmt: skip
    close(c[0], c[1], dtype)


@each_level
@each_dtype
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 2])
def test_whole_layers_are_their_plain_loops(level, dtype, stride, padding):
    rng = np.random.default_rng(0)
    conv = Network([Conv(5, 3, stride, padding, bias=True), Flatten()], (2, 9, 8), dtype=dtype,
                   rng=rng)  # fmt: skip
    dense = Network([Dense(70), ReLU()], (99,), dtype=dtype, rng=rng)
    for network, plainly in ((conv, "conv_plainly"), (dense, "dense_plainly")):
        for name in network.params:
            network.params[name] = rng.standard_normal(network.params[name].shape).astype(dtype)
        X = rng.standard_normal((6, *network.input_shape)).astype(dtype)
        program = Program(network, level)
        program.scores(X)
        layer = program._layers[0]
        shape = (6, layer.out.h, layer.out.w, layer.out.stride)
        fast = np.empty(shape, dtype)
        ctypes.memmove(fast.ctypes.data, layer.output, fast.nbytes)
        x = np.ascontiguousarray(X.transpose(0, 2, 3, 1)) if X.ndim == 4 else X
        plain = np.zeros(shape, dtype)
        layer.output, kept = plain.ctypes.data, layer.output
        turn = Turn(layer=ctypes.pointer(layer), x=x.ctypes.data, n=6)
        getattr(library.load(np.dtype(dtype), level), plainly)(byref(turn))
        layer.output = kept
        close(fast[..., : layer.out.c], plain[..., : layer.out.c], dtype, 3)

"""Matrix products that pass over zeros, in compiled code.

Behind a ReLU a third of all numbers or more is zero, and so is what is multiplied by them:

    c[r, :] = sum over the k with a[r, k] != 0 of a[r, k] * b[k, :].

Two rows of a are multiplied at a time, their sums in registers: bits say for which k one of the two
is not zero. b is packed in panels of a few columns, which stay in the cache nearest to the
processor. Without a single zero this is as fast as BLAS; each row pair's zeros make it faster.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from handgrad.kernels.blas import compiled
from handgrad.kernels.processor import LONG_VECTORS
from handgrad.kernels.vectors import Writer

_LANES = 16  # numbers of float32 in a register, and in a line of the cache
_VECTORS = 4
_PANEL = _VECTORS * _LANES
_BITS = 64
# Rows of a panel: it takes three quarters of the cache nearest to the processor, of 32 KiB.
_DEEP = 112
_FUSED = ("contract",)


def _strip(vectors: int) -> Any:
    """Make the code of into[i0 + k*_PANEL + f] = b[b0 + k*ldb + f], k < K, f < vectors * _LANES.

    It gives whether all of them are finite.
    """

    def typed(context: Any, b: Any, b0: Any, ldb: Any, K: Any, into: Any, i0: Any) -> Any:
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, _LANES)
            real = target.get_value_type(b.dtype)
            zero = say.filled(real(0.0))

            def line(k: Any, *sums: Any) -> list[Any]:
                read = builder.add(say.number(1), builder.mul(k, say.number(2)))
                put = builder.add(say.number(5), builder.mul(k, say.word(_PANEL)))
                after = []
                for j, total in enumerate(sums):
                    value = say.load(0, builder.add(read, say.word(j * _LANES)))
                    say.store(value, 4, builder.add(put, say.word(j * _LANES)))
                    nothing = builder.fmul(value, zero, flags=_FUSED)  # or NaN
                    after.append(builder.fadd(total, nothing, flags=_FUSED))
                return after

            sums = say.times(say.number(3), line, *[zero] * vectors)
            bad = builder.fcmp_unordered("uno", sums[0], sums[0])
            for total in sums[1:]:
                bad = builder.or_(bad, builder.fcmp_unordered("uno", total, total))
            bits = builder.bitcast(bad, ir.IntType(_LANES))
            none = builder.icmp_unsigned("==", bits, bits.type(0))
            return target.cast(builder, none, types.boolean, types.boolean)

        return types.boolean(b, b0, ldb, K, into, i0), write

    return intrinsic(typed)


@intrinsic
def _not_zero(context: Any, a: Any, one: Any, two: Any) -> Any:
    """A bit for each of _LANES numbers: whether a[one + i] or a[two + i] is not zero."""

    def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        say = Writer(target, builder, signature, arguments, _LANES)
        zero = say.filled(target.get_value_type(a.dtype)(0.0))
        some = [builder.fcmp_unordered("!=", say.load(0, say.number(i)), zero) for i in (1, 2)]
        bits = builder.bitcast(builder.or_(*some), ir.IntType(_LANES))
        return builder.zext(bits, say.word)

    return types.int64(a, one, two), write


def _two_rows(vectors: int) -> Any:
    """Make the code of: c[row] = sum over bits k of a[row + k] * panels[p0 + k*_PANEL + f].

    For two rows, a's from ``one`` and ``two`` on, c's from ``c1`` and ``c2`` on, and
    f < vectors * _LANES. The bits are those of words[w0 : w0 + count]. With ``more`` the sums are
    added to what c holds.
    """

    def typed(
        context: Any, words: Any, w0: Any, count: Any, a: Any, one: Any, two: Any, panels: Any,
        p0: Any, c: Any, c1: Any, c2: Any, more: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, _LANES)
            zero = say.filled(target.get_value_type(a.dtype)(0.0))
            rows = [builder.gep(say.data(3), [say.number(i)]) for i in (4, 5)]
            goals = [
                builder.add(say.number(i), say.word(j * _LANES))
                for i in (9, 10)
                for j in range(vectors)
            ]
            adds = builder.icmp_signed("!=", say.number(11), say.word(0))
            before = [builder.select(adds, say.load(8, goal), zero) for goal in goals]
            marks = builder.gep(say.data(0), [say.number(1)])

            def pay(k: Any, *sums: Any) -> list[Any]:
                line = builder.add(say.number(7), builder.mul(k, say.word(_PANEL)))
                lines = [
                    say.load(6, builder.add(line, say.word(j * _LANES))) for j in range(vectors)
                ]
                after = []
                for row, totals in zip(rows, (sums[:vectors], sums[vectors:]), strict=True):
                    factor = say.filled(builder.load(builder.gep(row, [k])))
                    for total, numbers in zip(totals, lines, strict=True):
                        paid = builder.fmul(numbers, factor, flags=_FUSED)
                        after.append(builder.fadd(total, paid, flags=_FUSED))
                return after

            def word(g: Any, *sums: Any) -> list[Any]:
                first = builder.mul(g, say.word(_BITS))
                bits = builder.load(builder.gep(marks, [g]))
                return say.each_bit(bits, lambda i, *s: pay(builder.add(first, i), *s), *sums)

            for total, goal in zip(say.times(say.number(2), word, *before), goals, strict=True):
                say.store(total, 8, goal)
            return target.get_dummy_value()

        kinds = (words, w0, count, a, one, two, panels, p0, c, c1, c2, more)
        return types.void(*kinds), write

    return intrinsic(typed)


_strip4, _strip1 = _strip(4), _strip(1)
_rows4, _rows3, _rows2, _rows1 = (_two_rows(vectors) for vectors in (4, 3, 2, 1))


# Columns below which BLAS's tiles are the better ones, and the share of numbers that are not zero
# (and of columns that are none) above which zeros save less than looking for them takes.
_FEW_COLUMNS, _DENSE = 32, 0.92


@compiled
def worth(x: Any, start: int, stop: int, M: int, down: int, across: int) -> bool:
    """Whether to multiply x[:, start:stop] here, a pair of rows being (0, 0) and (down, across).

    A sample of x (N, D) tells how many of its numbers are zero, where their partners are, too.
    """
    if not (LONG_VECTORS and x.itemsize == 4 and M >= _FEW_COLUMNS):
        return False
    seen, found = 0, 0
    for n in range(0, len(x) - down, 7):
        for d in range(start, stop - across, 13):
            seen += 1
            found += x[n, d] != 0 or x[n + down, d + across] != 0
    return found * padded(M) < _DENSE * seen * M


@compiled
def padded(M: int) -> int:
    """Columns of c that ``multiply`` writes for M of b: whole registers."""
    return -(-M // _LANES) * _LANES


@compiled
def width(M: int) -> int:
    """Columns of all panels together."""
    return -(-M // _PANEL) * _PANEL


@compiled
def room(K: int, M: int, kind: Any) -> Any:
    """Room for panels of b (K, M), from a line's beginning on."""
    size = K * width(M)
    whole = np.empty(size + _LANES, kind.dtype)
    at = -(whole.ctypes.data // kind.itemsize) % _LANES
    return whole[at : at + size]


@compiled
def depth(K: int) -> int:
    """How many rows of b to pack at a time."""
    pieces = max(1, -(-K // _DEEP))
    return -(-K // (pieces * _LANES)) * _LANES


@compiled
def pack(b: Any, b0: int, ldb: int, K: int, M: int, panels: Any, p0: int) -> bool:
    """Copy b (K, M), its rows ldb numbers apart, to panels[p0:]; say whether all of it is finite.

    Only then is nothing lost where it is multiplied by zero.
    """
    finite = True
    for f in range(0, M, _PANEL):
        at, put, wide = b0 + f, p0 + f * K, min(_PANEL, M - f)
        done = 0
        if wide == _PANEL:
            finite &= _strip4(b, at, ldb, K, panels, put)
            done = _PANEL
        while done + _LANES <= wide:
            finite &= _strip1(b, at + done, ldb, K, panels, put + done)
            done += _LANES
        if done < wide:
            for k in range(K):
                for i in range(done, wide):
                    value = b[at + k * ldb + i]
                    panels[put + k * _PANEL + i] = value
                    finite &= value * 0 == 0
                for i in range(wide, done + _LANES):
                    panels[put + k * _PANEL + i] = 0
    return finite


@compiled
def _mark(a: Any, a0: int, lda: int, R: int, K: int, words: Any) -> None:
    """Set the bits of words, pair of rows by pair of rows, where one of a's two is not zero."""
    count = -(-K // _BITS)
    for r in range(0, R, 2):
        one, two = a0 + r * lda, a0 + min(r + 1, R - 1) * lda
        for g in range(count):
            bits = np.int64(0)
            stop = min(K, (g + 1) * _BITS)
            for k in range(g * _BITS, stop - stop % _LANES, _LANES):
                bits |= _not_zero(a, one + k, two + k) << np.int64(k - g * _BITS)
            for k in range(max(g * _BITS, stop - stop % _LANES), stop):
                if a[one + k] != 0 or a[two + k] != 0:
                    bits |= np.int64(1) << np.int64(k - g * _BITS)
            words[(r // 2) * count + g] = bits


@compiled
def marks(R: int) -> Any:
    """Room for the bits of R rows."""
    return np.empty((R + 1) // 2 * -(-_DEEP // _BITS), np.int64)


@compiled
def multiply(
    a: Any, a0: int, lda: int, R: int, K: int, words: Any, panels: Any, p0: int, M: int, c: Any,
    ldc: int, more: int,
) -> None:  # fmt: skip
    """c[r*ldc + f] = sum over k < K of a[a0 + r*lda + k] * b[k, f], b as ``pack`` gave it.

    f goes up to ``padded``(M). An odd last row is multiplied twice, to the same numbers.
    """
    _mark(a, a0, lda, R, K, words)
    count = -(-K // _BITS)
    for f in range(0, M, _PANEL):
        vectors, put = -(-min(_PANEL, M - f) // _LANES), p0 + f * K
        for r in range(0, R, 2):
            s, w0 = min(r + 1, R - 1), r // 2 * count
            one, two, c1, c2 = a0 + r * lda, a0 + s * lda, r * ldc + f, s * ldc + f
            if vectors == 4:
                _rows4(words, w0, count, a, one, two, panels, put, c, c1, c2, more)
            elif vectors == 3:
                _rows3(words, w0, count, a, one, two, panels, put, c, c1, c2, more)
            elif vectors == 2:
                _rows2(words, w0, count, a, one, two, panels, put, c, c1, c2, more)
            else:
                _rows1(words, w0, count, a, one, two, panels, put, c, c1, c2, more)

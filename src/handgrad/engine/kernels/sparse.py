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
from numba.np.numpy_support import carray

from handgrad.engine.kernels.blas import ONE, ZERO, apart, compiled, product
from handgrad.engine.kernels.processor import LONG_VECTORS
from handgrad.engine.kernels.vectors import Writer, clear, copy, transpose

LANES = 16  # numbers of float32 in a register, and in a line of the cache
_VECTORS = 4
_PANEL = _VECTORS * LANES
_BITS = 64
# Rows of a panel: it takes seven eighths of the cache nearest to the processor, of 32 KiB.
_DEEP = 112
_FUSED = ("contract",)


def _strip(vectors: int) -> Any:
    """Make the code of into[i0 + k*_PANEL + f] = b[b0 + k*ldb + f], k < K, f < vectors * LANES.

    It gives whether all of them are finite.
    """

    def typed(context: Any, b: Any, b0: Any, ldb: Any, K: Any, into: Any, i0: Any) -> Any:
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, LANES)
            real = target.get_value_type(b.dtype)
            zero = say.filled(real(0.0))

            def line(k: Any, *sums: Any) -> list[Any]:
                read = builder.add(say.number(1), builder.mul(k, say.number(2)))
                put = builder.add(say.number(5), builder.mul(k, say.word(_PANEL)))
                after = []
                for j, total in enumerate(sums):
                    value = say.load(0, builder.add(read, say.word(j * LANES)))
                    say.store(value, 4, builder.add(put, say.word(j * LANES)))
                    nothing = builder.fmul(value, zero, flags=_FUSED)  # or NaN
                    after.append(builder.fadd(total, nothing, flags=_FUSED))
                return after

            sums = say.times(say.number(3), line, *[zero] * vectors)
            bad = builder.fcmp_unordered("uno", sums[0], sums[0])
            for total in sums[1:]:
                bad = builder.or_(bad, builder.fcmp_unordered("uno", total, total))
            bits = builder.bitcast(bad, ir.IntType(LANES))
            none = builder.icmp_unsigned("==", bits, bits.type(0))
            return target.cast(builder, none, types.boolean, types.boolean)

        return types.boolean(b, b0, ldb, K, into, i0), write

    return intrinsic(typed)


def _fetch_typed(context: Any, a: Any, at: Any) -> Any:
    """Ask for the line with a[at], into the second cache."""

    def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        say = Writer(target, builder, signature, arguments, LANES)
        flag, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        place = builder.bitcast(builder.gep(say.data(0), [say.number(1)]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(ask, [place, flag(0), flag(2), flag(1)])
        return target.get_dummy_value()

    return types.void(a, at), write


_fetch: Any = intrinsic(_fetch_typed)


def _not_zero_typed(context: Any, a: Any, one: Any, two: Any) -> Any:
    """A bit for each of LANES numbers: whether a[one + i] or a[two + i] is not zero."""

    def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        say = Writer(target, builder, signature, arguments, LANES)
        zero = say.filled(target.get_value_type(a.dtype)(0.0))
        some = [builder.fcmp_unordered("!=", say.load(0, say.number(i)), zero) for i in (1, 2)]
        bits = builder.bitcast(builder.or_(*some), ir.IntType(LANES))
        return builder.zext(bits, say.word)

    return types.int64(a, one, two), write


_not_zero: Any = intrinsic(_not_zero_typed)


def _two_rows(vectors: int) -> Any:
    """Make the code of: c[row] = sum over bits k of a[row + k] * panels[p0 + k*_PANEL + f].

    For two rows, a's from ``one`` and ``two`` on, c's from ``c1`` and ``c2`` on, and
    f < vectors * LANES. The bits are those of words[w0 : w0 + count]. With ``more`` the sums are
    added to what c holds.
    """

    def typed(
        context: Any, words: Any, w0: Any, count: Any, a: Any, one: Any, two: Any, panels: Any,
        p0: Any, c: Any, c1: Any, c2: Any, more: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, LANES)
            zero = say.filled(target.get_value_type(a.dtype)(0.0))
            rows = [builder.gep(say.data(3), [say.number(i)]) for i in (4, 5)]
            goals = [
                builder.add(say.number(i), say.word(j * LANES))
                for i in (9, 10)
                for j in range(vectors)
            ]
            adds = builder.icmp_signed("!=", say.number(11), say.word(0))
            before = [builder.select(adds, say.load(8, goal), zero) for goal in goals]
            marks = builder.gep(say.data(0), [say.number(1)])

            def pay(k: Any, *sums: Any) -> list[Any]:
                line = builder.add(say.number(7), builder.mul(k, say.word(_PANEL)))
                lines = [
                    say.load(6, builder.add(line, say.word(j * LANES))) for j in range(vectors)
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


# Examples and columns below which BLAS's tiles are the better ones; and the share of numbers that
# are not zero above which zeros save less than looking for them takes.
_FEW, _FEW_COLUMNS, _DENSE = 8, 32, 0.92


@compiled
def fits(x: Any, M: int) -> bool:
    """Whether vectors of 512 bits, of float32, are to be had for x (N, D) and M columns."""
    return LONG_VECTORS and x.itemsize == 4 and len(x) >= _FEW and M >= _FEW_COLUMNS


@compiled
def worth(x: Any, start: int, stop: int, M: int, down: int, across: int) -> bool:
    """Whether it pays to pass over the zeros of x[:, start:stop], x (N, D), for M columns.

    A number's partner, in the other of two rows that are multiplied together, is ``down`` examples
    and ``across`` features further. A sample tells how often both are zero. Columns that are added
    to fill a register cost as much as zeros save.
    """
    if not fits(x, M):
        return False
    seen, found = 0, 0
    for n in range(0, len(x) - down, 7):
        for d in range(start, stop - across, 13):
            seen += 1
            found += x[n, d] != 0 or x[n + down, d + across] != 0
    return bool(found * padded(M) < _DENSE * seen * M)


@compiled
def padded(M: int) -> int:
    """Columns of c that ``multiply`` writes for M of b: whole registers."""
    return -(-M // LANES) * LANES


@compiled
def width(M: int) -> int:
    """Columns of all panels together."""
    return -(-M // _PANEL) * _PANEL


@compiled
def room(K: int, M: int, kind: Any) -> Any:
    """Room for panels of b (K, M), from a line's beginning on."""
    size = K * width(M)
    whole = np.empty(size + LANES, kind.dtype)
    at = -(whole.ctypes.data // kind.itemsize) % LANES
    return whole[at : at + size]


@compiled
def depth(K: int) -> int:
    """How many rows of b to pack at a time."""
    pieces = max(1, -(-K // _DEEP))
    return -(-K // (pieces * LANES)) * LANES


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
        while done + LANES <= wide:
            finite &= _strip1(b, at + done, ldb, K, panels, put + done)
            done += LANES
        if done < wide:
            for k in range(K):
                for i in range(done, wide):
                    value = b[at + k * ldb + i]
                    panels[put + k * _PANEL + i] = value
                    finite &= value * 0 == 0
                for i in range(wide, done + LANES):  # else what lies there, maybe subnormal
                    panels[put + k * _PANEL + i] = 0
    return finite


@compiled
def mark(a: Any, a0: int, lda: int, R: int, K: int, words: Any, w0: int) -> None:
    """Set the bits of words[w0:], pair of rows by pair of rows, where one of a's is not zero."""
    count = -(-K // _BITS)
    for r in range(0, R, 2):
        one, two = a0 + r * lda, a0 + min(r + 1, R - 1) * lda
        for g in range(count):
            bits = np.int64(0)
            stop = min(K, (g + 1) * _BITS)
            for k in range(g * _BITS, stop - stop % LANES, LANES):
                bits |= _not_zero(a, one + k, two + k) << np.int64(k - g * _BITS)
            for k in range(max(g * _BITS, stop - stop % LANES), stop):
                if a[one + k] != 0 or a[two + k] != 0:
                    bits |= np.int64(1) << np.int64(k - g * _BITS)
            words[w0 + r // 2 * count + g] = bits


@compiled
def marks(R: int) -> int:
    """How many words hold the bits of R rows."""
    return (R + 1) // 2 * -(-_DEEP // _BITS)


@compiled
def multiply(
    a: Any, a0: int, lda: int, R: int, K: int, words: Any, w0: int, panels: Any, p0: int, M: int,
    c: Any, c0: int, ldc: int, more: int, soon: Any, first: int, last: int,
) -> None:  # fmt: skip
    """c[c0 + r*ldc + f] = sum over k < K of a[a0 + r*lda + k] * b[k, f], b as ``pack`` gave it.

    words has a's bits as ``mark`` set them. f goes up to ``padded``(M). An odd last row is
    multiplied twice, to the same numbers. Where ``more`` is 1, the sums are added to c. Meanwhile
    soon[first:last] is asked for, a few lines at a time.
    """
    count = -(-K // _BITS)
    pairs = -(-M // _PANEL) * ((R + 1) // 2)
    each = -(-(last - first) // (pairs * LANES)) * LANES
    for f in range(0, M, _PANEL):
        vectors, put = -(-min(_PANEL, M - f) // LANES), p0 + f * K
        for r in range(0, R, 2):
            s, w = min(r + 1, R - 1), w0 + r // 2 * count
            one, two, c1, c2 = a0 + r * lda, a0 + s * lda, c0 + r * ldc + f, c0 + s * ldc + f
            for q in range(first, min(first + each, last), LANES):
                _fetch(soon, q)
            first += each
            if vectors == 4:
                _rows4(words, w, count, a, one, two, panels, put, c, c1, c2, more)
            elif vectors == 3:
                _rows3(words, w, count, a, one, two, panels, put, c, c1, c2, more)
            elif vectors == 2:
                _rows2(words, w, count, a, one, two, panels, put, c, c1, c2, more)
            else:
                _rows1(words, w, count, a, one, two, panels, put, c, c1, c2, more)


# What follows is compiled apart. x (N, D), d (N, M), dx and w (D, M) are of one dimension, and come
# as pointers: views of an array that are made in loops are counted by all threads at one place. An
# error cannot leave such a function, and the only one there is is a lack of memory: the last thing
# it does is to say that it has ended.

_POINTER, _WORD = types.voidptr, types.int64


@compiled
def _ended(done: Any) -> None:
    if done[0] == 0:
        raise MemoryError("no room for the panels of a product")


@apart("sparse_forward", _POINTER, *(_WORD,) * 4, _POINTER, _WORD, _POINTER, _WORD, _POINTER)
def _forward(
    x: Any, N: int, D: int, start: int, stop: int, w: Any, M: int, out: Any, wide: int, done: Any
) -> None:
    x, w = carray(x, N * D, np.float32), carray(w, D * M, np.float32)
    out, step = carray(out, N * wide, np.float32), depth(stop - start)
    panels, words = room(step, M, x), np.empty(marks(N), np.int64)
    for k in range(start, stop, step):
        K, more = min(step, stop - k), 1 if k > start else 0
        if pack(w, k * M, M, K, M, panels, ZERO):
            mark(x, k, D, N, K, words, ZERO)
            last = min(k + K + step, stop)
            multiply(
                x, k, D, N, K, words, ZERO, panels, ZERO, M, out, ZERO, wide, more, w,
                (k + K) * M, last * M,
            )  # fmt: skip
        else:
            product(ZERO, ZERO, N, M, K, x[k:], D, w[k * M :], M, more, out, wide)
    carray(done, 1, np.uint8)[0] = 1


@compiled
def forward(
    x: Any, N: int, D: int, start: int, stop: int, w: Any, M: int, out: Any, wide: int
) -> None:
    """Give out = x[:, start:stop] w[start:stop], its rows ``wide`` apart."""
    done = np.zeros(1, np.uint8)
    _forward(x.ctypes, N, D, start, stop, w.ctypes, M, out.ctypes, wide, done.ctypes)
    _ended(done)


@apart("sparse_packed", _POINTER, _WORD, _WORD, _POINTER, _POINTER)
def _packed(d: Any, N: int, M: int, panels: Any, finite: Any) -> None:
    d, panels = carray(d, N * M, np.float32), carray(panels, N * width(M), np.float32)
    good, step = True, depth(N)
    for n in range(0, N, step):
        good &= pack(d, n * M, M, min(step, N - n), M, panels, n * width(M))
    carray(finite, 1, np.bool_)[0] = good


@compiled
def packed(d: Any, N: int, M: int, panels: Any) -> bool:
    """Pack d for ``weights_gradient``, some examples at a time, as ``pack`` does."""
    finite = np.empty(1, np.bool_)
    _packed(d.ctypes, N, M, panels.ctypes, finite.ctypes)
    return bool(finite[0])


@apart(
    "sparse_weights_gradient",
    *(_POINTER, *(_WORD,) * 4, _POINTER, _WORD, _POINTER, _POINTER, _WORD, _WORD, _POINTER),
)
def _weights_gradient(
    x: Any, N: int, D: int, row: int, many: int, panels: Any, M: int, dw: Any, w: Any, first: int,
    last: int, done: Any,
) -> None:  # fmt: skip
    x, panels = carray(x, N * D, np.float32), carray(panels, N * width(M), np.float32)
    wide = padded(M)
    dw, w = carray(dw, many * wide, np.float32), carray(w, D * M, np.float32)
    step = depth(N)
    standing, words = np.empty(many * step, np.float32), np.empty(marks(many), np.int64)
    for n in range(0, N, step):
        K, more = min(step, N - n), 1 if n > 0 else 0
        transpose(x, n * D + row, D, standing, ZERO, K, K, many)
        mark(standing, ZERO, K, many, K, words, ZERO)
        multiply(
            standing, ZERO, K, many, K, words, ZERO, panels, n * width(M), M, dw, ZERO,
            wide, more, w, first, last if n == 0 else first,
        )  # fmt: skip
    if wide > M:
        for i in range(1, many):
            copy(dw, i * wide, dw, i * M, M)
    carray(done, 1, np.uint8)[0] = 1


@compiled
def weights_gradient(
    x: Any, N: int, D: int, row: int, many: int, panels: Any, M: int, dw: Any, w: Any, first: int,
    last: int,
) -> None:  # fmt: skip
    """Give dw = x[:, row : row + many]^T d, d as ``packed``.

    dw has room for rows of ``padded``(M) numbers, and gets rows of M. w[first:last] is wanted soon.
    """
    done = np.zeros(1, np.uint8)
    _weights_gradient(
        x.ctypes, N, D, row, many, panels.ctypes, M, dw.ctypes, w.ctypes, first, last, done.ctypes
    )
    _ended(done)


@compiled
def _finite(w: Any) -> bool:
    """Whether all of w is finite: times zero it adds up to zero."""
    nothing, total = w.dtype.type(0), w.dtype.type(0)
    for i in range(len(w)):
        total += w[i] * nothing
    return bool(total == 0)


@apart(
    "sparse_inputs_gradient",
    *(_POINTER, _WORD, _WORD, _POINTER, _WORD, _WORD, _POINTER, _WORD, _POINTER),
)
def _inputs_gradient(
    d: Any, N: int, M: int, w: Any, row: int, many: int, dx: Any, D: int, done: Any
) -> None:
    d = carray(d, N * M, np.float32)
    w, dx = carray(w, D * M, np.float32), carray(dx, N * D, np.float32)
    if not _finite(w[row * M : (row + many) * M]):
        product(ZERO, ONE, N, many, M, d, M, w[row * M :], M, ZERO, dx[row:], D)
        carray(done, 1, np.uint8)[0] = 1
        return
    step = depth(M)
    words = np.empty(-(-M // step) * marks(N), np.int64)
    panel, spare = room(step, ZERO + _PANEL, d), np.empty(N * _PANEL, np.float32)
    clear(panel)  # where no columns come: else what lies there, maybe subnormal
    for m in range(0, M, step):
        mark(d, m, M, N, min(step, M - m), words, m // step * marks(N))
    for f in range(row, row + many, _PANEL):
        wide = min(_PANEL, row + many - f)
        for m in range(0, M, step):
            K, more = min(step, M - m), 1 if m > 0 else 0
            transpose(w, f * M + m, M, panel, ZERO, ZERO + _PANEL, wide, K)
            multiply(
                d, m, M, N, K, words, m // step * marks(N), panel, ZERO, wide, spare, ZERO,
                ZERO + _PANEL, more, w, ZERO, ZERO,
            )  # fmt: skip
        for n in range(N):
            copy(spare, n * _PANEL, dx, n * D + f, wide)
    carray(done, 1, np.uint8)[0] = 1


@compiled
def inputs_gradient(d: Any, N: int, M: int, w: Any, row: int, many: int, dx: Any, D: int) -> None:
    """Give dx[:, row : row + many] = d w[row : row + many]^T."""
    done = np.zeros(1, np.uint8)
    _inputs_gradient(d.ctypes, N, M, w.ctypes, row, many, dx.ctypes, D, done.ctypes)
    _ended(done)

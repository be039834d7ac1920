"""Pooling, its gradient and transposition, a vector at a time, in compiled code.

Written as vector instructions: as loops over some 8 to 64 channels, half of the time would go
into the tests that a compiled loop makes before it begins.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from handgrad.engine.kernels.blas import compiled
from handgrad.engine.kernels.processor import LONG_VECTORS


class Writer:
    """Turns an intrinsic's arguments into LLVM's values and vectors of ``width`` numbers."""

    def __init__(
        self, target: Any, builder: Any, signature: Any, arguments: Any, width: int
    ) -> None:
        self.target, self.builder, self.kinds = target, builder, signature.args
        self.arguments, self.width = arguments, width
        self.word = target.get_value_type(types.intp)

    def number(self, i: int) -> Any:
        """Argument i as an integer."""
        return self.target.cast(self.builder, self.arguments[i], self.kinds[i], types.intp)

    def data(self, i: int) -> Any:
        """Pointer to array i's first number."""
        return self.target.make_array(self.kinds[i])(
            self.target, self.builder, self.arguments[i]
        ).data

    def place(self, i: int, at: Any) -> tuple[Any, int]:
        """Pointer to a vector at array i's number ``at``, and its alignment."""
        real = self.target.get_value_type(self.kinds[i].dtype)
        vector = ir.VectorType(real, self.width)
        pointer = self.builder.gep(self.data(i), [at])
        return self.builder.bitcast(pointer, vector.as_pointer()), self.target.get_abi_sizeof(real)

    def load(self, i: int, at: Any) -> Any:
        """Read a vector."""
        pointer, align = self.place(i, at)
        return self.builder.load(pointer, align=align)

    def store(self, value: Any, i: int, at: Any) -> None:
        """Write a vector."""
        pointer, align = self.place(i, at)
        self.builder.store(value, pointer, align=align)

    def filled(self, value: Any) -> Any:
        """Give a vector of one number."""
        vector = ir.VectorType(value.type, self.width)
        nothing = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(one, nothing, zeros)

    def narrowed(self, value: Any, kind: Any) -> Any:
        """Give an integer as wide as ``kind``, at most a word."""
        return value if kind.width == self.word.width else self.builder.trunc(value, kind)

    def times(self, count: Any, body: Any, *values: Any) -> list[Any]:
        """Repeat ``body(q, *values) -> values``; give the last ones."""
        builder = self.builder
        before = builder.block
        loop, after = builder.append_basic_block("each"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        q = builder.phi(self.word)
        carried = [builder.phi(value.type) for value in values]
        made = body(q, *carried)
        following = builder.add(q, self.word(1))
        q.add_incoming(self.word(0), before)
        q.add_incoming(following, builder.block)
        for phi, value, new in zip(carried, values, made, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(new, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        return list(made)

    def each_bit(self, bits: Any, body: Any, *values: Any) -> list[Any]:
        """Do ``body(i, *values) -> values`` for each bit i set in a word; give the last ones."""
        builder, none = self.builder, self.word(0)
        before = builder.block
        loop, after = builder.append_basic_block("bit"), builder.append_basic_block("no_bit")
        builder.cbranch(builder.icmp_unsigned("!=", bits, none), loop, after)
        builder.position_at_end(loop)
        rest = builder.phi(self.word)
        carried = [builder.phi(value.type) for value in values]
        made = body(builder.cttz(rest, ir.IntType(1)(1)), *carried)
        following = builder.and_(rest, builder.sub(rest, self.word(1)))
        end = builder.block
        builder.cbranch(builder.icmp_unsigned("!=", following, none), loop, after)
        builder.position_at_end(after)
        last = [builder.phi(value.type) for value in values]
        rest.add_incoming(bits, before)
        rest.add_incoming(following, end)
        for phi, out, value, new in zip(carried, last, values, made, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(new, end)
            out.add_incoming(value, before)
            out.add_incoming(new, end)
        return last


def larger(say: Writer, value: Any, position: Any, best: Any, winner: Any) -> tuple[Any, Any, Any]:
    """Give (whether value replaces best, the best, the winner's position): a NaN stays the best."""
    builder = say.builder
    more = builder.or_(
        builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value)
    )
    return more, builder.select(more, value, best), builder.select(more, position, winner)


def write_window(
    say: Writer, best: Any, winner: Any, nobody: Any, relu: int, arrays: tuple[int, int],
    places: list[Any],
) -> None:  # fmt: skip
    """Store a window's best and winner, cut with relu, at their places in two arguments' arrays."""
    builder = say.builder
    zero = say.filled(best.type.element(0.0))
    cut = say.target.cast(builder, say.arguments[relu], say.kinds[relu], types.boolean)
    cut = say.filled(builder.icmp_unsigned("!=", cut, cut.type(0)))
    positive = builder.fcmp_ordered(">", best, zero)
    paid = builder.select(cut, positive, builder.fcmp_ordered("ord", best, best))
    negative = builder.and_(cut, builder.fcmp_ordered("<=", best, zero))
    say.store(builder.select(negative, zero, best), arrays[0], places[0])
    winner = builder.select(paid, winner, nobody)
    say.store(builder.trunc(winner, ir.VectorType(ir.IntType(8), say.width)), arrays[1], places[1])


def index_of(say: Writer, real: Any) -> Any:
    """Give the integer type as wide as the numbers, so that one mask serves both."""
    return ir.IntType(8 * say.target.get_abi_sizeof(real))


def _pool(width: int) -> Any:
    """Make the code of ``pool`` for one window and ``width`` channels."""

    def typed(
        context: Any, y: Any, base: Any, F: Any, f: Any, table: Any, window: Any, size: Any,
        a: Any, mean: Any, b: Any, relu: Any, out: Any, o0: Any, win: Any, w0: Any, top: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, width)
            channel, channels = say.number(3), say.number(2)
            scale, shift, bias = (say.load(i, channel) for i in (7, 8, 9))
            first = say.number(5)
            pixels = say.data(4)
            index = index_of(say, target.get_value_type(y.dtype))

            def pixel(q: Any) -> tuple[Any, Any]:
                row = builder.load(builder.gep(pixels, [builder.add(first, q)]))
                row = builder.mul(builder.add(row, say.number(1)), channels)
                raw = say.load(0, builder.add(row, channel))
                value, fused = builder.fsub(raw, shift), ("contract",)
                value = builder.fmul(value, scale, flags=fused)
                return builder.fadd(value, bias, flags=fused), raw

            def further(q: Any, best: Any, winner: Any, kept: Any) -> tuple[Any, Any, Any]:
                value, raw = pixel(q)
                position = say.filled(say.narrowed(q, index))
                more, best, winner = larger(say, value, position, best, winner)
                return best, winner, builder.select(more, raw, kept)

            start, raw = pixel(say.word(0))
            best, winner, raw = say.times(say.number(6), further, start, say.filled(index(0)), raw)
            nobody = say.filled(say.narrowed(say.number(6), index))
            places = [builder.add(say.number(i), channel) for i in (12, 14)]
            write_window(say, best, winner, nobody, 10, (11, 13), places)
            if top is not types.none:
                say.store(raw, 15, places[1])
            return target.get_dummy_value()

        kinds = (y, base, F, f, table, window, size, a, mean, b, relu, out, o0, win, w0, top)
        return types.void(*kinds), write

    return intrinsic(typed)


def _pay(width: int) -> Any:
    """Make the code of ``pay_winners`` for one window and ``width`` channels."""

    def typed(
        context: Any, d: Any, d0: Any, win: Any, w0: Any, F: Any, f: Any, table: Any, window: Any,
        size: Any, base: Any, a: Any, dy: Any, sums: Any, adds: Any,
    ) -> Any:  # fmt: skip
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, width)
            channel, channels = say.number(5), say.number(4)
            real = target.get_value_type(d.dtype)
            index = ir.IntType(8 * target.get_abi_sizeof(real))
            value = say.load(0, builder.add(say.number(1), channel))
            winner = say.load(2, builder.add(say.number(3), channel))
            winner = builder.zext(winner, ir.VectorType(index, width))
            zero = say.filled(real(0.0))
            none = say.filled(say.narrowed(say.number(8), index))
            kept = builder.select(builder.icmp_unsigned("<", winner, none), value, zero)
            say.store(builder.fadd(say.load(12, channel), kept), 12, channel)
            value = builder.fmul(value, say.load(10, channel))
            first, places = say.number(7), say.data(6)
            added = target.cast(builder, arguments[13], adds, types.boolean)
            added = builder.icmp_unsigned("!=", added, added.type(0))

            def give(q: Any) -> tuple[()]:
                row = builder.load(builder.gep(places, [builder.add(first, q)]))
                row = builder.mul(builder.add(row, say.number(9)), channels)
                place = builder.add(row, channel)
                wins = builder.icmp_unsigned("==", winner, say.filled(say.narrowed(q, index)))
                paid = builder.select(wins, value, zero)
                more = builder.fadd(say.load(11, place), paid)
                say.store(builder.select(added, more, paid), 11, place)
                return ()

            say.times(say.number(8), give)
            return target.get_dummy_value()

        kinds = (d, d0, win, w0, F, f, table, window, size, base, a, dy, sums, adds)
        return types.void(*kinds), write

    return intrinsic(typed)


_pool8, _pool16, _pool32 = _pool(8), _pool(16), _pool(32)
_pay8, _pay16, _pay32 = _pay(8), _pay(16), _pay(32)


@compiled
def pool(
    y: Any, base: int, F: int, table: Any, P: int, size: int, a: Any, mean: Any, b: Any, relu: bool,
    out: Any, o0: int, win: Any, w0: int, top: Any,
) -> None:  # fmt: skip
    """Pool one image: out = max over the window of (y - mean) * a + b, cut at 0 with ``relu``.

    All arrays are of one dimension: y (pixels, F) from row ``base`` on, F a multiple of 8; table
    (P, size); out and win (P, F) from o0 and w0 on. The first of equals wins; a NaN comes through,
    and is paid nothing. top gets the winners' y, from w0 on, unless it is None; it may be y itself
    where a window is one pixel.
    """
    for p in range(P):
        f, o, w = 0, o0 + p * F, w0 + p * F
        if LONG_VECTORS:
            while f + 32 <= F:
                _pool32(y, base, F, f, table, p * size, size, a, mean, b, relu, out, o, win, w, top)
                f += 32
        while f + 16 <= F:
            _pool16(y, base, F, f, table, p * size, size, a, mean, b, relu, out, o, win, w, top)
            f += 16
        if f < F:
            _pool8(y, base, F, f, table, p * size, size, a, mean, b, relu, out, o, win, w, top)


@compiled
def pay_winners(
    d: Any, d0: int, win: Any, w0: int, F: int, table: Any, P: int, size: int, base: int, a: Any,
    dy: Any, sums: Any, adds: bool,
) -> None:  # fmt: skip
    """Add a * d to the winners in dy (pixels, F) from row ``base`` on; d to sums (F,).

    As in ``pool`` all arrays are of one dimension; d (P, F) from d0 on. Without ``adds`` dy is
    written as if it had been zeros; each pixel must be in one window.
    """
    for p in range(P):
        f, s, w = 0, d0 + p * F, w0 + p * F
        if LONG_VECTORS:
            while f + 32 <= F:
                _pay32(d, s, win, w, F, f, table, p * size, size, base, a, dy, sums, adds)
                f += 32
        while f + 16 <= F:
            _pay16(d, s, win, w, F, f, table, p * size, size, base, a, dy, sums, adds)
            f += 16
        if f < F:
            _pay8(d, s, win, w, F, f, table, p * size, size, base, a, dy, sums, adds)


def _copy(width: int) -> Any:
    """Make the code of b[b0 + i] = a[a0 + i] for i < width."""

    def typed(context: Any, a: Any, a0: Any, b: Any, b0: Any) -> Any:
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, width)
            say.store(say.load(0, say.number(1)), 2, say.number(3))
            return target.get_dummy_value()

        return types.void(a, a0, b, b0), write

    return intrinsic(typed)


_copy8, _copy32 = _copy(8), _copy(32)


@compiled
def clear(a: Any) -> None:
    """Set all numbers of a, of one dimension, to 0.

    For a[:] = 0 Numba compiles the text of an error as well, which takes longer than all the rest.
    """
    nothing = a.dtype.type(0)
    for i in range(len(a)):
        a[i] = nothing


@compiled
def copy(a: Any, a0: int, b: Any, b0: int, count: int) -> None:
    """b[b0 + i] = a[a0 + i] for i < count: a few numbers, for which b[...] = a[...] takes long."""
    i = 0
    while i + 32 <= count:
        _copy32(a, a0 + i, b, b0 + i)
        i += 32
    while i + 8 <= count:
        _copy8(a, a0 + i, b, b0 + i)
        i += 8
    while i < count:
        b[b0 + i] = a[a0 + i]
        i += 1


_LOW, _HIGH = (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)
_LOW_PAIRS, _HIGH_PAIRS = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
_LOW_HALVES, _HIGH_HALVES = (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)


def _transpose8() -> Any:
    """Make the code of b[b0 + j*ldb + i] = a[a0 + i*lda + j] for i, j < 8."""

    def typed(context: Any, a: Any, a0: Any, lda: Any, b: Any, b0: Any, ldb: Any) -> Any:
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            say = Writer(target, builder, signature, arguments, 8)

            def mixed(one: Any, other: Any, lanes: tuple[int, ...]) -> Any:
                mask = ir.Constant(ir.VectorType(ir.IntType(32), 8), list(lanes))
                return builder.shuffle_vector(one, other, mask)

            def line(i: int, first: int, step: int) -> Any:
                return builder.add(say.number(first), builder.mul(say.number(step), say.word(i)))

            r = [say.load(0, line(i, 1, 2)) for i in range(8)]
            pairs = [
                mixed(r[i], r[i + 1], lanes) for i in range(0, 8, 2) for lanes in (_LOW, _HIGH)
            ]  # rows 0 and 1: low, high; rows 2 and 3: ...
            fours = [
                mixed(pairs[i], pairs[i + 2], lanes)
                for i in (0, 1, 4, 5)
                for lanes in (_LOW_PAIRS, _HIGH_PAIRS)
            ]  # columns 0, 1, 2, 3 (and 4 further) of rows 0 to 3; then of rows 4 to 7
            for j in range(8):
                lanes = _LOW_HALVES if j < 4 else _HIGH_HALVES
                say.store(mixed(fours[j % 4], fours[4 + j % 4], lanes), 3, line(j, 4, 5))
            return target.get_dummy_value()

        return types.void(a, a0, lda, b, b0, ldb), write

    return intrinsic(typed)


_transposed8 = _transpose8()


@compiled
def transpose(a: Any, a0: int, lda: int, b: Any, b0: int, ldb: int, A: int, B: int) -> None:
    """b[b0 + j*ldb + i] = a[a0 + i*lda + j] for i < A, j < B; a and b of one dimension."""
    whole_a, whole_b = A - A % 8, B - B % 8
    for i in range(0, whole_a, 8):
        for j in range(0, whole_b, 8):
            _transposed8(a, a0 + i * lda + j, lda, b, b0 + j * ldb + i, ldb)
    for i in range(A):
        for j in range(whole_b if i < whole_a else 0, B):
            b[b0 + j * ldb + i] = a[a0 + i * lda + j]

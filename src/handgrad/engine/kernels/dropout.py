"""Dropout, compiled: the draws that ``rng.random`` would make, on several threads.

PCG64, the generator of ``numpy.random.default_rng``, steps a state of 128 bits and turns it into a
number of 64 (O'Neill, "PCG", 2014, the XSL-RR output):

    s' = A s + c mod 2^128,    number = (high(s') xor low(s')) rotated right by s' >> 122.

k steps at once are one such step, with A^k and c (A^k - 1) / (A - 1): so each thread begins where
its part does. It goes on in strides of some steps, several of them side by side, as otherwise each
multiplication would wait for the one before. ``random`` is the number's upper 53 bits over 2^53.
"""

import math
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from handgrad.arrays import Array
from handgrad.engine.kernels.blas import compiled, parallel
from handgrad.engine.kernels.vectors import Writer

STRIDES = 4
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MODULUS, _LOW = 2**128, 2**64 - 1


@lru_cache(maxsize=256)
def _steps(count: int) -> tuple[int, int]:
    """Give a and b so that ``count`` steps are s' = a s + b c."""
    a = pow(_MULTIPLIER, count, _MODULUS * (_MULTIPLIER - 1))
    return a % _MODULUS, (a - 1) // (_MULTIPLIER - 1) % _MODULUS


def ahead(state: int, c: int, count: int, parts: int) -> tuple[int, Array, Array]:
    """Give the state after ``count`` draws, and what the parts begin with.

    States (parts, 2 * STRIDES), each one step on, ready for its first number; and what a stride
    adds (2,); both uint64, in high and low halves.
    """
    starts = [count * part // parts + 1 + j for part in range(parts) for j in range(STRIDES)]
    states = [(a * state + b * c) % _MODULUS for a, b in map(_steps, [*starts, count])]
    added = _steps(STRIDES)[1] * c % _MODULUS
    halves = [[number >> 64, number & _LOW] for number in (*states[:-1], added)]
    numbers = np.array(halves, dtype=np.uint64)
    return states[-1], numbers[:-1].reshape(parts, 2 * STRIDES), numbers[-1]


def kept_below(keep: float) -> np.uint64:
    """Give the k such that a draw is < keep where its 53 bits are < k."""
    return np.uint64(math.ceil(keep * 2**53))


def _draw(context: Any, states: Any, j: Any, c_high: Any, c_low: Any) -> Any:
    """Give the number of stride j's state, states[2 j] and [2 j + 1], and take it one stride on."""

    def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        say = Writer(target, builder, signature, arguments, 1)
        wide, word = ir.IntType(128), ir.IntType(64)

        def joined(high: Any, low: Any) -> Any:
            return builder.or_(
                builder.shl(builder.zext(high, wide), wide(64)), builder.zext(low, wide)
            )

        at = builder.mul(say.number(1), say.word(2))
        places = [builder.gep(say.data(0), [builder.add(at, say.word(i))]) for i in range(2)]
        high, low = map(builder.load, places)
        after = builder.add(
            builder.mul(joined(high, low), wide(_steps(STRIDES)[0])), joined(*arguments[2:])
        )
        builder.store(builder.trunc(builder.lshr(after, wide(64)), word), places[0])
        builder.store(builder.trunc(after, word), places[1])
        mixed, turn = builder.xor(high, low), builder.lshr(high, word(58))
        right = builder.lshr(mixed, turn)
        left = builder.shl(mixed, builder.and_(builder.neg(turn), word(63)))
        return builder.or_(right, left)

    return types.uint64(states, j, types.uint64, types.uint64), write


_drawn: Any = intrinsic(_draw)


@compiled
def forward_part(
    part: Any, parts: int, states: Any, c: Any, below: Any, x: Any, mask: Any, out: Any
) -> None:
    """Draw mask (n,), uint8, and out = x * mask, for a part of the numbers."""
    n = len(x)
    start, stop = n * part // parts, n * (part + 1) // parts
    mine = states[part].copy()  # no line of the cache that two threads write
    drawn, rest = mask[start:stop], np.uint64(11)
    whole = len(drawn) - len(drawn) % STRIDES
    for first in range(0, whole, STRIDES):
        for j in range(STRIDES):
            drawn[first + j] = (_drawn(mine, j, c[0], c[1]) >> rest) < below
    for j in range(len(drawn) - whole):
        drawn[whole + j] = (_drawn(mine, j, c[0], c[1]) >> rest) < below
    some, into = x[start:stop], out[start:stop]
    for i in range(len(some)):
        into[i] = some[i] * x.dtype.type(drawn[i])


@compiled
def backward_part(part: Any, parts: int, dout: Any, mask: Any, dx: Any) -> None:
    """Give dx = dout where mask is 1, else 0, for a part of the numbers."""
    n = len(dx)
    start, stop = n * part // parts, n * (part + 1) // parts
    some, drawn, into = dout[start:stop], mask[start:stop], dx[start:stop]
    zero = dx.dtype.type(0)
    for i in range(len(some)):
        into[i] = some[i] if drawn[i] else zero


@parallel
def forward_parts(parts: int, *arguments: Any) -> None:
    """All parts of forward_part."""
    for part in numba.prange(parts):
        forward_part(np.int64(part), parts, *arguments)


@parallel
def backward_parts(parts: int, *arguments: Any) -> None:
    """All parts of backward_part."""
    for part in numba.prange(parts):
        backward_part(np.int64(part), parts, *arguments)

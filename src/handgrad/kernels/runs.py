"""Short runs of neighbouring numbers, copied or added eight at a time, in compiled code.

A row of a patch is some 8 to 50 numbers. A loop over them is compiled for long runs: it tests for
overlap, takes 32 at a time, and does what is left one by one, which here is all of it. Here eight
numbers are one vector instruction, without the tests.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from handgrad.kernels.blas import compiled


def _on_eight(combine: Callable[[Any, Any, Any], Any] | None) -> Any:
    """Write to[i : i + 8] = source[j : j + 8], or what ``combine`` makes of both."""

    def typed(context: Any, to: Any, i: Any, source: Any, j: Any) -> Any:
        def write(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            real = target.get_value_type(to.dtype)
            vector = ir.VectorType(real, 8)
            size = target.get_abi_sizeof(real)

            def place(kind: Any, array: Any, index_kind: Any, index: Any) -> Any:
                data = target.make_array(kind)(target, builder, array).data
                index = target.cast(builder, index, index_kind, types.intp)
                return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

            goal = place(to, arguments[0], i, arguments[1])
            value = builder.load(place(source, arguments[2], j, arguments[3]), align=size)
            if combine is not None:
                value = combine(builder, builder.load(goal, align=size), value)
            builder.store(value, goal, align=size)
            return target.get_dummy_value()

        return types.void(to, i, source, j), write

    return intrinsic(typed)


_copy8 = _on_eight(None)
_add8 = _on_eight(lambda builder, one, two: builder.fadd(one, two))


@compiled
def copy_run(to: Any, i: int, source: Any, j: int, count: int) -> None:
    """to[i : i + count] = source[j : j + count], of contiguous arrays of one dimension."""
    eights = count // 8
    for e in range(eights):
        _copy8(to, i + 8 * e, source, j + 8 * e)
    for k in range(8 * eights, count):
        to[i + k] = source[j + k]


@compiled
def add_run(to: Any, i: int, source: Any, j: int, count: int) -> None:
    """to[i : i + count] += source[j : j + count], of contiguous arrays of one dimension."""
    eights = count // 8
    for e in range(eights):
        _add8(to, i + 8 * e, source, j + 8 * e)
    for k in range(8 * eights, count):
        to[i + k] += source[j + k]

"""A model as one C99 file and a header: no allocation, no library but the C library's maths."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import handgrad
from handgrad.arrays import Array
from handgrad.errors import ExportError
from handgrad.export import c_inputs, c_text
from handgrad.export.c_activations import activation_functions
from handgrad.export.c_conv import VECTORS
from handgrad.export.c_inputs import Inputs
from handgrad.export.c_layers import Kinds, by_vectors, function, needs_math
from handgrad.export.c_plan import Op, largest, plan
from handgrad.export.c_quantise import quantised
from handgrad.export.c_text import fill
from handgrad.export.source import Exportable, RowInputs, Source, source_of
from handgrad.export.writing import require_free, write_files
from handgrad.images import ImagePreprocessor
from handgrad.tables import Preprocessor

_ALIGNED = 16  # bytes

_TO_INT8 = """
/* The nearest of -127 to 127; of what is not a number -127. */
static inline int8_t to_int8(float v)
{
    v = v > -127.0f ? v : -127.0f;
    v = v < 127.0f ? v : 127.0f;
    return (int8_t)(v + (v < 0.0f ? -0.5f : 0.5f));
}
"""


@dataclass(frozen=True)
class CFile:
    """What was written.

    Attributes
    ----------
    path, header : Path
    flash : int
        Bytes of constants; the code is some kilobytes more.
    ram : int
        Bytes of static buffers.
    said : str
        Both in one line.
    """

    path: Path
    header: Path
    flash: int
    ram: int

    @property
    def said(self) -> str:
        """Both in one line."""
        return f"flash: {self.flash:,} bytes of constants, and the code; RAM: {self.ram:,} bytes"


def to_c(model: Exportable, out: Path | str, **options: Any) -> Path:
    """Write a model as a C99 file, and a header beside it; give the file.

    The options are `write_c`'s.
    """
    return write_c(model, out, **options).path


def write_c(
    model: Exportable,
    out: Path | str,
    *,
    int8: bool = False,
    calibration: ArrayLike | None = None,
    prefix: str = "",
    force: bool = False,
) -> CFile:
    """Write a model as a C99 file and a header, and say what it takes.

    ``predict(x, out)`` takes one row as the model takes it (an image as it lies in memory, a
    table's columns in their order) and gives what ``Network.loss(X)`` gives: scores; of a
    regression on data of one's own, numbers in the targets' units.

    Parameters
    ----------
    model : Network, estimator, Model, Source, or path
    out : path
        Ends in .c.
    int8 : bool
        A quarter of the flash and RAM: weights in 127 steps an output channel, what is between
        layers in 127 steps a tensor, sums in int32.
    calibration : array (n, *network.input_shape)
        From which int8 takes the ranges of what is between the layers: some hundred rows like
        those that it will meet, as the network takes them (`calibration.network_inputs`).
    prefix : str
        Put before every name that the linker sees, for several models in one program.
    force : bool
        Replace files that exist.

    Returns
    -------
    CFile

    Raises
    ------
    ExportError
        In one line: a layer or column that C lacks, int8 without rows, a file that exists.
    ModelError, OutputError
        For a file that is no model; where nothing can be written.
    """
    path = Path(out)
    header = path.with_suffix(".h")
    if path.suffix != ".c":
        raise ExportError(f"a C file's name ends in .c; got {path.name}")
    if prefix and c_text.identifier(prefix).rstrip("_") != prefix.rstrip("_"):
        raise ExportError(f"prefix must be the beginning of a C name; got {prefix!r}")
    require_free([path, header], force=force)
    source = source_of(model)
    rows = None
    if int8:
        given = np.zeros(0) if calibration is None else np.asarray(calibration)
        rows = source.network.examples(given) if len(given) else given
        if not rows.size or not np.isfinite(rows).all():
            raise ExportError(
                "int8 needs calibration rows, some hundred like those that it will meet, of finite "
                "numbers (--calibrate DATA); or write float"
            )
    text, declared, flash, ram = _written(source, path.stem, prefix, rows)
    write_files({header: declared, path: text}, force=force)
    return CFile(path, header, flash, ram)


def _written(
    source: Source, stem: str, prefix: str, rows: Array | None
) -> tuple[str, str, int, int]:
    """Give file, header, bytes of constants and of buffers; int8 with rows, else float."""
    name = c_text.identifier(prefix or stem)
    ops, steps = plan(source.network)
    inputs, ops = _with_inputs(source, ops, name, int8=rows is not None)
    ops = _with_targets(source, ops, len(steps))
    if rows is None:
        kinds = [Kinds() for _ in ops]
    else:
        if ops[0].kind != "input":
            shape = source.network.input_shape
            ops = [Op("input", shape, shape, -1, said="as int8"), *ops]
        spans = largest(steps, rows, source.network.dtype)
        ops, kinds = quantised(ops, [*spans, spans[-1]])
    names = _function_names(ops)
    functions = [function(op, n, k) for op, n, k in zip(ops, names, kinds, strict=True)]
    size, calls = _calls(ops, names, kinds, "features" if inputs.features else "x")
    flash = inputs.constants + sum(_constants(op, k) for op, k in zip(ops, kinds, strict=True))
    ram = size + 4 * inputs.features
    kind = "float" if rows is None else "int8_t"
    values = {
        "what": c_text.comment(_said(source)), "precision": "float" if rows is None else "int8",
        "version": handgrad.__version__, "flash": f"{flash:,}", "ram": f"{ram:,}",
        "NAME": name.upper(), "stem": stem, "prefix": prefix, "inputs": inputs.count,
        "outputs": source.network.output_shape[0], "order": c_text.comment(_order(source)),
        "meaning": _meaning(source),
    }  # fmt: skip
    named = [str(each) for each in source.labels.tolist()]
    named = list(source.targets) if source.task == "multilabel" else named
    count = len(named)
    classes = "".join(f"    {c_text.string(each)},\n" for each in named)
    parts = [
        fill(_HEAD, **values) + "\n",
        fill(_PRAGMA) + "\n" if rows is None else "",
        "#include <math.h>\n" if needs_math(ops) or inputs.source else "",
        fill(_LEVELS),
        f'#include "{stem}.h"\n\n',
        f"const char *const {prefix}classes[{count}] = {{\n{classes}}};\n\n" if count else "",
        inputs.source + "\n" if inputs.source else "",
        "" if rows is None else fill(_TO_INT8) + "\n",
        fill(VECTORS) + "\n" if any(map(by_vectors, ops, kinds)) else "",
        activated + "\n" if (activated := activation_functions(ops)) else "",
        "\n".join(functions),
        f"\nstatic {kind} buffer[{size // (4 if rows is None else 1)}];\n" if size else "",
        f"static float features[{inputs.features}];\n" if inputs.features else "",
        f"\nvoid {prefix}predict(const float *x, float *out)\n{{\n",
        "    prepare(x, features);\n" if inputs.features else "",
        calls + "}\n",
        _decision(source, prefix),
    ]
    declared = fill(
        _HEADER, **values, enums=inputs.header,
        classes=f"extern const char *const {prefix}classes[{count}];\n" if count else "",
        decide=_declared_decision(source, prefix),
    )  # fmt: skip
    return "".join(parts), declared, flash, ram


def _with_inputs(
    source: Source, ops: list[Op], name: str, *, int8: bool
) -> tuple[Inputs, list[Op]]:
    """Put in front of the network what makes its inputs of a row."""
    shape = source.network.input_shape
    count = int(np.prod(shape))
    if isinstance(source.inputs, Preprocessor):
        return c_inputs.of_table(source.inputs, name), ops
    if isinstance(source.inputs, RowInputs):
        return c_inputs.of_rows(source.inputs, shape), ops
    slope, shift = 1 / source.inputs.deviation, -source.inputs.mean / source.inputs.deviation
    first = ops[0]
    if not int8 and first.kind in ("dense", "conv"):
        # Of one channel, or not an image any more: the first weights take the scaling in, and
        # what is 0 in a picture need not be read.
        w, b = first.arrays["w"], first.arrays["b"]
        axes = tuple(range(w.ndim - 1))
        arrays = {"w": w * slope[0], "b": b + shift[0] * w.sum(axis=axes)}
        return Inputs(count), [replace(first, arrays=arrays), *ops[1:]]
    if first.kind == "input":
        return Inputs(count), [replace(first, arrays={"w": slope, "b": shift}), *ops[1:]]
    scaled = Op("input", shape, shape, -1, {"w": slope, "b": shift}, said="standardised")
    return Inputs(count), [scaled, *ops]


def _with_targets(source: Source, ops: list[Op], steps: int) -> list[Op]:
    """Bring a regression's scores to the targets' units."""
    mean, scale = source.mean, source.scale
    if not len(mean):
        return ops
    last = ops[-1]
    if last.kind == "dense" and last.activation is None:
        arrays = {"w": last.arrays["w"] * scale, "b": last.arrays["b"] * scale + mean}
        return [*ops[:-1], replace(last, arrays=arrays)]
    shape = source.network.output_shape
    arrays = {"w": np.broadcast_to(scale, shape), "b": np.broadcast_to(mean, shape)}
    return [*ops, Op("affine", shape, shape, steps, arrays, said="in the targets' units")]


def _function_names(ops: Sequence[Op]) -> list[str]:
    """Name the functions: conv1, conv2, dense1, ..."""
    names, counts = [], dict.fromkeys((op.kind for op in ops), 0)
    for op in ops:
        counts[op.kind] += 1
        names.append(f"{op.kind}{counts[op.kind]}")
    return names


def _constants(op: Op, kinds: Kinds) -> int:
    """Bytes of an op's arrays."""
    numbers = sum(a.size for a in op.arrays.values() if a.ndim)
    if kinds.weights is None:
        return 4 * numbers
    return numbers + 3 * op.arrays["b"].size + 4 * kinds.weights.size


def _calls(ops: list[Op], names: list[str], kinds: list[Kinds], x: str) -> tuple[int, str]:
    """Place what is between the ops at alternating ends of one buffer; give its bytes, the calls.

    The buffer holds the largest pair of neighbours, no more.
    """
    spans, ends = [0], [False]  # bytes of what each op reads from the buffer; at which end it is
    for place, (op, kind) in enumerate(zip(ops, kinds, strict=True)):
        last = place == len(ops) - 1
        size = 0 if last else op.size_out * (4 if kind.made is None else 1)
        spans.append(-(-size // _ALIGNED) * _ALIGNED)
        ends.append(ends[-1] if op.in_place and place else not ends[-1])
    size = max(
        spans[place + 1] if op.in_place and 0 < place < len(ops) - 1
        else spans[place] + spans[place + 1]
        for place, op in enumerate(ops)
    )  # fmt: skip
    unit = 4 if kinds[0].made is None else 1
    places = [
        f"buffer + {(size - span) // unit}" if end and size > span else "buffer"
        for span, end in zip(spans, ends, strict=True)
    ]
    places[0], places[-1] = x, "out"
    lines = [
        f"    {name}({places[place]}, {places[place + 1]});\n" for place, name in enumerate(names)
    ]
    return size, "".join(lines)


_HEAD = """
/* $what
 *
 * Written by handgrad $version in $precision; C99, nothing is allocated.
 * Flash: $flash bytes of constants, and the code. RAM: $ram bytes of static buffers, and
 * less than 1 kB of stack. Not reentrant: one call at a time.
 *
 *     cc -std=c99 -O3 -c $stem.c
 *
 * and link with -lm.
 */

"""
# At -O3 GCC unrolls the loops around a tile's sums until those no longer fit the registers, and
# with -std=c99 it would not join a product and a sum, as -std=gnu99 does.
_PRAGMA = """
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#pragma GCC optimize("O2", "tree-vectorize", "fp-contract=fast")
#endif
"""
# One file for every processor: GCC makes a function for AVX2's vectors beside the plain one, and
# the loader chooses. Where vectors are wide already, or cannot be chosen, there is one.
_LEVELS = """
#include <stdint.h>
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__AVX2__) && !defined(__clang__) \\
    && __GNUC__ >= 12 && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MANY_LEVELS
#define LEVELS __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define LEVELS
#endif
"""
_HEADER = """
/* $what; written by handgrad $version. See $stem.c. */
#ifndef ${NAME}_H
#define ${NAME}_H

#ifdef __cplusplus
extern "C" {
#endif

#define ${NAME}_INPUTS $inputs
#define ${NAME}_OUTPUTS $outputs

$enums/* x: $order
 * out: $meaning */
void ${prefix}predict(const float *x, float *out);
$decide$classes
#ifdef __cplusplus
}
#endif

#endif
"""


def _said(source: Source) -> str:
    network = source.network
    shape = " x ".join(map(str, network.input_shape))
    count = sum(array.size for array in network.params.values())
    return f"A network of {shape} to {network.output_shape[0]} numbers, {count:,} parameters"


def _order(source: Source) -> str:
    """What x is."""
    if isinstance(source.inputs, Preprocessor):
        return "a number for each column of the table"
    given = source.inputs.shape if isinstance(source.inputs, RowInputs) else None
    shape = given or source.network.input_shape
    count = int(np.prod(shape))
    if len(shape) == 1:
        return f"{count} numbers, as the model takes them"
    order = f"an image, {' x '.join(map(str, shape))} numbers as they lie in memory"
    if isinstance(source.inputs, ImagePreprocessor):
        order = f"{order} (channel by channel, row by row), levels from 0 to 255"
    return order


def _meaning(source: Source) -> str:
    """What out is."""
    if source.task == "regress":
        return "the predictions" + (", in the targets' units" if len(source.mean) else "")
    if source.task == "multilabel":
        return "a score for each label, above 0 where it holds"
    if source.network.output_shape == (1,):
        return "one score: class 1 where it is above 0, else class 0"
    return "a score for each class; the largest one's is predicted"


def _declared_decision(source: Source, prefix: str) -> str:
    if source.task != "classify":
        return ""
    return (
        f"\n/* The class that predict's out stands for. */\nint {prefix}decide(const float *out);\n"
    )


def _decision(source: Source, prefix: str) -> str:
    """Write what makes a class of scores."""
    if source.task != "classify":
        return ""
    if source.network.output_shape == (1,):
        return f"\nint {prefix}decide(const float *out)\n{{\n    return out[0] > 0.0f;\n}}\n"
    text = """

int ${prefix}decide(const float *out)
{
    int best = 0;
    for (int c = 1; c < $outputs; c++)
        best = out[c] > out[best] ? c : best;
    return best;
}
"""
    return "\n" + fill(text, prefix=prefix, outputs=source.network.output_shape[0])

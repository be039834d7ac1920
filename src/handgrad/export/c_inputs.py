"""What stands before the network in a C file: a table's columns or pixels to what it takes."""

from dataclasses import dataclass

import numpy as np

from handgrad.arrays import Array
from handgrad.descriptions_base import Shape
from handgrad.errors import ExportError
from handgrad.export import c_text
from handgrad.export.c_text import fill, identifier, number
from handgrad.export.source import RowInputs
from handgrad.tables import Preprocessor
from handgrad.tables.encoders import MOST_DEVIATIONS, CategoryEncoder, DateEncoder, NumberEncoder

_STANDARDISED = """
/* A number less its centre, over its scale; the median where it is missing. */
static float standardised(float x, double median, double centre, double scale)
{
    const double z = ((isfinite(x) ? (double)x : median) - centre) / scale;
    return (float)(z < -$most ? -$most : z > $most ? $most : z);
}
"""
_ONE_HOT = """
/* 1 in the place of the category x, less the shares; all 0 where it has no place. */
static void one_hot(float x, int named, int unknown, int missing, int width, const float *shares,
                    float *y)
{
    const int place = !(x == x) ? missing : x >= 0.0f && x < (float)named ? (int)x : unknown;
    for (int i = 0; i < width; i++)
        y[i] = place < 0 ? 0.0f : (i == place ? 1.0f : 0.0f) - shares[i];
}
"""


@dataclass(frozen=True)
class Inputs:
    """What a file has for its inputs.

    Attributes
    ----------
    count : int
        Numbers that ``predict`` reads.
    source : str
        Functions and arrays; with a function ``prepare(x, y)``, or empty where x is the network's.
    header : str
        Enumerations of columns and categories.
    features : int
        What ``prepare`` writes.
    constants : int
        Bytes of the arrays.
    """

    count: int
    source: str = ""
    header: str = ""
    features: int = 0
    constants: int = 0


def of_rows(rows: RowInputs, shape: Shape) -> Inputs:
    """Write the scaling of rows or images, and how an image lies in x; nothing where x is right.

    Parameters
    ----------
    rows : RowInputs
    shape : tuple of int
        The network's input.
    """
    count = int(np.prod(shape))
    last = rows.layout == "HWC" and shape[0] > 1
    if rows.centre is None and not last:
        return Inputs(count)
    text = """
static void prepare(const float *restrict x, float *restrict y)
{
    for (int i = 0; i < $count; i++) {
        const float z = $z;
        y[$place] = $bounded;
    }
}
"""
    channels = shape[0] if len(shape) == 3 else 1
    pixels = count // channels
    z, source = "x[i]", ""
    if rows.centre is not None and rows.deviation is not None:
        centre, deviation = rows.centre.reshape(-1), rows.deviation.reshape(-1)
        index = "i" if centre.size == count else f"i % {channels}" if last else f"i / {pixels}"
        z = f"(float)(((double)x[i] - centre[{index}]) / deviation[{index}])"
        source = c_text.array("centre", "double", centre)
        source += c_text.array("deviation", "double", deviation)
    bounded = f"z / sqrtf(1.0f + z * z / {number(rows.far**2)})" if rows.far and source else "z"
    place = f"i % {channels} * {pixels} + i / {channels}" if last else "i"
    source += fill(text, count=count, z=z, place=place, bounded=bounded)
    constants = 16 * centre.size if z != "x[i]" else 0
    return Inputs(count, source, "", count, constants)


def of_table(preprocessor: Preprocessor, prefix: str) -> Inputs:
    """Write a table's preprocessing: a number a column, NAN where it is missing.

    Raises
    ------
    ExportError
        For a column of dates.
    """
    arrays, lines, enums, constants = [], [], [], 0
    capital = prefix.upper()
    columns = _names(preprocessor.names, f"{capital}")
    place = 0
    for column, encoder in enumerate(preprocessor.encoders):
        if isinstance(encoder, DateEncoder):
            raise ExportError(
                f"cannot write column {encoder.name!r} as C: it holds dates; train without it "
                "(--drop), or make numbers of it in the table"
            )
        said = f"    /* {c_text.comment(encoder.name)} */\n"
        if isinstance(encoder, NumberEncoder):
            lines.append(said + _number(encoder, column, place))
        else:
            enums.append(_enum(encoder, columns[column]))
            array, size = _category_arrays(encoder, column)
            arrays.append(array)
            constants += 4 * size
            lines.append(said + _category(encoder, column, place))
        place += len(encoder.features)
    functions = fill(_STANDARDISED, most=MOST_DEVIATIONS)
    scaled = any(
        isinstance(e, NumberEncoder) and e.scaling.scale != 0 for e in preprocessor.encoders
    )
    functions = functions if scaled else ""
    if any(isinstance(e, CategoryEncoder) and e.shares for e in preprocessor.encoders):
        functions += fill(_ONE_HOT)
    body = "".join(lines)
    source = "".join(arrays) + functions
    source += f"\nstatic void prepare(const float *restrict x, float *restrict y)\n{{\n{body}}}\n"
    listed = "".join(f"    {name}, /* {c_text.comment(text)} */\n"
                     for name, text in zip(columns, preprocessor.names, strict=True))  # fmt: skip
    header = f"/* The columns: x[{columns[0]}] and so on; a missing value is NAN. */\n"
    header += f"enum {{\n{listed}}};\n" + "".join(enums)
    return Inputs(len(columns), source, header, place, constants)


def _names(texts: tuple[str, ...], prefix: str) -> list[str]:
    """Give each text a different name for C."""
    made: list[str] = []
    for text in texts:
        name = wanted = f"{prefix}_{identifier(text, '').upper()}".replace("__", "_")
        again = 2
        while name in made:
            name, again = f"{wanted}_{again}", again + 1
        made.append(name)
    return made


def _number(encoder: NumberEncoder, column: int, place: int) -> str:
    scale = encoder.scaling
    value = "0.0f"
    if scale.scale != 0:
        own = ", ".join(repr(float(n)) for n in (scale.median, scale.center, scale.scale))
        value = f"standardised(x[{column}], {own})"
    text = f"    y[{place}] = {value};\n"
    if encoder.indicator:
        text += f"    y[{place + 1}] = isfinite(x[{column}]) ? 0.0f : 1.0f;\n"
    return text


def _enum(encoder: CategoryEncoder, column: str) -> str:
    values = _values(encoder)
    names = _names((*values, "(other)"), column)
    listed = "".join(
        f"    {name} = {index}, /* {c_text.comment(value)} */\n"
        for index, (name, value) in enumerate(zip(names, (*values, "any other"), strict=True))
    )
    return f"/* Of {c_text.comment(encoder.name)}: */\nenum {{\n{listed}}};\n"


def _values(encoder: CategoryEncoder) -> tuple[str, ...]:
    """The values that have a number: those with a feature, then those that are only counted."""
    return (*encoder.values, *(v for v in encoder.frequencies if v not in set(encoder.values)))


def _category_arrays(encoder: CategoryEncoder, column: int) -> tuple[str, int]:
    shares = np.array(encoder.shares)
    text = c_text.array(f"shares{column}", "float", shares) if shares.size else ""
    if not encoder.frequencies:
        return text, shares.size
    counts = [encoder.frequencies.get(value, 0) for value in _values(encoder)]
    logs: Array = encoder.log_scale.apply(np.log1p([*counts, 0.0]))
    return text + c_text.array(f"frequencies{column}", "float", logs), shares.size + logs.size


def _category(encoder: CategoryEncoder, column: int, place: int) -> str:
    named, width = len(encoder.values), len(encoder.shares)
    unknown = named if encoder.other else -1
    missing = named + encoder.other if encoder.missing else unknown
    text = ""
    if width:
        text = (
            f"    one_hot(x[{column}], {named}, {unknown}, {missing}, {width}, shares{column}, "
            f"y + {place});\n"
        )
    if encoder.frequencies:
        known = len(_values(encoder))
        text += (
            f"    y[{place + width}] = frequencies{column}[x[{column}] >= 0.0f && "
            f"x[{column}] < {known}.0f ? (int)x[{column}] : {known}];\n"
        )
    return text

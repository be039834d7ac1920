"""Cut a stream of delimited text into blocks of whole records, and count their cells.

pandas fills rows that are too short in silence and counts no lines: both are done here, by
vectors over the bytes, before a block is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError

BLOCK_BYTES = 1 << 23
_LONGEST = 1 << 27  # bytes of one record: a quote that is never closed is found before memory ends
_NEWLINE, _RETURN, _QUOTE, _SPACE, _TAB = b'\n\r" \t'
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Whole records, one after the other, each with its line break.

    Attributes
    ----------
    content : bytes
        UTF-8, lines ended by line feeds; no blank lines.
    starts : int64 array (records + 1,)
        Where each record begins in it, and where the last ends.
    lines : int64 array (records,)
        The line of the file on which each begins, counted from 1.
    cells : int64 array (records,)
        How many cells each has.
    regular : bool
        False where a quote stands inside a cell that is not quoted: the other fields mean nothing
        then, and ``content`` is the rest of what was read, blank lines and all.
    """

    content: bytes
    starts: Offsets
    lines: Offsets
    cells: Offsets
    regular: bool = True


def blocks(stream: BinaryIO, delimiter: str, path: Path) -> Iterator[Block]:
    """Cut a stream into blocks; after one that is not regular the reader takes the rest itself.

    Raises
    ------
    DataError
        If a quote is never closed.
    """
    carry, line, last = b"", 1, False
    while not last:
        read = stream.read(BLOCK_BYTES)
        last = not read
        data = (carry + read).replace(b"\r\n", b"\n")
        if not last and data.endswith(b"\r"):
            data, held = data[:-1], b"\r"  # its line feed may come next
        else:
            held = b""
        if b"\r" in data and b"\n" not in data:
            data = data.replace(b"\r", b"\n")  # lines as Macs once ended them
        if last and data and not data.endswith(b"\n"):
            data += b"\n"
        block = _scan(data, delimiter, line)
        if not block.regular:
            yield replace(block, content=data + held)
            return
        end = int(block.starts[-1])
        if (last and end < len(data)) or len(data) - end > _LONGEST:
            begun = line + data[:end].count(b"\n")
            raise DataError(f"{path}: row {begun} opens a quote that is never closed")
        line += data[:end].count(b"\n")
        carry = data[end:] + held
        block = _without_blank_lines(block)
        if len(block.lines):
            yield block


def _scan(data: bytes, delimiter: str, line: int) -> Block:
    """Find the records of some bytes that begin with one; what follows the last is left over."""
    text = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    breaks = np.flatnonzero(text == _NEWLINE)
    delimiters = np.flatnonzero(text == ord(delimiter))
    lines = np.arange(line, line + len(breaks) + 1)  # of what begins after each line break
    ends = breaks
    if len(quotes):
        if not _quotes_enclose(text, quotes, delimiter):
            nothing = np.zeros(0, np.int64)
            return Block(data, nothing, np.array([line]), nothing, regular=False)
        outside = np.searchsorted(quotes, breaks) % 2 == 0
        ends = breaks[outside]
        lines = np.concatenate([lines[:1], lines[1:][outside]])
        delimiters = delimiters[np.searchsorted(quotes, delimiters) % 2 == 0]
    starts = np.concatenate([[0], ends + 1])
    cells = np.diff(np.searchsorted(delimiters, starts)) + 1
    return Block(data, starts, lines[: len(ends)], cells)


def _quotes_enclose(text: npt.NDArray[np.uint8], quotes: Offsets, delimiter: str) -> bool:
    """Tell whether every quote opens a cell, closes one, or is one of two inside a cell."""
    padded = np.concatenate([[_NEWLINE], text, [_NEWLINE]])
    around = (ord(delimiter), _NEWLINE, _QUOTE)
    opening, closing = quotes[0::2], quotes[1::2]
    before, after = padded[opening], padded[closing + 2]
    if np.isin(before, (_SPACE, _TAB)).any():  # `a, "b"`: rare enough for the slow reader
        return False
    return bool(np.isin(before, around).all() and np.isin(after, around).all())


def _without_blank_lines(block: Block) -> Block:
    """Leave out what stands between two line breaks and is nothing, or blanks."""
    starts = block.starts
    sizes = np.diff(starts)
    blank = sizes == 1
    if (block.cells == 1).any():
        text = np.frombuffer(block.content, np.uint8)
        printed = np.flatnonzero(text > _SPACE)
        blank |= (block.cells == 1) & (np.diff(np.searchsorted(printed, starts)) == 0)
    if not blank.any():
        return Block(block.content[: starts[-1]], starts, block.lines, block.cells)
    kept = np.flatnonzero(~blank)
    content = b"".join([block.content[starts[i] : starts[i + 1]] for i in kept])
    ends = np.concatenate([[0], np.cumsum(sizes[kept])])
    return Block(content, ends, block.lines[kept], block.cells[kept])

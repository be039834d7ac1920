"""Arrays to small PNG pictures in base64, for records: images, weights, feature maps."""

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from handgrad.arrays import Array

# Below zero blue, zero white, above zero orange: told apart also by colour-blind readers.
_BELOW, _ZERO, _ABOVE = (33, 90, 168), (255, 255, 255), (190, 80, 10)
_GAP = 1  # pixels between tiles, transparent


@dataclass(frozen=True)
class Sheet:
    """Several pictures on one, side by side, in rows of ``columns``.

    ``low`` and ``high`` are the numbers that the ends of the colour scale stand for; ``png`` is a
    PNG file in base64, ``width`` and ``height`` its pixels.
    """

    title: str
    caption: str
    tiles: int
    columns: int
    low: float
    high: float
    width: int
    height: int
    png: str


def png(pixels: Array, palette: Array | None = None) -> str:
    """Encode uint8 pixels as a PNG file, in base64.

    Parameters
    ----------
    pixels : uint8 array (H, W) grey or palette indices, (H, W, 3) RGB, (H, W, 4) with alpha
    palette : uint8 array (256, 3), optional
        Colours of the indices; index 0 is then transparent.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise ValueError(f"png: pixels must be uint8 (H, W[, 3 or 4]); got {pixels.dtype}")
    kind = {2: 0 if palette is None else 3}.get(pixels.ndim) if pixels.ndim == 2 else None
    if kind is None:
        kind = {3: 2, 4: 6}[pixels.shape[2]]
    height, width = pixels.shape[:2]
    lines = pixels.reshape(height, -1)
    # Each line is preceded by its filter: 0, none.
    raw = np.concatenate([np.zeros((height, 1), np.uint8), lines], axis=1).tobytes()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if palette is not None:
        parts += [(b"PLTE", palette.astype(np.uint8).tobytes()), (b"tRNS", b"\0")]
    parts += [(b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n"
    for name, content in parts:
        file += struct.pack(">I", len(content)) + name + content
        file += struct.pack(">I", zlib.crc32(name + content))
    return base64.b64encode(file).decode("ascii")


def image(pixels: Array) -> str:
    """Encode one image, uint8 (C, H, W) with one or three channels."""
    return png(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)))


def signed(tiles: Array, title: str, caption: str, columns: int) -> Sheet:
    """Draw numbers around zero: blue below, white at, orange above it, all tiles on one scale.

    ``tiles`` is (n, H, W).
    """
    largest = float(np.abs(tiles).max()) or 1.0
    share = np.linspace(-1, 1, 255)[:, None]
    ends = np.where(share < 0, np.array(_BELOW), np.array(_ABOVE))
    colours = np.array(_ZERO) + np.abs(share) * (ends - np.array(_ZERO))
    palette = np.concatenate([np.zeros((1, 3)), colours]).round().astype(np.uint8)
    indices = (1 + (tiles / largest + 1) * 127).round().astype(np.uint8)
    return _sheet(indices, palette, title, caption, columns, -largest, largest)


def positive(tiles: Array, title: str, caption: str, columns: int) -> Sheet:
    """Draw numbers from the smallest (black) to the largest (white), all tiles on one scale."""
    low, high = float(tiles.min()), float(tiles.max())
    grey = np.concatenate([[0], np.linspace(0, 255, 255)]).round().astype(np.uint8)
    palette = np.repeat(grey[:, None], 3, axis=1)
    indices = (1 + (tiles - low) / ((high - low) or 1.0) * 254).round().astype(np.uint8)
    return _sheet(indices, palette, title, caption, columns, low, high)


def coloured(tiles: Array, title: str, caption: str, columns: int) -> Sheet:
    """Draw (n, 3, H, W) numbers around zero as colours: zero is middle grey, on one scale."""
    largest = float(np.abs(tiles).max()) or 1.0
    levels = (127.5 * (1 + tiles / largest)).round().astype(np.uint8).transpose(0, 2, 3, 1)
    opaque = np.full((*levels.shape[:3], 1), 255, np.uint8)
    pixels = np.concatenate([levels, opaque], axis=3)
    return _sheet(pixels, None, title, caption, columns, -largest, largest)


def _sheet(
    tiles: Array,
    palette: Array | None,
    title: str,
    caption: str,
    columns: int,
    low: float,
    high: float,
) -> Sheet:
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP)
    pixels = np.zeros((*size, *tiles.shape[3:]), np.uint8)
    for position, tile in enumerate(tiles):
        top = position // columns * (height + _GAP)
        left = position % columns * (width + _GAP)
        pixels[top : top + height, left : left + width] = tile
    return Sheet(title, caption, count, columns, low, high, size[1], size[0], png(pixels, palette))

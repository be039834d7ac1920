"""One picture's file, by Pillow: how large it is without decoding it, and its pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from handgrad.errors import DataError, need
from handgrad.images.pixels import Pixels, Size, from_16_bits

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

# What is read, by Pillow's names of the formats; JPEG opens the MPO of some telephones, too.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
READ = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ]
)
# Pictures all the same: one that is not read is named, not passed over in silence.
UNREAD = frozenset([".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".dng"])

_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF 2.3, table 4: these swap height and width
_GREY = ("1", "L", "LA", "La", "I", "F")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


class Look(NamedTuple):
    """What a picture's header says: its height and width as it is seen, and if it is grey."""

    size: Size
    grey: bool


def need_pillow() -> None:
    """Raise MissingExtraError where there is no Pillow."""
    need("PIL", "images", "reading pictures")


def look(path: Path) -> Look:
    """Read a picture's header.

    Raises
    ------
    DataError
        Naming the file, when it does not decode.
    """
    return _opened(path, lambda picture: Look(_size(picture), _is_grey(picture)))


def read_picture(path: Path, resize: Size | None = None) -> Pixels:
    """Decode a picture, turned as its EXIF orientation says, over white, in 8 bits.

    Parameters
    ----------
    path : Path
    resize : (height, width), optional
        Stretch it to this size.

    Returns
    -------
    uint8 array (C, H, W)
        C is 1 where the picture is stored in greys, else 3.

    Raises
    ------
    DataError
        Naming the file, when it does not decode.
    """
    return _opened(path, lambda picture: _pixels(picture, resize))


def resized(X: Pixels, size: Size) -> Pixels:
    """Stretch pictures, (N, C, H, W), to another (height, width); bilinear, antialiased."""
    if X.shape[2:] == size:
        return X
    need_pillow()
    from PIL import Image

    out = np.empty((*X.shape[:2], *size), np.uint8)
    for row, channels in enumerate(X):
        for channel, pixels in enumerate(channels):
            picture = Image.fromarray(np.ascontiguousarray(pixels))
            out[row, channel] = np.asarray(_stretched(picture, size))
    return out


def _opened(path: Path, take: Callable[[Image], T]) -> T:
    """Open a picture and take something of it; whatever goes wrong there is a DataError."""
    need_pillow()
    from PIL import Image, UnidentifiedImageError

    if path.suffix.lower() in UNREAD:
        raise _bad(path, "a format that is not read; convert it to PNG or JPEG")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata: the pixels are what counts
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Of a path Pillow 13 maps an uncompressed TIFF, and scrambles one that is to be turned.
            with path.open("rb") as file, Image.open(file, formats=_FORMATS) as picture:
                return take(picture)
    except MemoryError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _bad(path, "more than 89 million pixels") from None
    except UnidentifiedImageError:
        raise _bad(path, "no PNG, JPEG, GIF, BMP, TIFF, WebP or PPM") from None
    except OSError as error:
        raise _bad(path, os.strerror(error.errno) if error.errno else str(error)) from None
    except Exception as error:  # damaged files make a decoder raise nearly anything
        raise _bad(path, str(error) or type(error).__name__) from None


def _bad(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} does not decode as a picture ({' '.join(reason.split())}); "
        "replace it, or leave such files out with skip_bad (--skip-bad)"
    )


def _size(picture: Image) -> Size:
    """Give the height and width after EXIF's turn."""
    if picture.format == "TIFF":  # which Pillow turns itself, when it decodes it
        picture.load()
        return picture.height, picture.width
    width, height = picture.size
    # For a PNG without this entry in front of its pixels, getexif would decode them.
    if picture.format == "PNG" and "exif" not in picture.info:
        return height, width
    turned = picture.getexif().get(_ORIENTATION) in _TURNED
    return (width, height) if turned else (height, width)


def _is_grey(picture: Image) -> bool:
    if picture.mode not in ("P", "PA"):
        return picture.mode in _GREY or picture.mode.startswith("I;")
    colours = picture.getpalette("RGB") or []
    return colours[0::3] == colours[1::3] == colours[2::3]


def _pixels(picture: Image, resize: Size | None) -> Pixels:
    from PIL import Image, ImageOps

    picture.load()
    upright = ImageOps.exif_transpose(picture)
    mode = "L" if _is_grey(upright) else "RGB"
    if upright.mode == "F":
        raise DataError("its pixels are floats, of which nobody knows what is white")
    if upright.mode == "I" or upright.mode.startswith("I;"):
        values = np.asarray(upright)
        if values.min() < 0 or values.max() > 65535:
            raise DataError("its pixels have more than 16 bits")
        upright = Image.fromarray(from_16_bits(values))
    elif upright.mode in _ALPHA or "transparency" in upright.info:
        seen = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    plain = upright.convert(mode)
    if resize is not None:
        plain = _stretched(plain, resize)
    pixels = np.asarray(plain)
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _stretched(picture: Image, size: Size) -> Image:
    from PIL import Image

    return picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)

#!/usr/bin/env bash
# Pillow 13.0.0 (Python 3.11): an uncompressed TIFF whose Orientation tag says that rows and columns
# change places (5 to 8) is read as other pixels when Image.open is given its path than when it is
# given the same bytes as a stream. From a path the file is mapped into memory in the size that the
# turned picture will have, so that each row begins at a wrong pixel, and then turned: the result has
# the untouched picture's shape and a scrambled order, and its size changes on load. No warning; the
# Orientation tag is gone, so that ImageOps.exif_transpose changes nothing. With orientations 1 to 4,
# or any compression, both ways agree.
#
# Whoever reads a folder of scans by path trains on scrambled pictures.
#
# Seen (a picture of 4 rows of 6, orientation 6):
#   stream: 6 rows of 4, first row 180 120 60 0     (right: the first column, from below)
#   path:   4 rows of 6, first row 200 160 120 80 40 0; size (4, 6) when opened, (6, 4) once loaded
#
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "pillow==13.0.0" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

pixels = 10 * np.arange(24, dtype=np.uint8).reshape(4, 6)
agree = {}
for compression in (None, "tiff_lzw"):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save("scan.tif", exif=exif, compression=compression)
        by_path = np.asarray(Image.open("scan.tif"))
        by_stream = np.asarray(Image.open(io.BytesIO(Path("scan.tif").read_bytes())))
        agree[compression, orientation] = np.array_equal(by_path, by_stream)
        if compression is None and orientation == 6:
            right = np.array_equal(by_stream, np.rot90(pixels, -1))
            print("stream:", by_stream.shape, by_stream[0], "right" if right else "wrong")
            print("path:  ", by_path.shape, by_path[0])
differ = [key for key, same in agree.items() if not same]
print("differ:", differ)
sys.exit(not (right and differ == [(None, orientation) for orientation in (5, 6, 7, 8)]))
PYTHON

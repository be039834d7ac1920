#!/usr/bin/env bash
# WeasyPrint 70.0 (Python 3.11): a CSS grid that has an image as its item and meets the end of a
# page raises AssertionError, without a message, from layout/grid.py; no PDF is written.
#
# A formula drawn as a picture with its number beside it is such a grid, and whether it meets the
# end of a page depends on all the text before it: a document prints until a word is added.
# Avoiding a break inside the grid, a block in place of the grid, or words in place of the picture
# print the same page.
#
# Seen:
#   pictures, in the middle of a page       printed
#   pictures, at the end of a page          AssertionError
#   the same, break-inside: avoid           printed
#   the same, as blocks                     printed
#   words, at the end of a page             printed
#
# Needs the system's Pango, as WeasyPrint does. Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "weasyprint==70.0"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import base64
import sys

from weasyprint import HTML

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 20"><rect width="100" height="20"/></svg>'
PICTURE = (
    '<img style="width: 5em; height: 1em" '
    f'src="data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}">'
)
GRID = "div { display: grid; grid-template-columns: minmax(0, 1fr) auto }"


def printed(style, item, before):
    rows = f"<div>{item}<span>(1)</span></div>" * 3
    page = f"<style>{style}</style><p style='height: {before}'>text</p>{rows}"
    try:
        HTML(string=page).write_pdf()
    except AssertionError:
        return "AssertionError"
    return "printed"


seen = {
    "pictures, in the middle of a page": printed(GRID, PICTURE, "10cm"),
    "pictures, at the end of a page": printed(GRID, PICTURE, "24cm"),
    "the same, break-inside: avoid": printed(GRID + "div { break-inside: avoid }", PICTURE, "24cm"),
    "the same, as blocks": printed("div { display: block }", PICTURE, "24cm"),
    "words, at the end of a page": printed(GRID, "<b>words</b>", "24cm"),
}
for name, result in seen.items():
    print(f"{name:38s} {result}")
expected = ["printed", "AssertionError", "printed", "printed", "printed"]
sys.exit(0 if list(seen.values()) == expected else 1)
PYTHON

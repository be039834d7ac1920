#!/usr/bin/env bash
# ziamath 0.13 (Python 3.11): the double bars of a norm, U+2016, become some fifty times as tall
# as their formula once they stand in a root together with a sum sign.
#
# latex2mathml 3.81 writes \Vert as <mi>, which by MathML is an identifier and does not stretch.
# ziamath draws it as a stretchy fence all the same; within <msqrt>, next to a sum with its index
# below, the assembly of the glyph overshoots. The same bars without the sum, or the same formula
# in brackets instead of a root, have their usual size, and so have bars written as
# <mo stretchy="false">.
#
# Seen (heights in em of the font):
#   root of a sum of squared norms       99.69
#   the same, in brackets                 3.12
#   root of a norm, no sum                1.95
#   root of a sum, no norm                2.47
#   bars as <mo stretchy="false">         2.54
#
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  "ziamath==0.13" "latex2mathml==3.81.1"
"$folder/venv/bin/python" - <<'PYTHON'
import re
import sys

from latex2mathml.converter import convert
from ziamath.zmath import Math

SIZE = 20


def height(mathml):
    view = re.search(r'viewBox="\S+ \S+ \S+ (\S+)"', Math(mathml, size=SIZE).svg())
    return float(view[1]) / SIZE


def latex(text):
    return convert(text, display="block")


norms = latex(r"\sqrt{\sum_j \Vert X_j - \mu \Vert^2 + \epsilon}")
seen = {
    "root of a sum of squared norms": norms,
    "the same, in brackets": latex(
        r"\Bigl( \sum_j \Vert X_j - \mu \Vert^2 + \epsilon \Bigr)^{1/2}"
    ),
    "root of a norm, no sum": latex(r"\sqrt{\Vert X \Vert^2 + \epsilon}"),
    "root of a sum, no norm": latex(r"\sqrt{\sum_j X_j}"),
    'bars as <mo stretchy="false">': norms.replace(
        "<mi>&#x02016;</mi>", '<mo stretchy="false">&#x02016;</mo>'
    ),
}
heights = {name: height(mathml) for name, mathml in seen.items()}
for name, value in heights.items():
    print(f"{name:34s} {value:7.2f}")
tall, *others = heights.values()
sys.exit(0 if tall > 50 and max(others) < 4 else 1)
PYTHON

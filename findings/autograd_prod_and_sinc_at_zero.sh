#!/usr/bin/env bash
# autograd 1.9.1 (HIPS; NumPy 2.4.6, Python 3.11): gradients of two functions that are smooth at
# zero come out as NaN there, with no more than a RuntimeWarning.
#
# np.prod is a polynomial of its entries, but its gradient is computed as prod / x: where one entry
# is 0, the gradient with respect to it is 0 / 0. The same product written as x[0] * x[1] * x[2] is
# right. np.sinc has the slope 0 at 0 and its quotient is taken as it stands.
#
# Seen:
#   gradient of np.prod at (0, 2, 3)          (nan, 0, 0), right (6, 0, 0)
#   gradient of x[0] * x[1] * x[2] there      (6, 0, 0)
#   slope of np.sinc at 0                     nan, right 0
#   slope of np.sinc at 1e-3                  -0.00329
#
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  "autograd==1.9.1" "numpy==2.4.6"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys

import autograd.numpy as np
from autograd import grad

x = np.array([0.0, 2.0, 3.0])
product = grad(np.prod)(x)
written_out = grad(lambda v: v[0] * v[1] * v[2])(x)
slope, near = grad(np.sinc)(0.0), grad(np.sinc)(1e-3)
print("np.prod", product, "written out", written_out)
print("np.sinc at 0", slope, "at 1e-3", near)
seen = (
    math.isnan(product[0])
    and product[1:].tolist() == [0, 0]
    and written_out.tolist() == [6, 0, 0]
    and math.isnan(slope)
    and abs(near + math.pi**2 / 3 * 1e-3) < 1e-5
)
sys.exit(0 if seen else 1)
PYTHON

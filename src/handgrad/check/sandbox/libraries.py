"""Libraries that a submission imports and that are imported once, not again in each case.

A notebook that draws curves imports matplotlib, which takes a second, and there are two hundred
cases. Only well-known libraries: what importing them does is known.
"""

import re
from collections.abc import Iterable

KNOWN = (
    "matplotlib", "scipy", "pandas", "sklearn", "seaborn", "PIL", "tqdm", "sympy", "h5py",
    "skimage", "cv2", "torch", "IPython",
)  # fmt: skip
OPTIONAL = "?"  # in front of a module's name: it need not be there

_NAMES = "|".join(KNOWN)
_PLAIN = re.compile(rf"import\s+((?:{_NAMES})\b[\w.]*)")
_FROM = re.compile(rf"from\s+((?:{_NAMES})\b[\w.]*)\s+import\s+([\w, ]+)")


def libraries_of(sources: Iterable[bytes]) -> list[str]:
    r"""Give the modules of known libraries that sources import; a few more do no harm.

    >>> libraries_of([b"import matplotlib.pyplot as plt\nfrom scipy import signal"])
    ['matplotlib.pyplot', 'scipy', 'scipy.signal']
    """
    found = set()
    for source in sources:
        text = source.decode("utf-8", "replace")
        found.update(_PLAIN.findall(text))
        for module, names in _FROM.findall(text):
            found |= {module, *(f"{module}.{name}" for name in re.findall(r"\w+", names))}
    return sorted(found)

"""Pages that run: one whose library is not installed is left out."""

import importlib.util

_NEEDS = {
    "estimators.md": "sklearn",
    "tables.md": "pandas",
    "images.md": "PIL",
    "export.md": "onnxruntime",
}
collect_ignore = [page for page, name in _NEEDS.items() if not importlib.util.find_spec(name)]

"""Pages that run: one whose library is not installed is left out."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("sklearn") else ["estimators.md"]

"""For all tests: hypothesis keeps its notes out of the tree, and they go with the process."""

import atexit
import tempfile

from hypothesis.configuration import set_hypothesis_home_dir

_notes = tempfile.TemporaryDirectory(prefix="handgrad-hypothesis-")
atexit.register(_notes.cleanup)
set_hypothesis_home_dir(_notes.name)

"""For all tests: hypothesis's notes go with the process, and the children of a file with it."""

import atexit
import tempfile

import children
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

_notes = tempfile.TemporaryDirectory(prefix="handgrad-hypothesis-")
atexit.register(_notes.cleanup)
set_hypothesis_home_dir(_notes.name)


@pytest.fixture(scope="module", autouse=True)
def no_child_is_left():
    """Fail the file that left a process, and not a later one that finds its garbage.

    A file, because its tests may share a child.
    """
    before = children.left()
    yield
    left = children.left() - before
    assert not left, f"left running, or not waited for: {[children.command(pid) for pid in left]}"

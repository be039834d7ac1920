"""What a release of NumPy changed: an exception that older releases did not raise, and its cure.

``numpy_changes.toml`` has a table a change:

release : the first release that raises it
error : the exception's type
text : a regular expression; what it captures stands for {0}, {1} in the texts below
what : what changed
cure : what to write instead
one_element : true where it was allowed for arrays of one element alone: for larger ones the same
    exception is a mistake under every release
example : code that raises it, for the tests
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Change:
    """One line of the table; the module's docstring says what its entries mean."""

    name: str
    release: str
    error: str
    text: re.Pattern[str]
    what: str
    cure: str
    one_element: bool
    example: str

    def said(self, error: Mapping[str, Any]) -> str:
        """What to say of an exception (``failures.described``); '' if it is another one."""
        if error.get("type") != self.error:
            return ""
        found = self.text.search(str(error.get("text", "")))
        if found is None or (self.one_element and error.get("one_element") is not True):
            return ""
        what, cure = (text.format(*found.groups()) for text in (self.what, self.cure))
        return f"NumPy {self.release} changed this: {what}; cure: {cure}"


@cache
def changes() -> tuple[Change, ...]:
    """Read the table."""
    text = (files(__package__) / "numpy_changes.toml").read_text(encoding="utf-8")
    return tuple(
        Change(
            name, entry["release"], entry["error"], re.compile(entry["text"], re.DOTALL),
            entry["what"], entry["cure"], entry.get("one_element", False), entry["example"],
        )
        for name, entry in tomllib.loads(text).items()
    )  # fmt: skip


def changed_by_numpy(error: Mapping[str, Any]) -> str:
    """Say which release of NumPy an exception comes from, and the cure; '' if from none."""
    return next((said for change in changes() if (said := change.said(error))), "")

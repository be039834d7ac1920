"""What a child process was held in and cut off from, and what it was not, in words."""

from collections.abc import Collection, Mapping
from typing import Any

_LIMITED = ("memory", "processor time", "file size")
_CUT_OFF = {
    "network": "network",
    "read-only": "writing outside its folder",
    "answers": "sight of handgrad's files",
}


class Containment:
    """What the child process says of its own limits, import after import."""

    def __init__(self) -> None:
        self._confined = True
        self._limits = set(_LIMITED)
        self._shared = False  # whether the cases share a process

    def note(self, reply: Mapping[str, Any]) -> None:
        """Take down what it says; anything may be in it."""
        self._confined = self._confined and reply.get("confined") is True
        limits = reply.get("limits")
        self._limits &= set(limits) if isinstance(limits, list) else set()
        self._shared = self._shared or reply.get("shared") is True

    def said(self, separated: Collection[str]) -> dict[str, str]:
        """Give the entries of a report's environment.

        separated : what the child was cut off from before the first case
        """
        cut_off = {text: name in separated for name, text in _CUT_OFF.items()}
        cut_off["other processes"] = self._confined
        kept_from = [f"no {name}" for name, done in cut_off.items() if done]
        limits = ["limits"] if self._limits else ["a limit of time"]
        found = {"containment": ", ".join([*limits, *kept_from])}
        lacking = [name for name in _LIMITED if name not in self._limits]
        lacking += [name for name, done in cut_off.items() if not done]
        lacking += ["one case from the next"] * self._shared
        if lacking:
            found["not contained"] = ", ".join(lacking)
        return found

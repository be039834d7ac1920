"""The main job: run the assignment's experiments, on where they were left, and record them."""

from handgrad.reproduce.job import Job, reproduce

__all__ = ["Job", "reproduce"]

"""What a search chooses from: hyperparameters, and lists of values for them."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

Params = dict[str, Any]
Space = Mapping[str, Sequence[Any]]


def combinations(space: Space) -> list[Params]:
    """List every combination of the values, the last name varying fastest."""
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]

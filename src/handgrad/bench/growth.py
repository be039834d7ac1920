"""How the cost of ConvNet's step grows with batch, image and channels: workloads made by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from handgrad.bench.workloads import Workload, conv_net

_BATCH, _SIDE, _FILTERS = 100, 28, 32
# Of an epoch, where two batches have no more: enough to be timed among idle threads.
_PIXELS = 1600 * 28**2


@dataclass(frozen=True)
class Axis:
    """One size that varies, the others as in the assignment's ConvNet."""

    label: str
    values: Sequence[int]
    position: int  # of this size in a workload's name

    @property
    def cases(self) -> dict[str, int]:
        """Workloads' names to this size."""
        sizes, found = [_BATCH, _SIDE, _FILTERS], {}
        for value in self.values:
            sizes[self.position] = value
            found[":".join(["convnet", *map(str, sizes)])] = value
        return found


AXES = (
    Axis("batch size", (16, 64, 256, 1024, 4096), 0),
    Axis("image side, pixels", (14, 28, 56, 112), 1),
    Axis("filters", (8, 32, 128), 2),
)


def names() -> list[str]:
    """Names like 'convnet:100:28:32': batch, image side, filters; one of them varied at a time."""
    return list(dict.fromkeys(name for axis in AXES for name in axis.cases))


def scaled(name: str) -> Workload:
    """The workload of such a name: random images, two batches of large ones, more of small ones."""
    batch, side, filters = (int(part) for part in name.split(":")[1:])
    title = f"batch {batch}, image {side}, {filters} filters"
    batches = max(2, _PIXELS // (batch * side**2))
    return Workload(
        name, title, conv_net(filters), (1, side, side), "softmax", batch, batches, 1.0, "random"
    )

"""How the cost of ConvNet's step grows with batch, image and channels: workloads made by name."""

from handgrad.bench.workloads import Workload, conv_net

BATCHES = (16, 64, 256, 1024, 4096)
IMAGES = (14, 28, 56, 112)
FILTERS = (8, 32, 128)


def names() -> list[str]:
    """Names like 'convnet:100:28:32': batch, image side, filters; one of them varied at a time."""
    cases = [(batch, 28, 32) for batch in BATCHES]
    cases += [(100, side, 32) for side in IMAGES] + [(100, 28, filters) for filters in FILTERS]
    return [f"convnet:{batch}:{side}:{filters}" for batch, side, filters in cases]


def scaled(name: str) -> Workload:
    """The workload of such a name: two batches of random images."""
    batch, side, filters = (int(part) for part in name.split(":")[1:])
    title = f"batch {batch}, image {side}, {filters} filters"
    return Workload(
        name, title, conv_net(filters), (1, side, side), "softmax", batch, 2, 1.0, "random"
    )

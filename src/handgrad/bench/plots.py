"""The picture of how a step's time grows, from the JSON of ``handgrad bench --scaling``."""

from pathlib import Path
from typing import Any

from handgrad.bench.growth import AXES

_STYLES = {"handgrad": ("o", "-"), "fastest peer": ("s", "--")}


def scaling_picture(results: dict[str, Any], path: Path) -> None:
    """Draw milliseconds a step against batch, image side and filters, both sides; as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same numbers give the same file.
    with mpl.rc_context({"svg.hashsalt": "handgrad", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        for axis, axes in zip(AXES, figure.subplots(1, len(AXES)), strict=True):
            for side, (marker, line) in _STYLES.items():
                points = sorted(_points(results, axis.cases, side))
                axes.loglog(*zip(*points, strict=True), marker=marker, linestyle=line, label=side)
            axes.set_xlabel(axis.label)
            axes.set_ylabel("ms per step")
            axes.set_xticks(axis.values, [str(value) for value in axis.values])
            axes.minorticks_off()
            axes.grid(visible=True, alpha=0.3)
        figure.axes[0].legend()
        figure.suptitle("A training step of the ConvNet: 7x7 filters, 2x2 pool, 100 hidden units")
        figure.savefig(path, metadata={"Date": None})


def _points(results: dict[str, Any], cases: dict[str, int], side: str) -> list[tuple[int, float]]:
    points = []
    for work in results["workloads"]:
        if work["name"] in cases:
            wanted = "handgrad" if side == "handgrad" else work["fastest_peer"]
            found = next(s for s in work["sides"] if s["side"] == wanted)
            points.append((cases[work["name"]], found["step_milliseconds"]))
    return points

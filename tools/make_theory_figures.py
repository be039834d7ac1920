"""Draw the figures of the theory's pages into src/handgrad/theory/figures/.

Run from the root of the repository, with the extra ``report`` or ``bench`` (matplotlib):

    python tools/make_theory_figures.py          # all
    python tools/make_theory_figures.py relu_subgradients

The same bytes every time. No background, and middle tones, so that the figures can be read on
light and on dark pages.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

FOLDER = Path(__file__).parents[1] / "src" / "handgrad" / "theory" / "figures"
GREY, BLUE, ORANGE, GREEN = "#808080", "#2f86d1", "#d9772b", "#3c9a5f"
STYLE = {
    "svg.hashsalt": "handgrad",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def grid(
    axes: Axes, numbers: object, *, marked: object = None, colour: str = BLUE, title: str = ""
) -> None:
    """Draw a matrix as boxes with numbers; those where ``marked`` is true are filled."""
    values = np.asarray(numbers)
    filled = np.zeros(values.shape, bool) if marked is None else np.asarray(marked, bool)
    rows, columns = values.shape
    axes.vlines(range(columns + 1), -rows, 0, color=GREY, linewidth=0.8)
    axes.hlines(range(-rows, 1), 0, columns, color=GREY, linewidth=0.8)
    for (i, j), value in np.ndenumerate(values):
        if filled[i, j]:
            axes.add_patch(Rectangle((j, -i - 1), 1, 1, facecolor=colour, alpha=0.35, linewidth=0))
        axes.text(j + 0.5, -i - 0.5, f"{value:g}", ha="center", va="center")
    axes.set_xlim(-0.05, columns + 0.05)
    axes.set_ylim(-rows - 0.05, 0.05)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(title, fontsize=10, color=GREY)


def relu_subgradients() -> Figure:
    """1.2: ReLU with some lines of slope between 0 and 1 through its corner."""
    figure, axes = plt.subplots(figsize=(4.6, 2.8))
    x = np.array([-2.0, 2.0])
    for slope in (0.25, 0.5, 0.75):
        axes.plot(x, slope * x, color=ORANGE, linewidth=1, linestyle="--")
        axes.annotate(f"slope {slope:g}", (2.05, 2 * slope), color=ORANGE, va="center", fontsize=9)
    axes.plot([-2, 0, 2], [0, 0, 2], color=BLUE, linewidth=2.5)
    axes.annotate("max(0, x)", (2.05, 2), color=BLUE, va="center", fontsize=9)
    axes.plot(0, 0, "o", color=GREY, markersize=5)
    axes.set_xlim(-2, 3)
    axes.set_xticks([-2, -1, 0, 1, 2])
    axes.set_yticks([-1, 0, 1, 2])
    axes.set_xlabel("x")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def activations() -> Figure:
    """Draw tanh, ReLU, leaky ReLU, GELU and SiLU in one picture."""
    from handgrad import layers

    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    x = np.linspace(-4, 4, 161)
    curves = {
        "ReLU": (layers.relu_forward(x)[0], GREY, "-"),
        "leaky, slope 0.1": (layers.leaky_relu_forward(x, 0.1)[0], GREY, "--"),
        "tanh": (layers.tanh_forward(x)[0], GREEN, "-"),
        "GELU": (layers.gelu_forward(x)[0], BLUE, "-"),
        "SiLU": (layers.silu_forward(x)[0], ORANGE, "-"),
    }
    for name, (out, colour, line) in curves.items():
        axes.plot(x, out, line, color=colour, linewidth=1.5, label=name)
    axes.set_xlabel("x")
    axes.set_ylim(-1.2, 2.2)
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def pool_winners() -> Figure:
    """5: a 4 x 4 image, its 2 x 2 windows, the winners, and where dout goes."""
    x = np.array([[1, 5, 2, 0], [0, 3, 4, 8], [9, 6, 7, 1], [2, 4, 3, 5]])
    dout = np.array([[10, 20], [30, 40]])
    windows = x.reshape(2, 2, 2, 2).swapaxes(1, 2)
    out = windows.max(axis=(2, 3))
    won = (windows == out[:, :, None, None]).swapaxes(1, 2).reshape(4, 4)
    dx = np.where(won, dout.repeat(2, 0).repeat(2, 1), 0)
    widths = {"width_ratios": [4, 2, 2, 4], "wspace": 0.35}
    figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.4), gridspec_kw=widths)
    grid(axes[0], x, marked=won, title="x, and each window's winner")
    grid(axes[1], out, title="out")
    grid(axes[2], dout, title="dout")
    grid(axes[3], dx, marked=won, colour=ORANGE, title="dx")
    for place in (0, 3):
        axes[place].plot([2, 2], [0, -4], color=GREY, linewidth=2)
        axes[place].plot([0, 4], [-2, -2], color=GREY, linewidth=2)
    return figure


def batchnorm_paths() -> Figure:
    """1.4: x_k acts on every normalised x_n directly, through mu and through sigma."""
    figure, axes = plt.subplots(figsize=(6.6, 3.0))
    left, right, middle = (0.0, 0.0), (6.0, 0.0), 3.0
    nodes = {
        "$x_k$": left,
        r"$\hat x_n$": right,
        r"$\mu$": (middle, 1.3),
        r"$\sigma$": (middle, -1.3),
    }
    arrow = {"arrowstyle": "-|>", "linewidth": 1.5, "shrinkA": 17, "shrinkB": 17}
    edges = (  # from, to, colour, factor, where it stands
        (left, right, GREY, r"directly: $[n = k] / \sigma$", (middle, 0.2)),
        (left, nodes[r"$\mu$"], BLUE, r"$1 / N$", (1.05, 0.9)),
        (nodes[r"$\mu$"], right, BLUE, r"$-1 / \sigma$", (4.95, 0.9)),
        (left, nodes[r"$\sigma$"], ORANGE, r"$\kappa \, \hat x_k$", (1.05, -0.95)),
        (nodes[r"$\sigma$"], right, ORANGE, r"$-\hat x_n / \sigma$", (5.05, -0.95)),
    )
    for start, end, colour, factor, place in edges:
        axes.annotate("", end, start, arrowprops={**arrow, "color": colour})
        axes.text(*place, factor, ha="center", va="center", color=colour, fontsize=11)
    for name, place in nodes.items():
        axes.plot(*place, "o", markersize=30, markeredgecolor=GREY, markerfacecolor="none")
        axes.text(*place, name, ha="center", va="center", fontsize=13)
    axes.set_xlim(-0.6, 6.6)
    axes.set_ylim(-1.9, 1.9)
    axes.axis("off")
    return figure


def full_and_filtering() -> Figure:
    """1.5: where a 2 x 2 filter may lie on a 3 x 3 image, and what comes out of each."""
    figure, panels = plt.subplots(1, 2, figsize=(7.4, 3.0))
    full = "full: the flipped filter, wherever it touches\n4 x 4 places"
    cases = (  # places a side, where the filter and its output lie, title
        (4, (-1, -1), (0, 0), f"{full}; in the middle the valid part"),
        (2, (0, 1), (0, 1), "filtering: the filter, where it fits entirely\n2 x 2 places"),
    )
    for axes, (places, (row, column), (i, j), title) in zip(panels, cases, strict=True):
        top, left = 1.5 - places / 2, 7 - places / 2  # the output, beside the image
        _square(axes, (0, 0), 3, GREY, fill=BLUE, alpha=0.3)
        _square(axes, (row, column), 2, ORANGE, fill=ORANGE, alpha=0.35)
        if places == 4:
            _square(axes, (top + 1, left + 1), 2, GREY, fill=GREY, alpha=0.3)
        _square(axes, (top + i, left + j), 1, GREY, fill=ORANGE, alpha=0.6)
        _square(axes, (top, left), places, GREY)
        arrow = {"arrowstyle": "-|>", "color": GREY}
        axes.annotate("", (4.8, -1.5), (3.4, -1.5), arrowprops=arrow)
        axes.set_xlim(-1.2, 9.2)
        axes.set_ylim(-4.2, 1.2)
        axes.set_aspect("equal")
        axes.axis("off")
        axes.set_title(title, fontsize=10, color=GREY)
    return figure


def _square(
    axes: Axes,
    corner: tuple[float, float],
    size: int,
    colour: str,
    fill: str = "none",
    alpha: float = 1,
) -> None:
    """Draw a square of boxes; corner is its row and column."""
    row, column = corner
    steps = np.arange(size + 1)
    axes.add_patch(
        Rectangle((column, -row - size), size, size, facecolor=fill, alpha=alpha, linewidth=0)
    )
    axes.vlines(column + steps, -row - size, -row, color=colour, linewidth=1)
    axes.hlines(-row - steps, column, column + size, color=colour, linewidth=1)


FIGURES: dict[str, Callable[[], Figure]] = {
    "activations": activations,
    "relu_subgradients": relu_subgradients,
    "pool_winners": pool_winners,
    "batchnorm_paths": batchnorm_paths,
    "full_and_filtering": full_and_filtering,
}


def main(names: list[str]) -> None:
    """Draw the named figures, or all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or FIGURES:
        with mpl.rc_context(STYLE):
            figure = FIGURES[name]()
            figure.savefig(
                FOLDER / f"{name}.svg",
                transparent=True,
                bbox_inches="tight",
                metadata={"Date": None, "Creator": None},
            )
            plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])

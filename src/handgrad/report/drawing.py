"""What every plot of a page is drawn with: its size, its lines, their looks, its legend."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from handgrad.report.formats import amount, printable
from handgrad.report.svg import PAPER, SERIES, STYLE, Plot

WIDTH, HEIGHT = 4.6, 2.9  # inches; a phone shows about 1 point as 1 pixel
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")
ROW_INCHES = 0.24

Look = dict[str, Any]  # matplotlib's keywords


def styled(draw: Callable[..., Plot]) -> Callable[..., Plot]:
    """Draw with the page's own style, whatever the user's is."""

    @functools.wraps(draw)
    def drawn(*arguments: Any) -> Plot:
        with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}), warnings.catch_warnings():
            # The reader's browser has fonts of its own for a class name in any script.
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            return draw(*arguments)

    return drawn


def panel(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Make a plot of one panel. Fixed margins: a layout engine would draw everything twice."""
    figure = Figure(figsize=(WIDTH, height))
    figure.subplots_adjust(left=0.145, right=0.985, bottom=0.46 / height)
    return figure, figure.add_subplot()


def draw_line(axes: Axes, number: int, x: Sequence[float], y: Sequence[Any], **more: Any) -> None:
    """Draw the line of a number: its colour, dashes and marker; a None in ``y`` is a gap."""
    kind = number % len(SERIES)
    axes.plot(
        x,
        [float("nan") if value is None else value for value in y],
        **{
            "color": SERIES[kind],
            "linestyle": DASHES[kind],
            "marker": MARKERS[kind],
            "markevery": max(1, len(x) // 10),
            "markerfacecolor": PAPER if number % 2 else SERIES[kind],
            **more,
        },
    )


def epoch_axis(axes: Axes) -> None:
    """Mark whole epochs only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def legend(axes: Axes, columns: int = 3) -> None:
    """Put the legend above the axes; one of many lines makes the figure higher."""
    rows = -(-len(axes.get_legend_handles_labels()[0]) // columns)
    figure = axes.get_figure(root=True)
    assert figure is not None
    bottom = figure.subplotpars.bottom * figure.get_figheight()
    figure.set_figheight(figure.get_figheight() + 0.2 * max(0, rows - 2))
    height = figure.get_figheight()
    figure.subplots_adjust(bottom=bottom / height, top=1 - (0.08 + 0.2 * rows) / height)
    close = {"handlelength": 3.0, "columnspacing": 1.2, "borderpad": 0.2}
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=columns, **close)


def label(text: str, length: int) -> str:
    """Make a label of any text: dollars stay dollars, of what is long the middle is left out."""
    text = printable(text).replace("\n", " ")
    if len(text) > length:
        end = (length - 1) // 2
        text = f"{text[: length - 1 - end]}…{text[-end:]}"
    return text.replace("$", r"\$")


def amounts(axis: Axis, most: int = 5) -> None:
    """Mark a few numbers of any size, written as the page writes them."""
    axis.set_major_locator(MaxNLocator(most))
    axis.set_major_formatter(lambda value, _: amount(value).replace("-", "−"))

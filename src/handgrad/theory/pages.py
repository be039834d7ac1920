"""The pages of the theory, in reading order, read from the markdown files beside this module."""

import functools
import importlib.resources
from dataclasses import dataclass

from handgrad.theory.render import formula_number, formulas, to_html

# File name without .md, in reading order.
ORDER = (
    "notation",
    "fully_connected",
    "relu",
    "dropout",
    "batch_normalisation",
    "convolution",
    "losses",
    "max_pooling",
    "composition",
    "weight_penalty",
    "channel_bias",
    "activations",
    "average_pooling",
    "layer_normalisation",
    "regression_losses",
    "weighted_losses",
    "sigmoid_networks",
    "dropout_at_inference",
    "diverging_loss",
)


@dataclass(frozen=True)
class Page:
    """One topic.

    Attributes
    ----------
    slug : str
        For an anchor: 'batch-normalisation'. Links between pages are ``#theory-SLUG``.
    number : str
        The assignment's: '1.4'.
    title : str
        Plain text, without the number.
    html : str
        The text without its title; headings start at h3.
    """

    slug: str
    number: str
    title: str
    html: str


def source(name: str) -> str:
    """Return the markdown of a page, by its name in ORDER."""
    folder = importlib.resources.files("handgrad.theory")
    return (folder / f"{name}.md").read_text(encoding="utf-8")


@functools.cache
def formula_numbers() -> dict[str, tuple[str, str]]:
    """Give each labelled formula's page, by its name in ORDER, and number: ('relu', '1.2.1')."""
    found = {}
    for name in ORDER:
        heading, _, text = source(name).partition("\n")
        page = heading.removeprefix("# ").partition(" ")[0]
        labels = [label for label in formulas(text) if not label.startswith("unlabelled")]
        for count, label in enumerate(labels, 1):
            found[label] = name, formula_number(page, count)
    return found


@functools.cache
def pages() -> tuple[Page, ...]:
    """Render every page; the same bytes every time."""
    result = []
    for name in ORDER:
        heading, _, text = source(name).partition("\n")
        number, _, title = heading.removeprefix("# ").partition(" ")
        html = to_html(text, first_heading=3, number=number)
        result.append(Page(name.replace("_", "-"), number, title.replace("'", "’"), html))
    return tuple(result)

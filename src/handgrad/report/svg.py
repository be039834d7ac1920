"""Matplotlib figures to SVG that lives inside a page: its colours, its fonts, its own names."""

import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

INK, GRID, PAPER = "#010101", "#020202", "#030303"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006")
# Placeholders in the figure, to what the page's style sheet defines for light, dark and print.
_COLOURS = {
    INK: "currentColor",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    **{colour: f"var(--s{number})" for number, colour in enumerate(SERIES, 1)},
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it takes the page's font and can be found
    "svg.hashsalt": "handgrad",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
}
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_FONT = re.compile(r"font-family: [^;]*;? ?|font: (?P<size>[\d.]+px) [^;]*")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True)
class Plot:
    """A picture of the page: its inline SVG, its heading, and its alternative text."""

    name: str
    heading: str
    alternative: str
    svg: Markup


def plot(figure: Figure, name: str, about: str, heading: str, alternative: str) -> Plot:
    """Turn a figure into a Plot; ``name`` is unique on the page, ``about`` says of what it is."""
    stream = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(stream.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    _own_names(root, name)
    for element in root.iter():
        element.tag = _local(element.tag)
        for key in list(element.attrib):
            element.attrib[_local(key)] = _trim(element.attrib.pop(key), _local(key))
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-alt",
        "class": "plot",
    }
    for tag, content in (("desc", alternative), ("title", f"{about}: {heading}")):
        element = ElementTree.Element(tag, id=f"{name}-{'alt' if tag == 'desc' else tag}")
        element.text = content
        root.insert(0, element)
    text = ElementTree.tostring(root, encoding="unicode")
    for placeholder, colour in _COLOURS.items():
        text = text.replace(placeholder, colour)
    return Plot(name, heading, alternative, Markup(text))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _own_names(root: ElementTree.Element, name: str) -> None:
    """Keep the ids that something points to, made unique on the page; drop the others."""
    pointed = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            pointed.update(_REFERENCE.findall(value))
            if _local(key) == "href":
                pointed.add(value.removeprefix("#"))
    numbers = {old: f"{name}-{number}" for number, old in enumerate(sorted(pointed))}
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                if value in numbers:
                    element.attrib[key] = numbers[value]
                else:
                    del element.attrib[key]
            elif _local(key) == "href":
                element.attrib[key] = "#" + numbers[value.removeprefix("#")]
            else:
                element.attrib[key] = _REFERENCE.sub(
                    lambda match: f"url(#{numbers[match[1]]})", value
                )


def _trim(value: str, key: str) -> str:
    """Leave out what no eye sees: the third decimal of a point, the figure's own font."""
    if key == "style":
        value = _FONT.sub(lambda m: f"font-size: {m['size']}" if m["size"] else "", value)
    return " ".join(_DECIMALS.sub(r"\1", value).split())

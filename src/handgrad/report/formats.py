"""How a recorded value is shown: the one way by which a number gets onto the page.

Each filter gives an element with the value as it stands in the record and its place there, so
that a reader, and a test, can look it up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from handgrad.report.records import Ref
from handgrad.results import dropped


def amount(value: float) -> str:
    """Say a number of any size to five digits, an integer part in full."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:,.5g}"


STYLES: Mapping[str, Callable[[float], str]] = {
    "percent": lambda value: f"{100 * value:.2f}",
    "percent1": lambda value: f"{100 * value:.1f}",
    "count": lambda value: f"{value:,}",
    "plain": str,
    "seconds": lambda value: f"{value:.2f}" if value < 10 else f"{value:.1f}",
    "fixed": lambda value: f"{value:.3f}",
    "amount": amount,
    "short": lambda value: f"{value:.4g}",
    "dropped": dropped,
}


def _number(ref: Ref[Any], style: str) -> Markup:
    value = ref.value
    if value is None:
        return Markup('<span class="none" data-record="{}">none</span>').format(ref.place)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{ref.place} is not a number: {value!r}")
    return Markup('<data value="{}" data-style="{}" data-record="{}">{}</data>').format(
        repr(value), style, ref.place, STYLES[style](value)
    )


def _filter(style: str) -> Callable[[Ref[Any]], Markup]:
    return lambda ref: _number(ref, style)


def text(ref: Ref[Any]) -> Markup:
    """Show a recorded string (or anything else that is not to be formatted) as it stands."""
    return Markup('<span data-record="{}">{}</span>').format(ref.place, ref.value)


def setting(ref: Ref[Any], name: str = "") -> Markup:
    """Show a setting's value; a share that dropout keeps with the one it drops."""
    number = isinstance(ref.value, int | float) and not isinstance(ref.value, bool)
    shown = _number(ref, "plain") if number else text(ref)
    if name == "keep":
        return Markup("{} (drop {})").format(shown, _number(ref, "dropped"))
    return shown


def params(ref: Ref[Any]) -> Markup:
    """Show settings by name: 'hidden dim 50, keep 0.7 (drop 0.3)'."""
    return Markup(", ").join(
        Markup("{} {}").format(name.replace("_", " "), setting(value, name))
        for name, value in ref.items()
    )


def picture(png: Ref[str]) -> Markup:
    """Give the src of a picture that is recorded as a PNG in base64."""
    return Markup("data:image/png;base64,{}").format(png.value)


def confusion_shades(confusion: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
    """Give each entry's count as a share of the largest error's, for its tint."""
    errors = (n for i, line in enumerate(confusion) for j, n in enumerate(line) if i != j)
    most = max(errors, default=0)
    return tuple(tuple(f"{min(1.0, n / (most or 1)):.2f}" for n in line) for line in confusion)


_NOT_FOR_PAGES = dict.fromkeys((*range(32), *range(127, 160)), "�")
for _allowed in "\t\n":
    del _NOT_FOR_PAGES[ord(_allowed)]


def printable(text: str) -> str:
    """Replace the control characters, which neither HTML nor SVG may contain."""
    return text.translate(_NOT_FOR_PAGES)


def add_filters(environment: Environment) -> None:
    """Make the filters known to templates."""
    environment.filters.update({style: _filter(style) for style in STYLES})
    environment.filters.update(
        text=text, setting=setting, params=params, picture=picture, escape=escape
    )

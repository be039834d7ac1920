"""Templates to pages: the filters and the style sheet that every page has."""

import importlib.resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from handgrad.report import formats


def fill(template: str, **shown: Any) -> str:
    """Fill a template; what it names and is not given is an error, every value is escaped."""
    environment = Environment(
        loader=PackageLoader("handgrad.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    formats.add_filters(environment)
    page = environment.get_template(template).render(style=_style_sheet(), **shown)
    return formats.printable(page)


def _style_sheet() -> Markup:
    folder = importlib.resources.files("handgrad.report") / "templates"
    return Markup((folder / "style.css").read_text(encoding="utf-8"))

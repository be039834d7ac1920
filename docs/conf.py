"""How Sphinx builds the site: `make docs`. No page needs a network, and a warning is an error."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
sys.path.insert(0, str(Path(__file__).parent))

import show_examples

import handgrad
from handgrad.theory import mathml
from handgrad.theory.pages import ORDER, formula_numbers, source

NUMBERS = formula_numbers()


def _linked(match):
    """Turn a link to a formula, of any page, into one of the site."""
    page, number = NUMBERS[match[2]]
    return f'<a href="{page}.html#equation-{match[2]}">{match[1]} ({number})</a>'


# The derivations are the report's. Sphinx reads below docs/ only, so they are copied there.
THEORY = Path(__file__).parent / "theory"
THEORY.mkdir(exist_ok=True)
for page in ORDER:
    copy, text = THEORY / f"{page}.md", source(page)
    text = re.sub(r"\[([^\]]+)\]\(#formula-([\w-]+)\)", _linked, text)
    if not copy.exists() or copy.read_text(encoding="utf-8") != text:
        copy.write_text(text, encoding="utf-8")
FIGURES = Path(handgrad.__file__).parent / "theory" / "figures"
if FIGURES.is_dir():
    shutil.copytree(FIGURES, THEORY / "figures", dirs_exist_ok=True)

project = "handgrad"
author = "the handgrad founders"
copyright = author
version = release = handgrad.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
# A field of a cache and an argument of a function may have the same name: no link, then.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = "handgrad"
html_math_renderer = "handgrad"
html_static_path: list[str] = []
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it, with shapes
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]
napoleon_google_docstring = False
napoleon_use_ivar = True

_LITERAL = re.compile(r"(``.+?``)")
_MARKUP = re.compile(r"(?<!\\)([*|])|(?<=\w)(_)(?!\w)")


def _plain(app, what, name, obj, options, lines):
    """Take docstrings as they are meant: prose, in which a star or a bar is a star or a bar."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            parts = _LITERAL.split(line)
            parts[::2] = [_MARKUP.sub(r"\\\1\2", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def _skip(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples, which Python documents as "field number 0"."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def _inline(self, node):
    self.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _block(self, node):
    self.body.append('<div class="math">')  # Sphinx's own div around it has the id
    self.body.append(mathml(node.astext(), display=True))
    if node.get("label") in NUMBERS:
        self.body.append(f'<span class="eqno">({NUMBERS[node["label"]][1]})</span>')
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _pages(app, error):
    """Put the pages of `handgrad show` that docs/show.md embeds beside it."""
    if error is None and app.builder.format == "html":
        show_examples.write(Path(app.outdir))


def setup(app):
    """Use the report's MathML, leave docstrings alone, and make the pages that are embedded."""
    app.add_html_math_renderer(
        "handgrad", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _plain, priority=400)  # before napoleon
    app.connect("build-finished", _pages)

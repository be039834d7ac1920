"""Markdown with LaTeX formulas to HTML with MathML: no script, the same bytes every time.

The libraries (the extra ``report``) are imported where they are used, so that the package
imports without them.
"""

import base64
import functools
import html
import importlib.resources
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from handgrad.errors import MissingExtraError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# Names of the code that stand in formulas: one upright word each, not a product of letters.
WORDS = ("dout", "out", "dx", "dw", "db", "dy", "dz", "dP", "velocity", "momentum")
_GREEK = {"d\\gamma": "dgamma", "d\\beta": "dbeta"}
_WORDS = re.compile(
    rf"(?<![\\A-Za-z])({'|'.join(WORDS + tuple(map(re.escape, _GREEK)))})(?![A-Za-z])"
)
_TEXT = re.compile(r"(\\(?:text|operatorname)\{[^}]*\})")
_OPERATION = re.compile(r"\*_\{(full|filt)\}")


def mathml(latex: str, *, display: bool = False) -> str:
    """Turn a formula into a MathML element.

    Parameters
    ----------
    latex : str
        LaTeX as in the theory's files. Names of the code (dout, dx, ...) become one word.
    display : bool, default False
        A formula of its own line, or one in a sentence.

    Returns
    -------
    str
        ``<math>...</math>``, with the LaTeX as its ``alttext``.

    Raises
    ------
    MissingExtraError
        Without the extra ``report``.
    """
    try:
        from latex2mathml.converter import convert
    except ImportError as error:
        raise _missing(error) from None
    source = _OPERATION.sub(r"*_{\\text{\1}}\\,", latex)
    parts = [
        part if part.startswith("\\") and _TEXT.fullmatch(part) else _WORDS.sub(_word, part)
        for part in _TEXT.split(source)
    ]
    element = convert("".join(parts), display="block" if display else "inline")
    # A word is a name, not an operator: no space of an operator's around it.
    for word in (*_GREEK.values(), *WORDS):
        shown = word.replace("gamma", "γ").replace("beta", "β")
        element = element.replace(f"<mo>{word}</mo>", f"<mi>{shown}</mi>")
    alternative = html.escape(" ".join(latex.split()), quote=True)
    return element.replace("<math ", f'<math alttext="{alternative}" ', 1)


def _word(match: re.Match[str]) -> str:
    return f"\\operatorname{{{_GREEK.get(match[1], match[1])}}}"


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"the report needs the library {error.name}, which is not installed; install it with "
        "`pip install 'handgrad[report]'`"
    )


@functools.cache
def _parser() -> "MarkdownIt":
    try:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.dollarmath import dollarmath_plugin
    except ImportError as error:
        raise _missing(error) from None
    parser = MarkdownIt("commonmark", {"typographer": True}).enable(["table", "smartquotes"])
    parser.use(dollarmath_plugin, allow_labels=True, allow_space=True, double_inline=False)
    for rule, render in (
        ("math_inline", _inline),
        ("math_block", _block),
        ("math_block_label", _labelled),
    ):
        parser.add_render_rule(rule, render)
    return parser


def _inline(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    return mathml(tokens[index].content)


def _block(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    return f'<div class="math">{mathml(tokens[index].content, display=True)}</div>\n'


def _labelled(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    formula, label = mathml(token.content, display=True), html.escape(token.info)
    env["formulas"] = env.get("formulas", 0) + 1
    number = formula_number(env["page"], env["formulas"])
    return (
        f'<div class="math" id="formula-{label}">{formula}<a class="number" '
        f'href="#formula-{label}" aria-label="Formula {number}">({number})</a></div>\n'
    )


def formula_number(page: str, count: int) -> str:
    """Number a formula by its page's number and its place there: '1.4.3', '5.0.2'."""
    return f"{page if '.' in page else f'{page}.0'}.{count}"


def formulas(markdown: str) -> dict[str, str]:
    """Return the displayed formulas of a text: label to LaTeX; one without is 'unlabelled N'.

    >>> formulas("$$ a = b $$ (one)")
    {'one': 'a = b'}
    """
    found: dict[str, str] = {}
    for token in _parser().parse(markdown):
        if token.type in ("math_block", "math_block_label"):
            label = token.info if token.type == "math_block_label" else f"unlabelled {len(found)}"
            found[label] = token.content.strip()
    return found


def to_html(markdown: str, *, first_heading: int, number: str = "0") -> str:
    """Render markdown; its level-2 headings become ``first_heading``, deeper ones follow.

    Labelled formulas are numbered after ``number``, the page's. Links to other files of the theory
    (``name.md``, ``name.md#part``) become ``#theory-name``; figures go into the page.
    """
    parser = _parser()
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) - 2 + first_heading}"
        if token.type == "fence":  # its last blank line is for doctest
            token.content = token.content.rstrip("\n") + "\n"
        for child in token.children or ():
            if child.type == "link_open":
                target = re.fullmatch(r"([a-z_]+)\.md(#.*)?", str(child.attrGet("href")))
                if target:
                    child.attrSet("href", f"#theory-{target[1].replace('_', '-')}")
            if child.type == "image":
                child.attrSet("src", _picture(str(child.attrGet("src"))))
    return str(parser.renderer.render(tokens, parser.options, {"page": number}))


def _picture(source: str) -> str:
    """Give a figure of this folder as an address that holds all of it."""
    file = importlib.resources.files("handgrad.theory") / source
    return f"data:image/svg+xml;base64,{base64.b64encode(file.read_bytes()).decode()}"

"""The page as a PDF: WeasyPrint lays it out, ziamath draws the mathematics as vector graphics.

WeasyPrint knows no MathML, so each formula becomes a picture before it sees the page. Both
libraries are the extra ``pdf``.
"""

import base64
import functools
import logging
import re
from pathlib import Path

from handgrad.errors import PdfError
from handgrad.files import write_atomically

_FORMULA = re.compile(r"<math\b([^>]*)>.*?</math>", re.DOTALL)
_ALTERNATIVE = re.compile(r'alttext="([^"]*)"')
_PLOT = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_VARIABLE = re.compile(r"--([\w-]+):\s*([^;}]+)")
_USE = re.compile(r"var\(--([\w-]+)\)")
_SVG_SIZE = re.compile(r'viewBox="(\S+) (\S+) (\S+) (\S+)"')
_POINTS = 20.0  # any size will do: pictures are scaled to the text around them
# In a root with a sum, ziamath 0.13 stretches the bars of a norm to 99 em.
_UPRIGHT_BARS = ("<mi>&#x02016;</mi>", '<mo stretchy="false">&#x02016;</mo>')
_STYLE = """
@page {
    size: A4; margin: 18mm 16mm;
    @bottom-center { content: counter(page); font: 8pt sans-serif; color: #444 }
}
img.formula { display: inline !important; image-rendering: auto !important }
div.math { display: block !important; text-align: center; margin: .7em 0 }
div.math { break-inside: avoid; break-before: avoid }
nav { columns: auto !important; font-size: 8.5pt !important }  /* columns: half of all the time */
nav a { display: block !important; text-decoration: none !important }
nav a::after { content: " " leader(".") " " target-counter(attr(href url), page) }
.study details { display: none }  /* a plot's numbers: pages of them */
"""


def write_pdf(html: str, path: Path) -> None:
    """Write a page as a PDF.

    Parameters
    ----------
    html : str
        A whole document that needs nothing from outside: a reference to another file or an
        address is an error.
    path : Path

    Raises
    ------
    PdfError
        Without the extra ``pdf``, or where the file cannot be written.
    """
    try:
        from weasyprint import CSS, HTML
        from weasyprint.urls import FatalURLFetchingError, URLFetcher
    except (ImportError, OSError) as error:  # OSError: the library Pango is not there
        raise _missing(error) from None
    inside = URLFetcher(allowed_protocols=("data",), fail_on_errors=True)
    # It warns of each property that only browsers know, some hundred times.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    try:
        document = HTML(string=_with_pictures(_with_colours(html)), url_fetcher=inside)
        content = document.write_pdf(stylesheets=[CSS(string=_STYLE)], presentational_hints=True)
    except FatalURLFetchingError as error:
        raise PdfError(f"the page is not whole: {error}; a report contains all it needs") from None
    try:
        write_atomically(path, content)
    except OSError as error:
        raise PdfError(f"cannot write {path} ({error.strerror}); name another file") from None


def _missing(error: Exception) -> PdfError:
    if isinstance(error, ImportError):
        cure = f"{error.name}, which is not installed; `pip install 'handgrad[pdf]'` brings it"
    else:
        cure = "the system's library Pango, which is not installed (Debian: apt install "
        cure += "libpangoft2-1.0-0)"
    return PdfError(f"a PDF needs {cure}; or print report.html from a browser")


def _with_pictures(html: str) -> str:
    """Replace every formula by a picture of it, as large as the text and on its line."""
    return _FORMULA.sub(lambda match: _picture(match[0], match[1]), html)


def _with_colours(html: str) -> str:
    """Write the style sheet's colours for print into the plots: in SVG it knows no variables."""
    colours = dict(_VARIABLE.findall(html.partition("@media print")[2].partition("</style>")[0]))
    return _PLOT.sub(
        lambda plot: _USE.sub(lambda use: colours.get(use[1], use[0]).strip(), plot[0]), html
    )


@functools.cache
def _picture(element: str, attributes: str) -> str:
    try:
        from ziamath.config import config
        from ziamath.zmath import Math
    except ImportError as error:
        raise _missing(error) from None
    config.svg2 = False  # plain paths
    svg = Math(element.replace(*_UPRIGHT_BARS), size=_POINTS).svg()
    size = _SVG_SIZE.search(svg)
    assert size is not None, "ziamath gave an SVG without a viewBox"
    _, top, width, height = (float(number) / _POINTS for number in size.groups())
    source = base64.b64encode(svg.encode()).decode()
    alternative = _ALTERNATIVE.search(attributes)
    return (
        f'<img class="formula" alt="{alternative[1] if alternative else ""}" '
        f'style="width: {width:.3f}em; height: {height:.3f}em; '
        f'vertical-align: {-(height + top):.3f}em; max-width: 100%" '
        f'src="data:image/svg+xml;base64,{source}">'
    )

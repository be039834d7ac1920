"""The PDF: real mathematics, nothing fetched, one clear line where a library is missing."""

import re
import sys
import zlib

import pytest

from handgrad import theory
from handgrad.report import pdf

# WeasyPrint finds its style sheet by a function that Python 3.11 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:path is deprecated:DeprecationWarning")

PAGE = (
    "<!DOCTYPE html><html lang='en'><head><title>A page</title><style>:root {{ --s1: #fff }} "
    "@media print {{ :root {{ --s1: #123456; }} }}</style></head><body>{}</body></html>"
)
FORMULA = theory.mathml(r"dx_i = \sum_j dout_j \, w_{ij} < 1", display=True)


@pytest.fixture
def weasyprint():
    try:
        import weasyprint
    except (ImportError, OSError) as error:  # OSError: Pango is a library of the system
        pytest.skip(f"WeasyPrint cannot be loaded: {error}")
    return weasyprint


def streams(content):
    """The PDF's drawing instructions, unpacked."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    unpacked = []
    for stream in found:
        try:
            unpacked.append(zlib.decompress(stream))
        except zlib.error:  # a stream that is not packed
            unpacked.append(stream)
    return b"\n".join(unpacked)


def test_a_formula_is_drawn_in_vectors(weasyprint, tmp_path):
    without, with_it = tmp_path / "without.pdf", tmp_path / "with.pdf"
    pdf.write_pdf(PAGE.format("<p>Text.</p>"), without)
    pdf.write_pdf(PAGE.format(f"<p>Text.</p><div class='math'>{FORMULA}</div>"), with_it)
    assert without.read_bytes()[:5] == with_it.read_bytes()[:5] == b"%PDF-"

    def curves(path):
        return len(re.findall(rb" c$", streams(path.read_bytes()), re.MULTILINE))

    assert curves(with_it) > curves(without) + 50  # the outlines of its letters
    assert b"/Subtype /Image" not in with_it.read_bytes()  # no pixels


def test_every_formula_of_the_theory_can_be_drawn():
    pytest.importorskip("ziamath")
    for page in theory.pages():
        with_pictures = pdf._with_pictures(page.html)
        assert "<math" not in with_pictures
        count = len(re.findall(r"<math\b", page.html))
        assert with_pictures.count('<img class="formula" alt="') == count
        heights = re.findall(r'<img class="formula"[^>]* height: ([\d.]+)em', with_pictures)
        assert len(heights) == count
        assert max(map(float, heights)) < 4  # ems: two lines of fractions


def test_a_formula_keeps_its_latex_as_alternative_text():
    pytest.importorskip("ziamath")
    picture = pdf._with_pictures(FORMULA)
    assert r'alt="dx_i = \sum_j dout_j \, w_{ij} &lt; 1"' in picture


def test_plots_get_the_print_colours():
    html = PAGE.format("<svg><path style='stroke: var(--s1); fill: var(--unknown)'/></svg>")
    assert "stroke: #123456; fill: var(--unknown)" in pdf._with_colours(html)


@pytest.mark.parametrize("address", ["https://example.com/a.png", "file:///etc/hostname"])
def test_nothing_is_fetched(address, weasyprint, tmp_path):
    with pytest.raises(pdf.PdfError, match=r"not whole: .*a report contains all it needs"):
        pdf.write_pdf(PAGE.format(f"<img alt='' src='{address}'>"), tmp_path / "page.pdf")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_one_line(weasyprint, tmp_path):
    with pytest.raises(pdf.PdfError, match=r"cannot write .*nowhere"):
        pdf.write_pdf(PAGE.format("<p>Text.</p>"), tmp_path / "nowhere" / "page.pdf")


@pytest.mark.parametrize("library", ["weasyprint", "ziamath"])
def test_a_missing_library_is_named_with_what_to_install(library, monkeypatch, tmp_path):
    if library == "ziamath":
        pdf._picture.cache_clear()
    for module in [m for m in sys.modules if m.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(pdf.PdfError, match=rf"{library}.*`pip install 'handgrad\[pdf\]'"):
        pdf.write_pdf(PAGE.format(FORMULA), tmp_path / "page.pdf")


def test_a_missing_system_library_is_named_too():
    error = pdf._missing(OSError("cannot load library 'libpango'"))
    assert "Pango" in str(error)
    assert "apt install" in str(error)
    assert "pip" not in str(error)

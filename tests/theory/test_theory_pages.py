"""The theory's pages: each formula is checked somewhere, and they fit into one document."""

import doctest
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import test_theory
import test_theory_activations  # noqa: F401 - it marks what it proves
import test_theory_batchnorm  # noqa: F401 - it marks what it proves
import test_theory_convolution  # noqa: F401 - and so does this
import test_theory_network  # noqa: F401
import test_theory_normalised  # noqa: F401
import test_theory_tables  # noqa: F401
import test_theory_training  # noqa: F401 - it marks what it proves
from latex_values import BLOCKS, Formula, equations
from theory_proofs import PROVED

from handgrad.errors import HandgradError
from handgrad.theory import mathml, pages as theory_pages, render
from handgrad.theory.pages import ORDER, formula_numbers, source


def test_every_displayed_formula_is_checked():
    unlabelled = {label for label in BLOCKS if label.startswith("unlabelled")}
    assert all("=" not in BLOCKS[label] for label in unlabelled)  # no equation without a label
    assert set(BLOCKS) - unlabelled == PROVED


@pytest.mark.parametrize("name", ORDER)
def test_examples_in_the_text(name):
    result = doctest.DocTestRunner(verbose=False)
    test = doctest.DocTestParser().get_doctest(source(name), {}, name, name, 0)
    result.run(test)
    assert result.failures == 0


def test_a_wrong_formula_is_noticed(monkeypatch):
    monkeypatch.setitem(BLOCKS, "fc-gradients", BLOCKS["fc-gradients"].replace("w_{dm}", "w_{md}"))
    with pytest.raises(AssertionError, match=r"w_{md}.* is not "):
        test_theory.test_fully_connected()


@pytest.mark.parametrize("latex", [r"x_n \wedge 2", r"\operatorname{tanh}(x)", "x_n + )"])
def test_what_cannot_be_read_is_refused(latex):
    with pytest.raises((SyntaxError, KeyError, IndexError)):
        Formula(latex, {"n": 2}).value(0, {"x": np.ones(2)})


def test_a_block_is_split_into_its_equations():
    free = [e.free for e in equations("fc-gradients", n=1, d=1, m=1)]
    assert free == [["n", "d"], ["d", "m"], ["m"]]


def test_pages_have_the_assignments_numbers_in_order():
    numbers = [page.number for page in theory_pages()]
    assert numbers == [
        "1",
        "1.1",
        "1.2",
        "1.3",
        "1.4",
        "1.5",
        "2–4",
        "5",
        "A.1",
        "A.2",
        "A.3",
        "A.4",
        "A.5",
        "A.6",
        "A.7",
        "A.8",
        "7.1",
        "7.2",
        "7.3",
    ]


def test_headings_links_and_anchors_fit_into_one_document():
    slugs, ids, targets = {page.slug for page in theory_pages()}, [], []
    for page in theory_pages():
        assert set(re.findall(r"<h(\d)", page.html)) <= {"3", "4"}
        assert not re.search(r"\.md\b|\$", page.html)
        ids += re.findall(r'\bid="([^"]+)"', page.html)
        targets += re.findall(r'href="([^"]+)"', page.html)
    for target in targets:
        assert target.removeprefix("#theory-") in slugs or target.removeprefix("#") in ids, target
    assert sorted(ids) == sorted({f"formula-{label}" for label in BLOCKS if " " not in label})


def test_formulas_are_numbered_and_linkable():
    numbers = formula_numbers()
    assert set(numbers) == {label for label in BLOCKS if " " not in label}
    assert numbers["chain-rule"] == ("notation", "1.0.1")
    pages = {page.slug.replace("-", "_"): page.html for page in theory_pages()}
    for label, (name, number) in numbers.items():
        link = f'<a class="number" href="#formula-{label}" aria-label="Formula {number}">'
        assert f"{link}({number})</a>" in pages[name]
    assert len({number for _, number in numbers.values()}) == len(numbers)


@pytest.mark.parametrize("name", ORDER)
def test_a_column_has_words_in_its_heading(name):
    """A screen reader that reads no formula says at least what a column is."""
    for heading in re.findall(r"^\|(.*)\|\n\|(?:---\|)+$", source(name), flags=re.M):
        for cell in heading.split("|"):
            assert re.search(r"\w", re.sub(r"\$[^$]*\$", "", cell)) or not cell.strip(), heading


def test_a_formula_becomes_mathml_with_names_of_the_code_in_one_piece():
    element = ElementTree.fromstring(mathml(r"d\gamma = \sum_n dout_n < x^{dx}", display=True))
    space = "{http://www.w3.org/1998/Math/MathML}"
    assert element.tag == f"{space}math"
    assert element.get("display") == "block"
    assert element.get("alttext") == r"d\gamma = \sum_n dout_n < x^{dx}"
    assert [e.text for e in element.iter(f"{space}mi")] == ["dγ", "n", "dout", "n", "x", "dx"]
    assert mathml("x").count("display=") == 1


@pytest.mark.parametrize("library", ["latex2mathml.converter", "markdown_it"])
def test_without_the_extra_one_line_says_what_to_install(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    render._parser.cache_clear()
    with pytest.raises(HandgradError, match=r"pip install 'handgrad\[report\]'"):
        render.to_html("$x$", first_heading=3)
    render._parser.cache_clear()


def test_pages_are_the_same_bytes_each_time():
    first = theory_pages()
    theory_pages.cache_clear()
    assert theory_pages() == first

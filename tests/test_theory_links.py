"""From a function to its formula and back: docstrings name pages and labels that exist."""

import re

import pytest

from handgrad import layers
from handgrad.network import Network
from handgrad.report.theory.pages import formula_numbers, source

DERIVED = {
    name: getattr(layers, name) for name in layers.__all__ if name.endswith(("_backward", "_loss"))
}
DERIVED["Network.loss"] = Network.loss


@pytest.mark.parametrize("name", DERIVED)
def test_a_docstring_names_its_formulas_and_their_page_names_the_function(name):
    text = " ".join(DERIVED[name].__doc__.split())
    links = re.findall(r"[Dd]erived in theory/(\w+)\.md, formulas? ([^.]+)\.", text)
    assert links, f"{name} names no formula"
    for page, words in links:
        first, *others = re.findall(r"[a-z\d-]+", words)
        for label in (first, *(word for word in others if "-" in word)):
            assert formula_numbers()[label][0] == page, f"{name}: {label} is not in {page}.md"
        assert f"`{name}`" in source(page), f"{page}.md does not name {name}"

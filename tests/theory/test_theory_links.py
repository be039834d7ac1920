"""What the pages promise: answers first, examples, exercises, figures, links to the code."""

import re
from pathlib import Path

import pytest

from handgrad import layers, theory
from handgrad.check.cases import GROUPS
from handgrad.network import Network
from handgrad.theory.pages import ORDER, formula_numbers, source

THEORY = Path(theory.__file__).parent

DERIVED = {
    name: getattr(layers, name) for name in layers.__all__ if name.endswith(("_backward", "_loss"))
}
BEYOND = (
    *("activations", "average_pooling", "layer_normalisation"),
    *("regression_losses", "weighted_losses"),
)
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


def test_the_exercises_name_what_the_checker_knows():
    known = {*GROUPS, *layers.__all__}
    named = {
        name: re.findall(r"`handgrad check \S+ --only ([\w,]+)`", source(name)) for name in ORDER
    }
    for name, words in named.items():
        assert {one for word in words for one in word.split(",")} <= known, name
    # Notation is nothing that code has to show, and what the assignment does not ask for neither.
    assert {name for name in ORDER if not named[name]} == {"notation", "channel_bias", *BEYOND}


@pytest.mark.parametrize("name", ORDER)
def test_a_page_has_an_example_and_exercises_with_folded_answers(name):
    example, exercises = source(name).index("## Worked example"), source(name).index("## Exercises")
    assert ">>> " in source(name)[example:]
    count = len(re.findall(r"^\d\. ", source(name)[exercises:], flags=re.MULTILINE))
    assert 3 <= count <= 5
    assert source(name)[exercises:].count("<details><summary>Answer</summary>\n\n") == count
    assert source(name)[exercises:].count("</details>") == count


@pytest.mark.parametrize("name", [name for name in ORDER if re.match(r"# [17]\.", source(name))])
def test_an_answer_in_the_assignments_notation_comes_first(name):
    _, after = source(name).split("\n\n", 1)
    assert after.startswith("> **Answer, in the assignment's notation")
    box = after.split("\n\n", 1)[0]
    assert box.count("> $$ (") >= 1


FIGURES = sorted(path.name for path in (THEORY / "figures").glob("*.svg"))


def test_every_figure_is_shown_with_words_for_it():
    shown = []
    for name in ORDER:
        for words, file in re.findall(r"!\[([^\]]+)\]\(figures/([\w.]+)\)", source(name)):
            assert len(words) > 40, f"{name}: {file}"
            shown.append(file)
    assert sorted(shown) == FIGURES


@pytest.mark.parametrize("file", FIGURES)
def test_a_figure_is_small_and_has_no_date_and_no_background(file):
    text = (THEORY / "figures" / file).read_text(encoding="utf-8")
    assert len(text) < 40_000
    assert "dc:date" not in text
    assert "#ffffff" not in text

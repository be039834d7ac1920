"""What the page of `handgrad show` says of mistakes is what check says of them."""

import json
from importlib.resources import files

import pytest
from node import in_node, version

from handgrad.check import words
from handgrad.check.courses import load
from handgrad.check.proof import judgements
from handgrad.check.verdict.diagnosis import CAUSES

SHOWN = json.loads((files("handgrad.show") / "mistakes.json").read_text(encoding="utf-8"))
KNOWN = {mistake.name: mistake for mistake in load().mistakes}


@pytest.mark.skipif(version() < 18, reason="Node 18 is not installed")
def test_all_that_the_page_can_plant_have_their_words():
    imports = 'import { MISTAKES } from "handgrad-page/mistakes";'
    assert in_node(imports, "return Object.keys(MISTAKES);") == list(SHOWN)


def test_the_sentences_are_those_of_the_causes():
    for name, said in SHOWN.items():
        assert said["what"] == KNOWN[name].what
        assert said["cause"] in KNOWN[name].causes
        assert said["sentence"] == CAUSES[said["cause"]]


@pytest.mark.parametrize(
    "name", ["relu-no-mask", "fc-db-wrong-axis", "conv-dx-kernel", "pool-ties-paid"]
)
def test_what_was_seen_is_seen_again(name):
    seen = [
        f"{case.function}, {case.name}: {words.seen(found.seen)}"
        for case, found in next(judgements(KNOWN[name]))
        if found.status == "failed" and found.cause == SHOWN[name]["cause"]
    ]
    assert seen[0] == SHOWN[name]["seen"]

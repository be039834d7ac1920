"""A page in Chromium: it asks for nothing, nothing complains, its scores are the network's."""

import json

import numpy as np
import pytest
from report_browser import AXE

from handgrad import show
from handgrad.export.source import source_of
from handgrad.show.examples import inputs_of, of_file, of_reproduction

PAGES = ("2.4", "4.4", "5.4", "table")

SCORES = """
(async () => {
  const [{ load }, { Inputs }, { Network }] = await Promise.all(
    ["content", "inputs", "network"].map((name) => import(`handgrad-page/${name}`)));
  const { content, arrays } = await load(document);
  const inputs = new Inputs(content.inputs);
  const network = new Network(content.network, arrays);
  const X = inputs.encodeAll(content.rows, arrays["rows/raw"]);
  return [...network.forward(X).scores.data];
})()
"""


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_fast_and_asks_for_nothing(browser, shown, name):
    path, _ = shown(name)
    assert path.stat().st_size < show.MOST_BYTES
    with browser.page() as tab:
        tab.go(path)
        tab.wait("document.querySelector('#page:not([hidden])')")
        assert tab.complaints == []
        assert tab.requests == []
        took = []
        for _ in range(4):  # the machine may be busy with something else
            took.append(tab.ask("performance.getEntriesByType('navigation')[0].duration"))
            if took[-1] < 1000:
                break
            tab.go(path)
        assert 0 < min(took) < 1000


@pytest.mark.parametrize("name", PAGES)
def test_scores_are_the_networks(browser, shown, name):
    path, network = shown(name)
    model = path.with_name("model.safetensors")
    data = path.with_name("flowers.csv")
    source = source_of(model)
    examples = of_file(source, data).shown if name == "table" else of_reproduction(source).shown
    with browser.page() as tab:
        tab.go(path)
        names = tab.ask(
            "JSON.parse(document.getElementById('handgrad-content').textContent).rows.names"
        )
        got = np.array(tab.ask(SCORES))
    rows = np.array([examples.names.index(each) for each in names])
    right = network.loss(inputs_of(source, examples.take(rows).raw))
    np.testing.assert_allclose(got.reshape(right.shape), right, rtol=0, atol=1e-4)


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `npm install axe-core`")
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["5.4", "table"])
def test_axe_finds_no_fault(browser, shown, name, dark):
    with browser.page(dark=dark, width=500 if dark else 1200) as tab:
        tab.go(shown(name)[0])
        tab.wait("document.querySelector('#page:not([hidden])')")
        found = tab.faults()
    assert found["passed"] > 15
    assert found["faults"] == [], json.dumps(found["faults"], indent=1)


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("name", ["5.4", "table"])
def test_a_phone_needs_no_sideways_scrolling(browser, shown, name, width):
    with browser.page(width=width, height=800, touch=True) as tab:
        tab.go(shown(name)[0])
        tab.wait("document.querySelector('#page:not([hidden])')")
        assert tab.ask("document.documentElement.scrollWidth") <= width

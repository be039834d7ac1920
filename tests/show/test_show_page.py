"""The page used as a reader does: click, draw, type, step, break; and pass the address on."""

import base64
import json
from urllib.parse import parse_qsl

import numpy as np
import pytest
from report_browser import AXE

from handgrad import show
from handgrad.models import load
from handgrad.network import Dense, Network

READY = "!!document.querySelector('#page:not([hidden])')"
ARRAYS = "[...document.querySelectorAll('.array .detail')].map(c => c.getAttribute('aria-label'))"
LAYERS = "document.querySelectorAll('.layers button').length"
FACTS = "[...document.querySelectorAll('.facts dd')].map(e => e.textContent)"
PEEK = "document.querySelector('.peek h3').textContent"
EXPLAINED = """
(() => {
  const text = (selector) => document.querySelector(`.explained ${selector}`)?.textContent ?? null;
  return {
    chosen: document.querySelector('.peek h3').textContent,
    formula: text('.formula'), numbers: text('.formula.filled'),
    agrees: text('.agree'), differs: text('.differ'), terms: text('.terms'),
  };
})()
"""
ANSWER = """
({verdict: document.querySelector('.verdict').textContent,
  scores: [...document.querySelectorAll('#answer .scores td.mono')].map(e => e.textContent)})
"""


def opened(tab, path, **state):
    """Open a page in a state; wait until it stands."""
    anew(tab, path, fragment_of(state))


def explained(tab):
    """What is said of the chosen number, once central differences have been taken."""
    tab.wait("!document.querySelector('.pending')")
    return tab.ask(EXPLAINED)


def fragment_of(state):
    """A state as an address ends in it."""
    return "#" + "&".join(f"{name}={value}" for name, value in state.items())


def anew(tab, path, fragment):
    """Load the page, though only the fragment may be another."""
    tab.call("Page.navigate", url="about:blank")
    tab.go(path, fragment)
    tab.wait(READY)


def moved(tab, **state):
    """Follow a link to another state of the page that is open."""
    tab.ask(
        f"(history.pushState(null, '', {json.dumps(fragment_of(state))}),"
        "dispatchEvent(new HashChangeEvent('hashchange')), 0)"
    )


def state_of(tab):
    """The address's state, once it has followed."""
    return dict(parse_qsl(resting_address(tab).removeprefix("#")))


def resting_address(tab):
    """The address, once it has not changed for half a second."""
    return tab.ask(
        "new Promise(done => { let before = null; const look = () => {"
        "if (location.hash === before) done(before);"
        "else { before = location.hash; setTimeout(look, 500); } }; look(); })"
    )


def minus(text):
    """A number as the page writes it."""
    return float(text.replace("\u2212", "-"))


def press(tab, words, within="body"):
    """Press the button with these words."""
    tab.ask(
        f"[...document.querySelectorAll({json.dumps(within + ' button')})]"
        f".find(b => b.textContent === {json.dumps(words)}).click()"
    )


def choose(tab, label, value):
    """Take an option of the select that stands in a label."""
    tab.ask(
        "(() => { const select = [...document.querySelectorAll('label')]"
        f".find(l => l.textContent.startsWith({json.dumps(label)})).querySelector('select, input');"
        f"select.value = {json.dumps(value)}; select.dispatchEvent(new Event('change')) }})()"
    )


# The small network of the page has every layer of questions 1.1 to 1.5.
NETWORKS = [("2.4", "model"), ("2.4", "small"), ("table", "model")]
WALKED = pytest.mark.parametrize(("name", "net"), NETWORKS)


@WALKED
@pytest.mark.parametrize("mode", ["test", "train"])
def test_every_output_says_what_it_is_made_of(browser, shown, name, net, mode):
    path, _ = shown(name)
    with browser.page() as tab:
        opened(tab, path, net=net)
        for layer in range(tab.ask(LAYERS)):
            moved(tab, net=net, view="forward", mode=mode, layer=layer, array="out")
            found = explained(tab)
            assert found["chosen"].startswith("out["), found
            total = found["numbers"].rsplit("= ", 1)[1]
            chosen = found["chosen"].rsplit("= ", 1)[1]
            assert minus(total) == pytest.approx(minus(chosen), rel=2e-3, abs=1e-6), found
            assert found["formula"].startswith("out")
        assert tab.complaints == []


@WALKED
def test_every_gradient_agrees_with_central_differences(browser, shown, name, net):
    path, _ = shown(name)
    with browser.page() as tab:
        opened(tab, path, net=net)
        for layer in reversed(range(tab.ask(LAYERS))):
            moved(tab, net=net, view="backward", layer=layer, array="dx")
            for label in tab.ask(ARRAYS):
                own = label.split(",")[0]
                if not own.startswith("d"):
                    continue
                tab.ask(f"document.querySelector('.detail[aria-label^=\"{own},\"]').focus()")
                tab.key("End")
                found = explained(tab)
                assert found["chosen"].startswith(f"{own}["), found
                kink = "kink" in (found["differs"] or "")
                assert found["agrees"] or kink, (layer, own, found)
        assert tab.complaints == []


def test_a_click_chooses_the_entry_under_it(browser, shown):
    path, _ = shown("5.4")
    with browser.page() as tab:
        opened(tab, path, view="backward", layer=0, array="dW")
        x, y, side = tab.ask(
            "(() => { const c = document.querySelector('.detail[aria-label^=\"dW1,\"]');"
            "c.scrollIntoView({block: 'center'}); const r = c.getBoundingClientRect();"
            "return [r.x, r.y, r.width] })()"
        )
        cell = side / 5  # the filters are 5 x 5
        for kind in ("mousePressed", "mouseReleased"):
            tab.mouse(kind, x + 3.5 * cell, y + 1.5 * cell)
        assert tab.ask(PEEK).startswith("dW1[0, 0, 1, 3] = ")
        assert state_of(tab)["at"] == "0,0,1,3"
        tab.key("ArrowDown")
        tab.key("ArrowLeft")
        tab.key("PageDown")
        assert tab.ask(PEEK).startswith("dW1[1, 0, 2, 2] = ")
        # Said when the keys rest, to those who do not see the screen.
        tab.wait("document.querySelector('#status').textContent.startsWith('dW1[1, 0, 2, 2] = ')")
        field = "document.querySelector('input[aria-label^=\"entry of dW1,\"]')"
        tab.ask(f"({field}.value = '2, 0, 9, 0', {field}.dispatchEvent(new Event('change')))")
        assert "Axis 2 goes from 0 to 4; got 9." in tab.ask("document.body.textContent")
        tab.ask(f"({field}.value = '2, 0, 4, 0', {field}.dispatchEvent(new Event('change')))")
        assert tab.ask(PEEK).startswith("dW1[2, 0, 4, 0] = ")


def strokes(tab):
    """A seven, as points of the window."""
    x, y, side = tab.ask(
        "(() => { const c = document.querySelector('.pad'); c.scrollIntoView({block: 'center'});"
        "const r = c.getBoundingClientRect(); return [r.x, r.y, r.width] })()"
    )
    path = [(0.3, 0.25), (0.5, 0.25), (0.7, 0.25), (0.6, 0.45), (0.5, 0.65), (0.42, 0.85)]
    return [(x + side * a, y + side * b) for a, b in path]


@pytest.mark.parametrize("by", ["mouse", "touch", "keys"])
def test_a_drawing_is_answered_at_once_and_passed_on(browser, shown, by):
    path, _ = shown("5.4")
    with browser.page(width=390, touch=by == "touch") as tab:
        opened(tab, path, source="raw")
        before = tab.ask(ANSWER)
        if by == "mouse":
            tab.drag(strokes(tab))
        elif by == "touch":
            tab.touch(strokes(tab))
        else:
            tab.ask("document.querySelector('.pad').focus()")
            for key in (" ", *["ArrowRight"] * 6, *["ArrowDown"] * 10, " "):
                tab.key(key)
        after = tab.ask(ANSWER)
        assert after["scores"] != before["scores"]
        assert len(after["scores"]) == 10
        address = resting_address(tab)
        assert "raw=" in address
        press(tab, "Clear")
        assert tab.ask(ANSWER) == before
        anew(tab, path, address)
        assert tab.ask(ANSWER) == after
        assert tab.complaints == []


def test_sliders_move_the_answer(browser, shown):
    path, _ = shown("table")
    with browser.page() as tab:
        opened(tab, path, row=3)
        before = tab.ask(ANSWER)
        tab.ask(
            "(() => { const range = document.querySelector('.slider input[type=range]');"
            "range.value = range.max; range.dispatchEvent(new Event('input')) })()"
        )
        assert tab.ask(ANSWER) != before
        press(tab, "›")
        tab.wait("location.hash.includes('row=4')")
        assert state_of(tab).get("source") is None


EACH_MISTAKE = """
(() => {
  const select = document.querySelector('#bar select');
  return [...select.querySelectorAll('optgroup option')].map(({ value }) => {
    select.value = value;
    select.dispatchEvent(new Event('change'));
    return [value, document.querySelector('#bar').textContent];
  });
})()
"""


def test_each_mistake_says_what_it_changes(browser, shown):
    path, _ = shown("2.4")
    with browser.page() as tab:
        opened(tab, path, view="break", net="small")
        said = dict(tab.ask(EACH_MISTAKE))
        assert len(said) > 30
        changed = [name for name, text in said.items() if "It changes" in text]
        others = [text for name, text in said.items() if name not in changed]
        assert len(changed) > 0.75 * len(said), said.keys() - changed
        assert all("The loss is" in text or "no number" in text for text in others)
        assert any("shape 4, not" in text for text in said.values())
        assert tab.complaints == []


def test_a_missing_mask_is_seen_beside_central_differences(browser, shown):
    path, _ = shown("5.4")
    with browser.page() as tab:
        opened(tab, path, view="break")
        choose(tab, "Mistake", "relu-no-mask")
        found = explained(tab)
        assert found["chosen"].startswith("dx[")
        assert found["differs"]
        assert "ReLU" in tab.ask("document.querySelector('.inspector h3').textContent")
        assert "should be 0" in tab.ask("document.querySelector('.array.chosen').textContent")
        rows = tab.ask("[...document.querySelectorAll('#bar tbody tr')].map(r => r.textContent)")
        assert rows[0].startswith("dxConv"), rows
        choose(tab, "Mistake", "")
        assert not explained(tab)["differs"]
        assert tab.complaints == []


def steps_done(tab, words, count):
    """Press a button of training; wait until so many steps are done."""
    press(tab, words)
    tab.wait(f"location.hash.includes('steps={count}') && !document.querySelector('.stop:enabled')")
    return tab.ask(FACTS)


@pytest.mark.parametrize("name", ["2.4", "5.4", "table"])
def test_training_moves_on_and_an_address_repeats_it(browser, shown, name):
    path, _ = shown(name)
    with browser.page() as tab:
        opened(tab, path, view="train", rule="adam", rate=0.003, size=10)
        one = steps_done(tab, "One step", 1)
        eleven = steps_done(tab, "Ten steps", 11)
        assert one[0] == "1"
        assert eleven[0] == "11"
        assert minus(eleven[2]) < minus(one[2])
        address = tab.ask("location.hash")
        anew(tab, path, address)
        tab.wait("document.querySelector('.facts dd')?.textContent === '11'")
        assert tab.ask(FACTS) == eleven
        press(tab, "Look inside")
        assert "trained here" in tab.ask("document.querySelector('#lead').textContent")
        press(tab, "Back to the model")
        assert tab.complaints == []


def test_a_rate_too_high_is_said_to_diverge(browser, shown):
    path, _ = shown("2.4")
    with browser.page() as tab:
        opened(tab, path, view="train", rule="sgd", rate="1e30", size=20)
        press(tab, "Ten steps")
        tab.wait("!!document.querySelector('#training .notice:not([hidden])')")
        assert "Diverged" in tab.ask("document.querySelector('#training .notice').textContent")
        assert tab.ask("document.querySelector('button.main').disabled")
        press(tab, "Start again")
        assert not tab.ask("!!document.querySelector('#training .notice:not([hidden])')")


def test_the_download_is_a_model(browser, shown, tmp_path):
    path, network = shown("table")
    with browser.page() as tab:
        opened(tab, path, view="train", start="trained")
        steps_done(tab, "Ten steps", 10)
        tab.ask("(URL.createObjectURL = (blob) => { window.kept = blob; return 'data:,' }, 0)")
        press(tab, "Download the model")
        content = tab.ask(
            "window.kept.arrayBuffer().then(b => btoa([...new Uint8Array(b)]"
            ".map(c => String.fromCharCode(c)).join('')))"
        )
    file = tmp_path / "model.safetensors"
    file.write_bytes(base64.b64decode(content))
    model = load(file)
    assert model.network.params.keys() == network.params.keys()
    moved = np.abs(model.network.params["W1"] - network.params["W1"]).max()
    assert 0 < moved < 1


@pytest.mark.parametrize("name", ["2.4", "5.4"])
def test_each_question_leads_to_its_layer(browser, shown, name):
    path, _ = shown(name)
    kinds = {"1.1": "Dense", "1.2": "ReLU", "1.3": "Dropout", "1.4": "BatchNorm", "1.5": "Conv"}
    with browser.page() as tab:
        opened(tab, path)
        links = "[...document.querySelectorAll('.questions a')]"
        numbers = tab.ask(f"{links}.map(a => a.dataset.question)")
        assert numbers == [*kinds, "7.1", "7.2", "7.3"]
        for number in numbers:
            link = f"{links}.find(a => a.dataset.question === '{number}')"
            tab.ask(f"{link}.click()")
            assert number in tab.ask("document.querySelector('#guide h3').textContent")
            if number in kinds:
                layer = tab.ask("document.querySelector('.inspector h3').textContent")
                assert layer.startswith(kinds[number])
                assert explained(tab)["formula"]
            else:
                assert tab.ask("!document.querySelector('#training').hidden")
            state_of(tab)
            assert tab.ask(f"decodeURIComponent(location.hash) === {link}.getAttribute('href')")
        assert tab.complaints == []


def test_the_keyboard_reaches_everything(browser, shown):
    path, network = shown("5.4")
    with browser.page() as tab:
        opened(tab, path)
        tab.ask("document.querySelector('.layers [tabindex=\"0\"]').focus()")
        tab.key("End")
        assert state_of(tab)["layer"] == str(len(network.layers) - 1)
        tab.key("ArrowLeft")
        assert state_of(tab)["layer"] == str(len(network.layers) - 2)
        tab.ask("document.querySelector('#views [tabindex=\"0\"]').focus()")
        tab.key("ArrowRight")
        assert state_of(tab)["view"] == "backward"
        assert tab.ask("document.activeElement.id") == "tab-backward"


def test_a_strange_address_shows_the_page_all_the_same(browser, shown):
    path, _ = shown("2.4")
    strange = {
        "view": "sideways", "layer": "-3", "at": "9,9,9,9", "row": "1e9", "batch": "0.5",
        "mistake": "__proto__", "net": "toString", "raw": "%5B1", "source": "raw", "label": "x",
    }  # fmt: skip
    with browser.page() as tab:
        opened(tab, path, **strange)
        assert tab.ask(PEEK)
        assert tab.complaints == []


EACH_VIEW = [
    {"view": "forward", "mode": "train", "source": "raw"},
    {"view": "backward", "net": "small", "layer": 1, "question": "1.4"},
    {"view": "break", "mistake": "relu-no-mask"},
    {"view": "train", "rule": "sgd", "rate": "1e30", "steps": 9},
]


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `npm install axe-core`")
@pytest.mark.parametrize("dark", [False, True])
def test_every_view_is_accessible_and_fits_a_phone(browser, shown, dark):
    path, _ = shown("table")
    with browser.page(dark=dark, width=320 if dark else 1200) as tab:
        opened(tab, path)
        for state in EACH_VIEW:
            moved(tab, **state)
            state_of(tab)
            found = tab.faults()
            assert found["passed"] > 40
            assert found["faults"] == [], (state, json.dumps(found["faults"], indent=1))
            assert tab.ask("document.documentElement.scrollWidth") <= (320 if dark else 1200), state
        assert tab.complaints == []


SIZES = "[...document.querySelectorAll('.sizes td.mono')].map(e => e.textContent)"


@pytest.mark.parametrize(("units", "low", "high"), [("Sigmoid", 100, 1e5), ("ReLU", 0.2, 5)])
def test_question_7_1_shows_the_gradient_vanish(browser, shown, units, low, high):
    path, _ = shown("2.4")
    with browser.page() as tab:
        opened(tab, path)
        tab.ask("document.querySelector('[data-question=\"7.1\"]').click()")
        choose(tab, "Units", units)
        steps_done(tab, "One step", 1)
        sizes = [minus(text) for text in tab.ask(SIZES)]
        assert len(sizes) == 5
        assert low < sizes[-1] / sizes[0] < high, sizes


def test_a_page_without_rows_works_on_what_is_set(browser, tmp_path):
    network = Network([Dense(2)], (3,), rng=np.random.default_rng(0))
    path = show.write(network, tmp_path / "page.html")
    with browser.page() as tab:
        opened(tab, path, view="backward", array="db")
        before = explained(tab)
        assert before["agrees"]
        assert "the example alone" in tab.ask("document.querySelector('#bar').textContent")
        tab.ask(
            "(() => { const range = document.querySelector('.slider input[type=range]');"
            "range.value = range.max; range.dispatchEvent(new Event('input')) })()"
        )
        tab.wait(f"{PEEK} !== {json.dumps(before['chosen'])}")
        assert explained(tab)["agrees"]
        press(tab, "Train")
        assert "--data FILE" in tab.ask("document.querySelector('#training').textContent")
        press(tab, "Train a small network instead")
        steps_done(tab, "One step", 1)
        assert tab.complaints == []

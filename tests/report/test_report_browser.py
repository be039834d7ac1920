"""The report in a browser: axe-core finds no fault, light and dark; a phone shows all of it.

Runs where Chromium is installed; axe-core comes with `make test` where npm is.
"""

import base64
import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import report_records

for library in ("jinja2", "matplotlib", "latex2mathml", "markdown_it"):
    pytest.importorskip(library)

from handgrad import report  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
AXE = Path(
    os.environ.get("HANDGRAD_AXE") or Path(sys.prefix) / "npm/node_modules/axe-core/axe.min.js"
)
QUIET = [
    f"--{flag}"
    for flag in [
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "hide-scrollbars",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "virtual-time-budget=60000",
    ]
]
MARK = "handgrad-found:"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report_records.write(folder)
    return report.build(folder)


def found(text, script, tmp_path, *flags):
    """Open a page with a script in it; return what the script puts into window.done()."""
    done = (
        "window.done = x => { document.body.textContent = "
        f"'{MARK[:4]}' + '{MARK[4:]}'"  # in two parts: the script itself is not what is found
        " + btoa(unescape(encodeURIComponent(JSON.stringify(x)))) + ';' };"
    )
    file = tmp_path / "page.html"
    file.write_text(text.replace("</body>", f"<script>{done}{script}</script></body>"))
    command = [BROWSER, *QUIET, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    output = subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert MARK in output, output[:300]
    return json.loads(base64.b64decode(output.partition(MARK)[2].partition(";")[0]))


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `npm install axe-core`")
@pytest.mark.parametrize(
    "flags",
    [
        ("--window-size=1200,900",),
        ("--window-size=500,900", "--blink-settings=preferredColorScheme=0"),
    ],
    ids=["light, desktop", "dark, narrow"],
)
def test_axe_finds_no_fault(page, tmp_path, flags):
    script = AXE.read_text(encoding="utf-8").replace("</script", "<\\/script")
    script += (
        ";axe.run(document, {resultTypes: ['violations']}).then(r => done({"
        "dark: matchMedia('(prefers-color-scheme: dark)').matches, passed: r.passes.length,"
        "faults: r.violations.map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)"
        " + ' ' + n.failureSummary)])}))"
    )
    result = found(page, script, tmp_path, *flags)
    assert result["dark"] == (len(flags) > 1)
    assert result["passed"] > 20
    assert result["faults"] == [], json.dumps(result["faults"], indent=1)


def test_a_phone_needs_no_sideways_scrolling_but_in_tables(page, tmp_path):
    frame = f'<iframe width="360" height="740" srcdoc="{html.escape(page)}"></iframe>'
    script = """
      onload = () => {
        const inner = document.querySelector('iframe').contentDocument;
        const wide = [...inner.querySelectorAll('body *')].filter(e =>
          e.getBoundingClientRect().right > 361 &&
          !e.closest('.scroll, svg, math[display=block], pre, .skip'));
        done({page: inner.documentElement.scrollWidth, inner: inner.querySelectorAll('p').length,
              wide: wide.slice(0, 5).map(e => e.outerHTML.slice(0, 200))});
      };
    """
    result = found(f"<!doctype html><body>{frame}</body>", script, tmp_path)
    assert result["inner"] > 50
    assert result["wide"] == []
    assert result["page"] <= 360

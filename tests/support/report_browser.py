"""A page in a browser without a window: what a script in it finds, what axe-core finds."""

import base64
import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
AXE = Path(
    os.environ.get("HANDGRAD_AXE") or Path(sys.prefix) / "npm/node_modules/axe-core/axe.min.js"
)
VIEWS = {
    "light, desktop": ("--window-size=1200,900",),
    "dark, narrow": ("--window-size=500,900", "--blink-settings=preferredColorScheme=0"),
}
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
    ]
]
_MARK = "handgrad-found:"


def found(text, script, tmp_path, *flags):
    """Open a page with a script in it; return what the script puts into window.done()."""
    done = (
        "window.done = x => { document.body.textContent = "
        f"'{_MARK[:4]}' + '{_MARK[4:]}'"  # in two parts: the script itself is not what is found
        " + btoa(unescape(encodeURIComponent(JSON.stringify(x)))) + ';' };"
    )
    file = tmp_path / "page.html"
    file.write_text(text.replace("</body>", f"<script>{done}{script}</script></body>"))
    command = [
        BROWSER,
        *QUIET,
        "--virtual-time-budget=60000",
        *flags,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    output = subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert _MARK in output, output[:300]
    return json.loads(base64.b64decode(output.partition(_MARK)[2].partition(";")[0]))


def check_axe(page, view, tmp_path):
    """axe-core finds no fault on a page in a view of ``VIEWS``."""
    script = AXE.read_text(encoding="utf-8").replace("</script", "<\\/script")
    script += (
        ";axe.run(document, {resultTypes: ['violations']}).then(r => done({"
        "dark: matchMedia('(prefers-color-scheme: dark)').matches, passed: r.passes.length,"
        "faults: r.violations.map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)"
        " + ' ' + n.failureSummary)])}))"
    )
    result = found(page, script, tmp_path, *VIEWS[view])
    assert result["dark"] == view.startswith("dark")
    assert result["passed"] > 20
    assert result["faults"] == [], json.dumps(result["faults"], indent=1)


def check_phone(page, tmp_path):
    """Nothing but tables scrolls sideways on a phone; returns the number of paragraphs."""
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
    assert result["wide"] == []
    assert result["page"] <= 360
    return result["inner"]

"""One HTML file of the page's parts: its style, its modules and what they show; no request.

The modules import each other by name, ``import {load} from "handgrad-page/content"``: an import
map holds each as a data URL. In Node the same names are found by ``page/package.json``.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handgrad.arrays import Array
from handgrad.show.packing import pack

PAGE = Path(__file__).parent / "page"
PREFIX = "handgrad-page/"
HEAD, DATA = "<!--handgrad:head-->", "<!--handgrad:data-->"
"""Where the template ``page.html`` takes title, style and modules, and where what they show."""

_ENTRY = f'import "{PREFIX}main";'


def assembled(title: str, content: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Assemble the page.

    Parameters
    ----------
    title : str
        Of the document.
    content : mapping
        JSON values; `handgrad.show.content` says which. ``arrays`` is added: the layout of the
        arrays.
    arrays : mapping of str to array
        As `packing.pack` takes them.

    Returns
    -------
    str
        HTML, the same for the same arguments.
    """
    template = (PAGE / "page.html").read_text(encoding="utf-8")
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    layout, packed = pack(arrays)
    imports = json.dumps({"imports": modules()}, indent=0)
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(imports, _ENTRY)}">\n'
        f"<title>{html.escape(title)}</title>\n"
        f"<style>\n{style}</style>\n"
        f'<script type="importmap">{imports}</script>'
    )
    data = (
        f'<script type="application/json" id="handgrad-content">'
        f"{_json({**content, 'arrays': layout})}</script>\n"
        f'<script type="application/octet-stream" id="handgrad-arrays">{packed}</script>\n'
        f'<script type="module">{_ENTRY}</script>'
    )
    for mark in (HEAD, DATA):
        if template.count(mark) != 1:
            raise ValueError(
                f"page.html must hold {mark} once; it does {template.count(mark)} times"
            )
    return template.replace(HEAD, head).replace(DATA, data)


def modules() -> dict[str, str]:
    """Give each module of the page by the name that it is imported by, as a data URL."""
    found = {}
    for file in sorted(PAGE.rglob("*.mjs")):
        name = file.relative_to(PAGE).with_suffix("").as_posix()
        coded = base64.b64encode(file.read_bytes()).decode("ascii")
        found[f"{PREFIX}{name}"] = f"data:text/javascript;charset=utf-8;base64,{coded}"
    return found


def _policy(*scripts: str) -> str:
    """Allow these scripts, the modules, and pictures that the page itself has made; no request."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes} data: 'wasm-unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _json(content: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")

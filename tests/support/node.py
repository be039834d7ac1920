"""The page's modules in Node: a script is given JSON and gives JSON back."""

import json
import shutil
import subprocess
from pathlib import Path

import handgrad

NODE = shutil.which("node")
PAGE = Path(handgrad.__file__).parent / "show/page"
_FRAME = """
import {{ readFileSync, writeSync }} from "node:fs";
const given = JSON.parse(readFileSync(0, "utf8"));
const answer = await (async () => {{ {body} }})();
const text = Buffer.from(JSON.stringify(answer));
for (let at = 0; at < text.length; ) at += writeSync(1, text, at);
"""


def version():
    """Give Node's major version; 0 where there is none."""
    if NODE is None:
        return 0
    text = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    return int(text.lstrip("v").split(".")[0])


def in_node(imports, body, given=None):
    """Run JavaScript beside the page's modules.

    ``imports`` are its lines of import, ``body`` ends by returning what is wanted; ``given`` is the
    variable of that name.
    """
    script = imports + _FRAME.format(body=body)
    command = [NODE, "--input-type=module", "--eval", script]
    result = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, timeout=120, cwd=PAGE
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)

"""The site: it builds without a warning, and its mathematics needs neither script nor network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build as `make docs` does, in a copy: the tests leave nothing in the tree."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("docs")
    for name in ("src", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "docs").mkdir()
    for path in [*(ROOT / "docs").glob("*.*"), *(ROOT / "docs").glob("api/*")]:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "docs", "html"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_every_page_is_reached_from_the_first(site):
    seen, waiting = set(), [site / "index.html"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r'href="([^"#:]+\.html)', page.read_text()):
            waiting.append((page.parent / target).resolve())
    names = {path.relative_to(site).as_posix() for path in seen}
    first = ["guide", "derivations", "theory/convolution", "api/maths", "vgg", "fast", "structure"]
    assert {f"{name}.html" for name in first} <= names


def test_formulas_are_mathml_and_nothing_is_fetched(site):
    for page in (site / "theory").glob("*.html"):
        html = page.read_text()
        assert "<math" in html
        assert not re.findall(r'<(?:script|link|img)\b[^>]+"(?:https?:)?//', html)


def test_the_reference_has_every_layer(site):
    from handgrad import layers

    html = (site / "api" / "maths.html").read_text()
    for name in layers.__all__:
        assert re.search(rf'id="handgrad\.layers\.\w+\.{name}"', html), name

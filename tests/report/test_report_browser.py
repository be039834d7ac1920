"""The report in a browser: axe-core finds no fault, light and dark; a phone shows all of it.

Runs where Chromium is installed; axe-core comes with `make test` where npm is.
"""

import pytest
import report_records
from report_browser import AXE, BROWSER, VIEWS, check_axe, check_phone

for library in ("jinja2", "matplotlib", "latex2mathml", "markdown_it"):
    pytest.importorskip(library)

from handgrad import report  # noqa: E402

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report_records.write(folder)
    return report.build(folder)


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `npm install axe-core`")
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_fault(page, tmp_path, view):
    check_axe(page, view, tmp_path)


def test_a_phone_needs_no_sideways_scrolling_but_in_tables(page, tmp_path):
    assert check_phone(page, tmp_path) > 50

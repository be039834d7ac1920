"""The page of `handgrad train` in a browser: no fault for axe-core, all of it on a phone."""

import pytest
from report_browser import AXE, BROWSER, VIEWS, check_axe, check_phone
from training_records import KINDS, a_record

from handgrad import report

for library in ("jinja2", "matplotlib"):
    pytest.importorskip(library)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


@pytest.fixture(scope="module", params=KINDS)
def page(request):
    return report.build_own(a_record(**KINDS[request.param]))


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `npm install axe-core`")
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_fault(page, view, tmp_path):
    check_axe(page, view, tmp_path)


def test_a_phone_needs_no_sideways_scrolling_but_in_tables(page, tmp_path):
    assert check_phone(page, tmp_path) > 10

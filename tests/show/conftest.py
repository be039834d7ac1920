"""A browser for the tests of a file, and the pages that they open."""

import pytest
import shown_models
from chromium import Browser
from report_browser import BROWSER

from handgrad import show


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, which the tests of a file share."""
    if BROWSER is None:
        pytest.skip("Chromium is not installed")
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Give the file of a page, made when it is asked for, and the network behind it.

    ``shown("2.4")`` and other experiments of `shown_models`; ``shown("table")``: flowers.
    """
    made = {}

    def page(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("shown")
            if name == "table":
                path, data, model = shown_models.table_model(folder)
                network = model.network
            else:
                path, network = shown_models.reproduction(folder, name)
                data = None
            made[name] = show.write(path, folder / "page.html", data), network
        return made[name]

    return page

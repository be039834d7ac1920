"""What `handgrad check` says of the mistakes that the page can plant: recorded, not run anew."""

import functools
import json
from importlib.resources import files

_FILE = "mistakes.json"


@functools.cache
def said() -> dict[str, dict[str, str]]:
    """Give each mistake's words: what it is, its cause and sentence, and what check saw.

    The file is made by ``tools/make_show_mistakes.py``, which runs the checker on a submission with
    the mistake in it.
    """
    text = (files("handgrad.show") / _FILE).read_text(encoding="utf-8")
    found: dict[str, dict[str, str]] = json.loads(text)
    return found

"""Write src/handgrad/show/mistakes.json: what `handgrad check` says of the page's mistakes.

Run from the root of the repository; needs Node, which lists the mistakes that the page can plant:

    python tools/make_show_mistakes.py
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "check"))

from node import in_node

import handgrad
from handgrad.check import words
from handgrad.check.courses import load
from handgrad.check.mistakes import Mistake
from handgrad.check.proof import judgements
from handgrad.check.verdict.diagnosis import CAUSES

OUT = Path(handgrad.__file__).parent / "show/mistakes.json"


def names() -> list[str]:
    """Give the names of the mistakes that the page can plant."""
    found: list[str] = in_node(
        'import { MISTAKES } from "handgrad-page/mistakes";', "return Object.keys(MISTAKES);"
    )
    return found


def words_of(mistake: Mistake) -> dict[str, str]:
    """Plant a mistake in the plain submission, judge it, and keep what is said of its cause.

    Raises
    ------
    ValueError
        Where the checker does not name the mistake.
    """
    for case, found in next(judgements(mistake)):
        if found.status == "failed" and found.cause in mistake.causes:
            return {
                "what": mistake.what,
                "cause": str(found.cause),
                "sentence": CAUSES[str(found.cause)],
                "seen": f"{case.function}, {case.name}: {words.seen(found.seen)}",
            }
    raise ValueError(f"check does not name {mistake.name}")


def main() -> None:
    """Judge each, and write the file."""
    known = {mistake.name: mistake for mistake in load().mistakes}
    found = {name: words_of(known[name]) for name in names()}
    OUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{OUT}: {len(found)} mistakes")


if __name__ == "__main__":
    main()

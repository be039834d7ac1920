"""Write src/handgrad/show/mistakes.json: what `handgrad check` says of the page's mistakes.

Run from the root of the repository; needs Node, which lists the mistakes that the page can plant:

    python tools/make_show_mistakes.py
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from node import in_node

import handgrad
from handgrad.check import check_submission, words
from handgrad.check.conventions import parse
from handgrad.check.mistakes import Mistake, all_mistakes
from handgrad.check.reference import reference
from handgrad.check.verdict.diagnosis import CAUSES

OUT = Path(handgrad.__file__).parent / "show/mistakes.json"


def names() -> list[str]:
    """Give the names of the mistakes that the page can plant."""
    found: list[str] = in_node(
        'import { MISTAKES } from "handgrad-page/mistakes";', "return Object.keys(MISTAKES);"
    )
    return found


def words_of(mistake: Mistake, folder: Path) -> dict[str, str]:
    """Plant a mistake in the plain submission, check it, and keep what is said of its cause.

    Raises
    ------
    ValueError
        Where the checker does not name the mistake.
    """
    right = reference(parse(mistake.convention))
    planted = {**right.sources, **next(mistake.planted(right.sources))}
    folder.mkdir()
    for name, source in planted.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    report = check_submission(
        folder, only=[mistake.group], convention=mistake.convention, timeout=60
    )
    for case in report.cases:
        if case.status == "failed" and case.diagnosis in mistake.causes:
            return {
                "what": mistake.what,
                "cause": str(case.diagnosis),
                "sentence": CAUSES[str(case.diagnosis)],
                "seen": f"{case.function}, {case.name}: {words.seen(case.seen)}",
            }
    raise ValueError(f"check does not name {mistake.name}")


def main() -> None:
    """Check each, and write the file."""
    known = {mistake.name: mistake for mistake in all_mistakes()}
    with tempfile.TemporaryDirectory() as folder:
        found = {name: words_of(known[name], Path(folder) / name) for name in names()}
    OUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{OUT}: {len(found)} mistakes")


if __name__ == "__main__":
    main()

"""Write docs/check_tables.md: what `handgrad check` says of every mutant and every alternative.

Run from the root of the repository, with two minutes of patience:

    python tools/make_check_tables.py
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "check"))

from check_corpus import verdicts
from check_corpus.corpus import ALTERNATIVES
from check_corpus.mutants_ours import OURS

from handgrad.check import proof
from handgrad.check.courses import load, shipped


def main() -> None:
    """Check everything, and write the page."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder, verdicts.one_child():
        for mistake in load().mistakes:
            verdict = proof.of_mistake(mistake)[0]
            rows[mistake.name] = verdicts.mistake_row(mistake, verdict)
        for mutant in OURS:
            verdict = verdicts.of_mutant(mutant, Path(folder) / mutant.name)
            rows[mutant.name] = verdicts.mistake_row(mutant, verdict)
            if not verdict.names(mutant):
                print(rows[mutant.name])
        for name in shipped()[1:]:
            rows |= verdicts.rows_of("\n".join(verdicts.of_course(name)))
        for alternative in ALTERNATIVES:
            verdict = verdicts.of_alternative(alternative, Path(folder) / alternative.name)
            rows[alternative.name] = verdicts.alternative_row(alternative, verdict)
    verdicts.PAGE.write_text(verdicts.page(rows))
    print(
        f"{verdicts.PAGE}: {len(load().mistakes)} mistakes, {len(ALTERNATIVES)} right submissions"
    )


if __name__ == "__main__":
    main()

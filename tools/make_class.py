"""Write a class of submissions to try `handgrad check --batch` on, and a table of who is in it.

    python tools/make_class.py CLASS --size 300 --seed 0
    handgrad check CLASS --batch out --jobs 2

CLASS must not exist; the table is CLASS.csv.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "check"))

from check_corpus.classes import make_class, manifest


def main() -> None:
    """Write the class."""
    parser = argparse.ArgumentParser(description="Write a class of submissions.")
    parser.add_argument("folder", type=Path, metavar="CLASS")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.folder.exists():
        parser.error(f"{given.folder} is there already; name a new folder")
    students = make_class(given.folder, given.size, given.seed)
    table = given.folder.with_name(f"{given.folder.name}.csv")
    table.write_text(manifest(students), encoding="utf-8")
    print(f"{given.folder}: {len(students)} submissions; {table} says what is in each")


if __name__ == "__main__":
    main()

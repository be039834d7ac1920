"""Small data sets in files, and `handgrad` in this process, for the tests of own data."""

import csv
import io
import sys

import numpy as np

from handgrad.cli import main


def run(monkeypatch, capsys, *words):
    """Call the command; return its exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["handgrad", *map(str, words)])
    capsys.readouterr()
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


def refused(monkeypatch, capsys, *words):
    """Call a command that must fail as a user's mistake should; return its one line."""
    code, out, err = run(monkeypatch, capsys, *words)
    lines = [line for line in err.splitlines() if line.startswith("handgrad: error: ")]
    assert code == 2, err
    assert "Traceback" not in err
    assert err.splitlines()[-1:] == lines, err
    assert out == ""
    return lines[0].removeprefix("handgrad: error: ")


def write_csv(path, columns):
    """Write columns by name; return the path."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def read_csv(text):
    """Give the rows of a CSV text, each a dict."""
    return list(csv.DictReader(io.StringIO(text)))


def flowers(rows=150, seed=0):
    """Three kinds of flowers by four numbers and a colour, as columns; all are told apart."""
    rng = np.random.default_rng(seed)
    kind = np.arange(rows) % 3
    numbers = rng.normal(size=(rows, 4)) + kind[:, None] * [2.0, -1.0, 1.5, 0.5]
    colour = np.array(["red", "white", "blue"])[(kind + (rng.random(rows) < 0.2)) % 3]
    columns = {f"leaf {j}": numbers[:, j].round(3).tolist() for j in range(4)}
    return {
        **columns,
        "colour": colour.tolist(),
        "kind": np.array(["setosa", "versicolor", "virginica"])[kind].tolist(),
    }


def prices(rows=120, seed=0):
    """A price by two numbers, with missing cells, and a quarter of its noise."""
    rng = np.random.default_rng(seed)
    size, age = rng.uniform(20, 200, rows), rng.uniform(0, 90, rows)
    price = 3000 * size - 800 * age + 20000 * rng.normal(size=rows)
    shown = [f"{value:.1f}" if i % 17 else "" for i, value in enumerate(age)]
    return {"size": size.round(1).tolist(), "age": shown, "price": price.round(0).tolist()}


def pictures(folder, each=100, size=12, seed=0):
    """Write a folder of grey pictures, upright bars and lying ones, a folder a class."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for name in ("lying", "upright"):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(0, 80, (size, size)).astype(np.uint8)
            pixels[:, rng.integers(1, size - 1)] = 220
            image = pixels if name == "upright" else pixels.T
            Image.fromarray(np.ascontiguousarray(image)).save(folder / name / f"{number:03d}.png")
    return folder

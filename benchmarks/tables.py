"""Dense networks on eight tables: handgrad's estimators beside scikit-learn's and skorch's.

Every fit is a process of its own, which reads the table from a file, fits, and predicts the test
rows; measured are the fit alone and the whole process, imports included. The tables: digits, breast
cancer, wine, diabetes and California (where its files are on this machine) of scikit-learn, the
course's data.pkl, MNIST, and a generated one of 10,000 rows and 64 sensors in six uneven classes
with 5 % of the numbers missing. Missing numbers are filled with the training rows' medians, but for
HistGradientBoosting, which takes them as they are. All but it see scaled columns:
handgrad's estimators do that themselves, the others stand behind a StandardScaler, for the pixels
of digits and MNIST behind a division by the largest, which serves them better. A regression's
targets are standardised for all. Test rows are a quarter, drawn by the seed in each class alike;
MNIST's and the course's are their own. Scores: balanced accuracy, or R2.

Models, at their defaults: handgrad, handgrad-early and mlp, mlp-early (early_stopping=True);
skorch: mlp's network, Adam and its rate, on handgrad's batches for as many epochs as handgrad
took, so that the two do the same work; boosting: HistGradientBoosting.

    python benchmarks/tables.py [--tables digits ...] [--models mlp ...] [--seeds 0 1 2 3 4]

goes on with what benchmarks/tables.json lacks, and writes it and tables.md. The numbers of threads
are the libraries' own choice, unless OPENBLAS_NUM_THREADS and OMP_NUM_THREADS say otherwise. MNIST
takes the longest.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
RESULTS = Path(__file__).with_suffix(".json")
CLASSES = (0.02, 0.05, 0.08, 0.15, 0.2, 0.5)  # of the sensor table

# tables -------------------------------------------------------------------------------------


def bundled(name: str) -> Callable[[], tuple[Array, Array]]:
    """Give what loads a table that scikit-learn ships."""

    def load() -> tuple[Array, Array]:
        import sklearn.datasets

        X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        return X, y

    return load


def california() -> tuple[Array, Array]:
    """California housing, from the folder where scikit-learn has put it; nothing is fetched."""
    import sklearn.datasets

    return sklearn.datasets.fetch_california_housing(return_X_y=True, download_if_missing=False)


def sensors() -> tuple[Array, Array]:
    """10,000 x 64: hidden states of six uneven classes, mixed into sensors of several kinds."""
    rng = np.random.default_rng(18)
    y = rng.choice(len(CLASSES), size=10_000, p=CLASSES)
    centres = rng.normal(size=(len(CLASSES), 3, 8))  # three states a class
    state = centres[y, rng.integers(3, size=len(y))] + 0.7 * rng.normal(size=(len(y), 8))
    X = state @ rng.normal(size=(8, 64)) + rng.normal(size=(len(y), 64))
    X[:, :16] = np.exp(X[:, :16] / 4)  # skewed
    X[:, 16:32] = np.round(X[:, 16:32])  # counts
    X *= 10.0 ** rng.integers(-3, 4, size=64)  # each in its own unit
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, y


TABLES: dict[str, Callable[[], tuple[Array, Array]]] = {
    "digits": bundled("digits"),
    "breast cancer": bundled("breast_cancer"),
    "wine": bundled("wine"),
    "diabetes": bundled("diabetes"),
    "California": california,
    "course": lambda: (np.empty(0), np.empty(0)),
    "MNIST": lambda: (np.empty(0), np.empty(0)),
    "sensors": sensors,
}
REGRESSIONS = ("diabetes", "California")
PIXELS = ("digits", "MNIST")


def split(name: str, seed: int) -> dict[str, Array]:
    """Give a table's training and test rows; FileNotFoundError where it is not on this machine."""
    if name in ("course", "MNIST"):
        from handgrad.datasets import load_course, load_mnist

        data = load_course() if name == "course" else load_mnist(offline=True)
        if data.stand_in:
            raise FileNotFoundError(data.notice)
        X = np.concatenate([data.X_train, data.X_val]).reshape(-1, data.X_test[0].size)
        y = np.concatenate([data.y_train, data.y_val])
        return {"X": X, "y": y, "X_test": data.X_test.reshape(len(data.X_test), -1),
                "y_test": data.y_test}  # fmt: skip
    X, y = TABLES[name]()
    rng = np.random.default_rng(1000 + seed)
    groups = np.zeros(len(y), int) if name in REGRESSIONS else y
    test = np.zeros(len(y), bool)
    for group in np.unique(groups):
        rows = rng.permutation(np.flatnonzero(groups == group))
        test[rows[: round(len(rows) / 4)]] = True
    return {"X": X[~test], "y": y[~test], "X_test": X[test], "y_test": y[test]}


# models -------------------------------------------------------------------------------------


def handgrad(early: bool, regression: bool, seed: int) -> Any:
    """Make handgrad's estimator at its defaults."""
    from handgrad.estimators import HandgradClassifier, HandgradRegressor

    kind = HandgradRegressor if regression else HandgradClassifier
    return kind(random_state=seed, early_stopping=early)


def scaler(pixels: bool) -> Any:
    """What scales X for a network that does not: pixels by the largest, columns one by one."""
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return FunctionTransformer(as_pixels) if pixels else StandardScaler()


def as_pixels(X: Array) -> Array:
    """Pixels in [0, 1]: digits come in 0 to 16, MNIST as it should be."""
    return X / (16.0 if X.max() > 1 else 1.0)


def mlp(early: bool, regression: bool, seed: int, pixels: bool) -> Any:
    """scikit-learn's network at its defaults, behind a scaler."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline

    kind = MLPRegressor if regression else MLPClassifier
    return make_pipeline(scaler(pixels), kind(random_state=seed, early_stopping=early))


def boosting(early: bool, regression: bool, seed: int) -> Any:
    """scikit-learn's gradient-boosted trees at their defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return kind(random_state=seed)


class Skorch:
    """skorch's network on the CPU: mlp's layers and rate, handgrad's batches and epochs."""

    def __init__(self, regression: bool, seed: int, pixels: bool, work: list[int]) -> None:
        self.regression, self.seed, self.pixels = regression, seed, pixels
        self.epochs, self.batch = work

    def fit(self, X: Array, y: Array) -> Skorch:
        """Fit as many epochs as handgrad did."""
        import skorch
        import torch
        from torch import nn

        torch.manual_seed(self.seed)
        outputs = 1 if self.regression else int(y.max()) + 1
        net = nn.Sequential(nn.Linear(X.shape[1], 100), nn.ReLU(), nn.Linear(100, outputs))
        kind = skorch.NeuralNetRegressor if self.regression else skorch.NeuralNetClassifier
        options = {} if self.regression else {"criterion": nn.CrossEntropyLoss}
        self.net = kind(
            net, max_epochs=self.epochs, lr=1e-3, optimizer=torch.optim.Adam,
            batch_size=self.batch, iterator_train__shuffle=True, train_split=None, verbose=0,
            **options,
        )  # fmt: skip
        self.scale = scaler(self.pixels).fit(X)
        target = y.astype(np.float32)[:, None] if self.regression else y.astype(np.int64)
        self.net.fit(self.scale.transform(X).astype(np.float32), target)
        return self

    def predict(self, X: Array) -> Array:
        """Predict as its network does."""
        found = self.net.predict(self.scale.transform(X).astype(np.float32))
        return np.asarray(found).reshape(len(X))


MODELS = ("handgrad", "handgrad-early", "mlp", "mlp-early", "skorch", "boosting")


def fitted_once(model: str, table: str, seed: int, file: str, work: str) -> dict[str, float]:
    """Fit and score in this process; give what was measured in it."""
    with np.load(file) as arrays:
        data = dict(arrays)
    regression = table in REGRESSIONS
    X, X_test, y = data["X"], data["X_test"], data["y"]
    if model != "boosting" and X.dtype.kind == "f" and np.isnan(X).any():
        middle = np.nanmedian(X, axis=0)
        X, X_test = np.where(np.isnan(X), middle, X), np.where(np.isnan(X_test), middle, X_test)
    mean, spread = (y.mean(), y.std()) if regression else (0, 1)
    kind, _, early = model.partition("-")
    if kind == "skorch":
        estimator: Any = Skorch(regression, seed, table in PIXELS, json.loads(work))
    elif kind == "mlp":
        estimator = mlp(bool(early), regression, seed, table in PIXELS)
    else:
        make = handgrad if kind == "handgrad" else boosting
        estimator = make(bool(early), regression, seed)
    import warnings

    warnings.simplefilter("ignore")  # that epochs are over
    began = time.perf_counter()
    estimator.fit(X, (y - mean) / spread if regression else y)
    fit_seconds = time.perf_counter() - began
    predicted = estimator.predict(X_test) * spread + mean
    measured = {"fit_seconds": fit_seconds, "score": score(data["y_test"], predicted, regression)}
    if kind == "handgrad":
        rows = math.ceil(0.9 * len(X)) if early else len(X)
        from handgrad.estimators import settings

        measured |= {"epochs": estimator.n_iter_, "batch": settings.batch_rows(estimator, rows)}
    return measured


def score(y: Array, predicted: Array, regression: bool) -> float:
    """Balanced accuracy, or R2."""
    if regression:
        return float(1 - np.square(y - predicted).sum() / np.square(y - y.mean()).sum())
    return float(np.mean([np.mean(predicted[y == each] == each) for each in np.unique(y)]))


# the comparison -----------------------------------------------------------------------------


def measured(model: str, table: str, seed: int, file: Path, work: str) -> dict[str, float]:
    """Fit in a process of its own; give its seconds too."""
    command = [sys.executable, __file__, "--one", model, table, str(seed), str(file), work]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{model} on {table}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout) | {"process_seconds": seconds}


def compare(tables: list[str], models: list[str], seeds: list[int]) -> None:
    """Measure what is missing, and write it after every fit."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}, "missing": {}}
    results["machine"] = machine()
    runs = results["runs"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.npz"
        for table in tables:
            for seed in seeds:
                wanted = [m for m in models if f"{table}/{m}/{seed}" not in runs]
                if not wanted:
                    continue
                try:
                    np.savez(file, **split(table, seed))
                except OSError as error:
                    results["missing"][table] = str(error).splitlines()[0]
                    write(results)
                    continue
                results["missing"].pop(table, None)
                for model in wanted:
                    work = "[]"
                    if model == "skorch":
                        ours = runs.get(f"{table}/handgrad/{seed}") or {"epochs": 20, "batch": 128}
                        work = json.dumps([int(ours["epochs"]), int(ours["batch"])])
                    try:
                        run = measured(model, table, seed, file, work)
                    except RuntimeError as error:
                        print(error, file=sys.stderr)
                        continue
                    runs[f"{table}/{model}/{seed}"] = run
                    print(f"{table}, {model}, seed {seed}: {run['score']:.4f} in "
                          f"{run['fit_seconds']:.2f} s, process {run['process_seconds']:.2f} s",
                          flush=True)  # fmt: skip
                    write(results)
    write(results)


def machine() -> str:
    """Where it was measured."""
    from importlib.metadata import PackageNotFoundError, version

    versions = []
    for name in ("handgrad", "numpy", "scikit-learn", "torch", "skorch"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} not installed")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}; " + ", ".join(
        versions
    )


def write(results: dict[str, Any]) -> None:
    """Write tables.json, and tables.md from it."""
    for path, text in (
        (RESULTS, json.dumps(results, indent=1, sort_keys=True) + "\n"),
        (RESULTS.with_suffix(".md"), page(results)),
    ):
        new = path.with_name(f".{path.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)


def page(results: dict[str, Any]) -> str:
    """Lay the three tables out."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for key, run in results["runs"].items():
        table, model, _ = key.split("/")
        found.setdefault((table, model), []).append(run)

    def row(table: str, cell: Callable[[list[dict[str, float]]], str]) -> str:
        cells = [cell(found[table, m]) if (table, m) in found else "-" for m in MODELS]
        return f"| {table} | " + " | ".join(cells) + " |"

    def score_cell(runs: list[dict[str, float]]) -> str:
        scores = [run["score"] for run in runs]
        error = statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else 0.0
        return f"{100 * statistics.fmean(scores):.2f} ± {100 * error:.2f}"

    def seconds_cell(name: str) -> Callable[[list[dict[str, float]]], str]:
        return lambda runs: f"{statistics.median(run[name] for run in runs):.2f}"

    seeds = max((len(runs) for runs in found.values()), default=0)
    parts = [
        ("Balanced accuracy (R2 of " + ", ".join(REGRESSIONS) + "), %: mean and standard error of "
         f"{seeds} seeds", score_cell),
        ("Seconds of the fit, median", seconds_cell("fit_seconds")),
        ("Seconds of the whole process, imports included, median", seconds_cell("process_seconds")),
    ]  # fmt: skip
    lines = ["# Dense networks on tables", "", "`python benchmarks/tables.py` says what is "
             "compared and makes this page.", "", results.get("machine", "")]  # fmt: skip
    for title, cell in parts:
        lines += ["", f"## {title}", "", "| table | " + " | ".join(MODELS) + " |"]
        lines += ["|---" * (len(MODELS) + 1) + "|"]
        lines += [row(t, cell) for t in TABLES if any((t, m) in found for m in MODELS)]
    lines += [f"\nNot measured: {table}: {why}" for table, why in results["missing"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        model, table, seed, file, work = chosen.one
        print(json.dumps(fitted_once(model, table, int(seed), file, work)))
    else:
        compare(chosen.tables, chosen.models, chosen.seeds)


if __name__ == "__main__":
    main()

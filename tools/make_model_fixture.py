"""Write the golden models that tests/own_data/test_model_files.py must read for ever.

Run once for each version of the layout; what is written for an old version is never written again:

    python tools/make_model_fixture.py

It leaves tests/fixtures/model-VERSION.safetensors, one table's model with every kind of column, and
model-VERSION.json: rows that it is given, and what it answered when it was new.
"""

import json
import sys
from pathlib import Path

import numpy as np

from handgrad.models import VERSION, Model
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.tables import Columns, Preprocessor, TargetCoder, summarise

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "fixtures"


def rows(count=60):
    """Give a table with numbers, missing ones, a category, a boolean and a date."""
    rng = np.random.default_rng(7)
    weight = rng.normal(70, 12, count).round(2)
    height = np.where(np.arange(count) % 9 == 4, np.nan, rng.normal(170, 9, count).round(1))
    return {
        "weight": weight.tolist(),
        "height": [None if np.isnan(value) else value for value in height.tolist()],
        "town": np.array(["Köln", "Oslo", "Łódź"])[rng.integers(0, 3, count)].tolist(),
        "member": np.array(["yes", "no"])[rng.integers(0, 2, count)].tolist(),
        "since": [f"20{10 + i % 9}-0{1 + i % 8}-1{i % 9}" for i in range(count)],
        "class": np.where(weight > 76, "heavy", np.where(weight > 64, "middle", "light")).tolist(),
    }


def main():
    """Make the model of untrained weights: what matters is that the same numbers come out."""
    path = FIXTURES / f"model-{VERSION}.safetensors"
    if path.exists():
        sys.exit(f"{path} is there: a golden file is not written again")
    given = rows()
    columns = Columns(given)
    summary = summarise(columns, "class")
    coder = TargetCoder.fit(columns, summary)
    preprocessor = Preprocessor.fit(columns, summary)
    X, y = preprocessor.transform(columns), coder.encode(columns)
    layers = [Dense(6), BatchNorm(), ReLU(), Dropout(0.75), Dense(3)]
    shape = X.shape[1:]
    network = Network(layers, shape, dtype=np.float32, rng=np.random.default_rng(3))
    network.loss(X, y)  # moves the running statistics
    metrics = {"validation": {"net": {"accuracy": 0.5, "balanced_accuracy": 0.5, "log_loss": 1.0}}}
    model = Model(network, preprocessor, coder, metrics, {"data": "people.csv"})
    model.save(path)
    record = {
        "rows": given,
        "probabilities": model.outputs(columns).tolist(),
        "classes": model.predict(columns).tolist(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

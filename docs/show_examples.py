"""The networks that docs/show.md embeds: trained when the site is built, on what ships."""

from pathlib import Path

import numpy as np

from handgrad import show
from handgrad.datasets.idx import read_idx
from handgrad.datasets.mnist import read_sample
from handgrad.datasets.mnist_files import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from handgrad.export.source import Source
from handgrad.images import ImagePreprocessor
from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Network, ReLU
from handgrad.show.examples import Data, Examples
from handgrad.solver import Solver
from handgrad.tables import Columns, Preprocessor, summarise


def digits() -> str:
    """A small ConvNet on the 1,500 digits that ship with handgrad."""
    raws = read_sample()
    images = {name: read_idx(raws[name], 3)[:, None] for name in (TRAIN_IMAGES, TEST_IMAGES)}
    labels = {
        name: read_idx(raws[name], 1).astype(np.int64) for name in (TRAIN_LABELS, TEST_LABELS)
    }
    pixels = images[TRAIN_IMAGES]
    levels = (np.array([statistic]) for statistic in (pixels.mean(), pixels.std()))
    inputs = ImagePreprocessor((1, 28, 28), *levels)
    convolved = [Conv(8, 5), BatchNorm(), ReLU(), MaxPool(2), Flatten()]
    layers = [*convolved, Dense(32), ReLU(), Dropout(0.8), Dense(10)]
    network = Network(layers, (1, 28, 28), dtype="float32", rng=np.random.default_rng(0))
    about = {"title": "Digits", "data": "a sample of MNIST"}
    source = Source(network, inputs, np.arange(10), ("digit",), about=about)
    _train(network, inputs.transform(pixels), labels[TRAIN_LABELS])
    parts = [
        Examples(images[x], labels[y], [f"{noun} image {row}" for row in range(len(labels[y]))])
        for x, y, noun in (
            (TEST_IMAGES, TEST_LABELS, "test"),
            (TRAIN_IMAGES, TRAIN_LABELS, "training"),
        )
    ]
    data = Data(parts[0], parts[1], parts[0], "MNIST's test images, a sample (CC BY-SA 3.0)")
    return show.build(source, data, name="digits")


def rings() -> str:
    """A net of two inputs, whose decision surface can be drawn, on points in two rings."""
    rng = np.random.default_rng(0)
    angle, ring = rng.uniform(0, 2 * np.pi, 400), rng.integers(0, 2, 400)
    radius = 1 + ring + 0.2 * rng.standard_normal(400)
    columns = {"x": radius * np.cos(angle), "y": radius * np.sin(angle)}
    table = Columns({**columns, "ring": np.array(["inner", "outer"], object)[ring]})
    inputs = Preprocessor.fit(table, summarise(table, ("ring",)))
    network = Network([Dense(8), ReLU(), Dense(2)], (2,), dtype="float32", rng=rng)
    labels = np.array(["inner", "outer"], object)
    source = Source(network, inputs, labels, ("ring",), about={"data": "points"})
    _train(network, inputs.transform(table), ring, epochs=100)
    examples = Examples(table, ring, [f"point {row}" for row in range(400)])
    return show.build(source, Data(examples, examples, examples, "two rings"), name="rings")


def _train(network: Network, X, y, epochs=8) -> None:
    data = {"X_train": X, "y_train": y, "X_val": X[:50], "y_val": y[:50]}
    rule, settings = "adam", {"learning_rate": 3e-3}
    Solver(
        network, data, rule, settings, num_epochs=epochs, batch_size=50, verbose=False,
        rng=np.random.default_rng(0),
    ).train()  # fmt: skip


PAGES = {"show_digits.html": digits, "show_rings.html": rings}


def write(folder: Path) -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")

"""Trained on digits, exported, run without handgrad: the same classes; int8 within a point."""

import numpy as np
import pytest
from c_programs import needs_a_compiler, program, run

from handgrad.cnn import ConvNet
from handgrad.datasets import load_mnist
from handgrad.export.c_source import write_c
from handgrad.softmax import SoftmaxClassifier
from handgrad.solver import Solver

pytestmark = needs_a_compiler

NETWORKS = {
    "4.4": lambda rng: SoftmaxClassifier(784, 100, weight_scale="he", dtype=np.float32, rng=rng),
    "5.3": lambda rng: ConvNet(
        num_filters=8, filter_size=5, hidden_dim=50, weight_scale="he", rng=rng
    ),
    "5.4": lambda rng: ConvNet(
        num_filters=16, filter_size=5, hidden_dim=128, weight_scale="he", dropout=0.7, blocks=2,
        batchnorm=["conv"], rng=rng,
    ),
}  # fmt: skip


@pytest.mark.parametrize("question", list(NETWORKS))
def test_the_assignments_networks(question, tmp_path):
    """On all test rows: 10,000, or those of the sample in the package where there are no others."""
    data = load_mnist(offline=True)
    rng = np.random.default_rng(0)
    network = NETWORKS[question](rng)

    def as_input(X):
        return ((X - 0.13) / 0.31).reshape(len(X), *network.input_shape).astype(np.float32)

    rows = {"X_train": as_input(data.X_train[:900]), "y_train": data.y_train[:900]}
    Solver(
        network, rows, "sgd_momentum", {"learning_rate": 0.02}, batch_size=50, num_epochs=3, rng=rng
    ).train()
    X = as_input(data.X_test)
    wanted = network.predict(X)
    assert (wanted == data.y_test).mean() > 0.6  # of ten classes: it has learnt
    made = write_c(network, tmp_path / "float.c")
    runs = program(made.path, 784, 10)
    scores = run(runs, X, 10)
    ours = network.loss(X[:1000])
    np.testing.assert_allclose(scores[:1000], ours, rtol=1e-5, atol=1e-5 * np.abs(ours).max())
    assert (scores.argmax(axis=1) == wanted).mean() >= 0.9999  # two scores may tie to a rounding
    assert question != "5.4" or runs.stat().st_size < 1_000_000
    small = write_c(network, tmp_path / "int8.c", int8=True, calibration=rows["X_train"][:300])
    assert small.flash < made.flash / 3.5
    assert small.ram < made.ram / 3.5 or question == "4.4"  # there the input takes as much again
    found = run(program(small.path, 784, 10), X, 10).argmax(axis=1)
    assert (found == data.y_test).mean() >= (wanted == data.y_test).mean() - 0.01

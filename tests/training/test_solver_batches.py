"""A callback ends an epoch in its middle: what was trained till then is judged and recorded."""

import numpy as np
import pytest

from handgrad.network import Dense, Network
from handgrad.solver import Solver


class AfterSteps:
    """Ends the first epoch once so many steps were made, and training with the second."""

    def __init__(self, steps):
        self.steps, self.told = steps, 0

    def on_batches_end(self, solver):
        self.told += 1
        return solver.epoch == 0 and len(solver.loss_history) >= self.steps

    def on_epoch_end(self, solver, record):
        return record["epoch"] == 2


@pytest.mark.parametrize("engine", ["", "layers"])
def test_an_epoch_ends_where_a_callback_says_so(monkeypatch, engine):
    monkeypatch.setenv("HANDGRAD_ENGINE", engine)
    rng = np.random.default_rng(0)
    # Wide rows, of which the engine takes 2**22 numbers, here 64 rows, at a time.
    X = rng.normal(size=(200, 2**16)).astype(np.float32)
    y = rng.integers(0, 2, 200)
    data = {"X_train": X, "y_train": y, "X_val": X[:20], "y_val": y[:20]}
    net = Network([Dense(2)], (2**16,), dtype=np.float32, rng=np.random.default_rng(1))
    callback = AfterSteps(3)
    solver = Solver(
        net, data, "sgd", {"learning_rate": 1e-6}, batch_size=32, num_epochs=9,
        rng=np.random.default_rng(2), verbose=False, callbacks=[callback],
    )  # fmt: skip
    solver.train()
    assert len(solver.history) == 2
    first, second = solver.history
    steps = len(solver.loss_history) - 7  # the second epoch has all of its ceil(200 / 32)
    assert 3 <= steps < 7
    assert first["loss"] == pytest.approx(np.mean(solver.loss_history[:steps]))
    # The last batch of the second epoch has 8 rows.
    rows = [32] * 6 + [8]
    assert second["loss"] == pytest.approx(np.average(solver.loss_history[steps:], weights=rows))
    assert callback.told > 2

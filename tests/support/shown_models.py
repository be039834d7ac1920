"""Models as `handgrad train` and `handgrad reproduce` leave them, for tests of their page."""

import numpy as np
from own_data_runs import flowers, write_csv

from handgrad import checkpoint
from handgrad.datasets import load_course, load_mnist
from handgrad.experiments import EXPERIMENTS
from handgrad.models import Model
from handgrad.network import Dense, Dropout, Network, ReLU
from handgrad.scaling import mean_and_deviation
from handgrad.solver import Solver
from handgrad.tables import Preprocessor, TargetCoder, open_table, summarise

PARAMS = {
    "2.4": {"hidden_dim": 40, "reg": 0.003, "learning_rate": 0.1},
    "3.4": {"hidden_dim": 10, "reg": 0.01, "learning_rate": 0.1},
    "4.4": {"hidden_dim": 800, "reg": 3e-4, "learning_rate": 0.1},
    "5.4": {"architecture": "2 blocks, norm everywhere, dropout after fc", "keep": 0.8},
}


def reproduction(folder, experiment, *, epochs=1):
    """Train an experiment's net a little on what ships with handgrad, as reproduce leaves it.

    Returns the path of the model's file and the network.
    """
    asked = EXPERIMENTS[experiment]
    data = load_mnist(offline=True) if asked.data == "mnist" else load_course()
    X, y = data.X_train[:800], data.y_train[:800]
    mean, deviation = mean_and_deviation(X, axis=None if X.ndim == 4 else 0)
    rng = np.random.default_rng(0)
    network = asked.build(PARAMS[experiment], X.shape[1:], rng)
    rows = {"X_train": X, "X_val": data.X_val[:100]}
    rows = {name: (part - mean) / deviation for name, part in rows.items()}
    given = rows | {"y_train": y, "y_val": data.y_val[:100]}
    settings = dict(asked.solver(PARAMS[experiment]))
    Solver(network, given, num_epochs=epochs, verbose=False, rng=rng, **settings).train()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    arrays = {**network.params, **network.state, "input_mean": mean, "input_std": deviation}
    checkpoint.write(path, arrays, {"experiment": experiment, "params": PARAMS[experiment]})
    return path, network


def table_model(folder, columns=None, target="kind", *, epochs=20):
    """Train a net on a table of numbers and a colour, as train leaves it.

    Returns the paths of the model's file and of the table, and the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = write_csv(folder / "flowers.csv", flowers() if columns is None else columns)
    table = open_table(data).read()
    summary = summarise(table.without([]), (target,))
    coder = TargetCoder.fit(table, summary)
    inputs = Preprocessor.fit(table, summary)
    X, y = inputs.transform(table), coder.encode(table)
    rng = np.random.default_rng(0)
    outputs = len(coder.names) if coder.task == "regress" else len(coder.classes)
    loss = {"regress": "mse", "classify": "softmax"}[coder.task]
    layers = [Dense(8), ReLU(), Dropout(0.9), Dense(outputs)]
    network = Network(layers, X.shape[1:], loss=loss, rng=rng, dtype="float32")
    given = {"X_train": X, "y_train": y, "X_val": X[:30], "y_val": y[:30]}
    Solver(
        network, given, update_rule="adam", num_epochs=epochs, batch_size=20, verbose=False, rng=rng
    ).train()
    model = Model(network, inputs, coder, {}, {"data": data.name})
    path = folder / "model.safetensors"
    model.save(path)
    return path, data, model

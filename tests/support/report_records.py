"""A made-up results folder with every kind of record that the report shows; nothing is trained."""

import json

import numpy as np

from handgrad import pictures
from handgrad.analysis import CLASS_NAMES, analyse
from handgrad.probabilities import logistic_pair, softmax
from handgrad.results import (
    DataRecord,
    Difference,
    Edge,
    ExperimentRecord,
    Interval,
    LayerRecord,
    NotRun,
    Results,
    Series,
    Setup,
    Spread,
    Study,
    Trial,
)


def _analysis(id, seed, rng):
    if id[0] in "23":
        labels = rng.integers(0, 2, 250)
        scores = (2 * labels - 1) * 2.0 + rng.normal(0, 2, 250)
        return analyse(
            labels,
            seed=seed,
            classes=CLASS_NAMES["course"],
            scores=scores,
            probabilities=logistic_pair(scores) if id[0] == "2" else None,
            sheets=[pictures.signed(rng.normal(size=(1, 5, 20)), "Weights", "5 units.", 1)],
        )
    name, shape = ("mnist", (1, 28, 28)) if id[0] in "45" else ("cifar10", (3, 32, 32))
    labels = rng.integers(0, 10, 300)
    scores = 3 * np.eye(10)[labels] + rng.normal(size=(300, 10))
    filters = rng.normal(size=(16, 3, 3, 3))
    sheet = (
        pictures.coloured(filters, "Filters", "Colours.", 8)
        if shape[0] == 3
        else pictures.positive(filters[:, 0], "Maps", "Grey.", 8)
    )
    return analyse(
        labels,
        seed=seed,
        classes=CLASS_NAMES[name],
        probabilities=softmax(scores),
        images=rng.integers(0, 256, (300, *shape)).astype(np.uint8),
        sheets=[sheet],
    )


def setup(id, trials):
    """Make up what was trained."""
    searched = {}
    for trial in trials if id[0] != "6" else ():
        for name, value in trial.params.items():
            searched[name] = tuple(dict.fromkeys((*searched.get(name, ()), value)))
    return Setup(
        input_shape=(1, 28, 28),
        layers=(
            LayerRecord("Conv2d", "1, 8, kernel_size=(3, 3)", (8, 26, 26), 72),
            LayerRecord("Dropout", "keep 0.7 (drop 0.3)", (8, 26, 26), 0),
            LayerRecord("Dense", "units 10", (10,), 12_273),
        ),
        train_rows=54_000,
        val_rows=6_000,
        test_rows=10_000,
        preprocessing="pixels in [0, 1] & <less> 0.1307",
        initialisation="weights normal",
        loss="softmax loss",
        optimizer="nesterov",
        schedule="one_cycle: warm_up 0.3",
        batch_size=100,
        fixed={"momentum": 0.9, "widths": [8, 16], "flip": "none"},
        validation_accuracy="the best epoch's, whose weights are kept and tested",
        training_accuracy="after the epoch, on at most 1,000 evenly spaced training rows",
        searched=searched,
        control={"keep": 0.4} if id == "5.4" else {},
        search_epochs=2 if searched else 0,
        search_rows=54_000,
        search_seeds=1,
        finalists=3 if id == "5.4" else 0,
        finalist_seeds=3 if id == "5.4" else 0,
        reference="6.2" if id == "6.3" else None,
        differences=(
            Difference("optimizer", "adam", "muon"),
            Difference("widths", [8, 16], [32, 48]),
            Difference("batch_norm", False, True),
            Difference("learning_rate", 1e-3, 0.05),
        )
        if id == "6.3"
        else (),
    )


def _experiment(folder, id, title, data, trials, chosen, seeds, epochs, rng):
    files = {"history.jsonl": [], "analysis.json": [], "model.safetensors": []}
    for seed in seeds:
        run = folder / "runs" / id / f"seed-{seed}"
        run.mkdir(parents=True)
        lines = []
        for epoch in range(1, epochs + 1):
            line = {"epoch": epoch, "loss": float(2 / epoch + rng.random() / 10)}
            line["train_accuracy"] = float(1 - 0.4 / epoch - rng.random() / 50)
            if id[0] == "6":
                line["train_loss"] = line.pop("loss")
            if id[0] != "6" or epoch % 3 == 0:  # question 6 does not judge every epoch
                line["val_accuracy"] = float(1 - 0.45 / epoch - rng.random() / 50)
            lines.append(line)
        (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        _analysis(id, seed, rng).write(run / "analysis.json")
        for name, found in files.items():
            found.append(f"runs/{id}/seed-{seed}/{name}")
    spread = Spread.of([0.9 + float(rng.random()) / 20 for _ in seeds])
    return ExperimentRecord(
        id=id,
        title=title,
        data=data,
        chosen=chosen,
        trials=tuple(trials),
        seeds=tuple(seeds),
        val_accuracy=Spread.of([v - 0.001 for v in spread.values]),
        test_accuracy=spread,
        test_interval=Interval.wilson(spread.mean, 250),
        parameters=12_345,
        epochs=epochs,
        train_seconds=12.345,
        search_seconds=123.45,
        models=tuple(files["model.safetensors"]),
        setup=setup(id, trials),
        conclusions=("5 to 160 hidden units lie within 0.30 points.", "250 rows resolve 3.00."),
        edges=(
            Edge("reg", "open", "reg 0.1, where the curve still rises & on."),
            Edge("hidden_dim", "flat", "hidden units 5, where the curve has flattened."),
        )
        if id == "2.4"
        else (),
        histories=tuple(files["history.jsonl"]),
        analyses=tuple(files["analysis.json"]),
        test_accuracy_mirrored=Spread.of([0.91, 0.93]) if id == "6.3" else None,
    )


def _grid(rng, **space):
    grids = np.meshgrid(*[np.arange(len(v)) for v in space.values()], indexing="ij")
    for index in zip(*[g.ravel() for g in grids], strict=True):
        params = {k: v[i] for (k, v), i in zip(space.items(), index, strict=True)}
        yield Trial(params, 0.9 + float(rng.random()) / 20, 1.5)


def write(folder):
    """Write a folder; return its Results."""
    rng = np.random.default_rng(0)
    grid = list(
        _grid(
            rng,
            hidden_dim=[5, 10, 20, 40, 80, 160],
            reg=[0.1, 0.03, 0.01, 0.003, 0.001, 0.0],
            learning_rate=[0.01, 0.03, 0.1],
        )
    )
    grid[7] = Trial(grid[7].params, None, 0.5, "the loss became nan at iteration 7 & <more>")
    architectures = [f"{n} blocks, norm everywhere, dropout after fc" for n in (1, 2)]
    nets = list(_grid(rng, architecture=architectures, keep=[0.4, 0.55, 0.7]))
    changes = [
        Trial({"group": "none", "change": "improved"}, 0.87, 60.0),
        Trial({"group": "optimizer", "change": "adamw", "optimizer": "adamw"}, 0.86, 61.0),
        Trial({"group": "size", "change": "half", "widths": [8, 16, 32]}, 0.8, 40.0),
    ]
    add = lambda *rest: _experiment(folder, *rest, rng)  # noqa: E731
    improved = {"recipe": "improved", "epochs": 20}
    experiments = (
        add("2.4", "Logistic loss, one hidden layer", "course", grid, grid[0].params, range(5), 40),
        add("3.3", "Linear SVM", "course", grid[:9], grid[8].params, range(2), 1),
        add("5.4", "ConvNet & <norm>", "mnist", nets, nets[2].params, [0, 1, 2], 14),
        add("6.3", "VGG11 improved", "cifar10", changes, improved, [0, 1], 20),
    )
    lines = (
        Series("sigmoid", (1.0, 2.0, 3.0), (1e-6, 1e-4, 1e-2)),
        Series("ReLU", (1.0, 2.0, 3.0), (0.5, None, 0.25)),
    )
    results = Results(
        profile="smoke",
        seed=0,
        command="handgrad reproduce --out '<b>&amp;é'",
        environment={"handgrad": "0.1.0", "numpy": "2.0", "processors": 2},
        data={
            "course": DataRecord("stand-in (generated)", {"stand-in": "ab" * 32}, True),
            "mnist": DataRecord("IDX files", {"train-images": "cd" * 32, "x": "ef" * 32}, False),
            "cifar10": DataRecord("binary files", {"test_batch.bin": "01" * 32}, False),
        },
        experiments=experiments,
        not_run=(NotRun("6.2", "VGG11 as given", "there is no <torch>"),),
        studies=(
            Study(
                *("7.1", "Gradient norms", "From our layers.", "layer", "gradient norm"),
                *(True, lines, "handgrad study 7.1", 0.5),
            ),
        ),
    )
    results.write(folder / "results.json")
    return results

"""A run goes on from a checkpoint of equal settings, however they are written."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import children
import numpy as np
import pytest

from handgrad import checkpoint as checkpoints
from handgrad.errors import CheckpointError
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.optim import adam, sgd
from handgrad.solver import Solver


def data():
    draw = np.random.default_rng(0)
    X, y = draw.standard_normal((30, 4)), draw.integers(0, 2, 30)
    return {"X_train": X[:20], "y_train": y[:20], "X_val": X[20:], "y_val": y[20:]}


def net(layers=None, **options):
    layers = layers or [Dense(5), ReLU(), Dense(2)]
    return Network(layers, (4,), rng=np.random.default_rng(1), **options)


def solver_of(path, model=None, rows=None, rule="adam", **options):
    options = {"batch_size": 8, "num_epochs": 2, "rng": np.random.default_rng(2), **options}
    return Solver(model or net(), rows or data(), rule, checkpoint=path, **options)


def goes_on(path, first, then):
    """Train two epochs with the first settings, and see that the others find that it is done."""
    solver_of(path, **first()).train()
    solver = solver_of(path, **then())
    solver.train()
    assert solver.epoch == 2
    return solver


def same(key, *values):
    """Cases of one setting, each value against each other."""
    return [
        pytest.param(key, a, b, id=f"{key} {type(a).__name__} {type(b).__name__} {i}{j}")
        for i, a in enumerate(values)
        for j, b in enumerate(values)
        if i != j
    ]


@pytest.mark.parametrize(
    ("key", "a", "b"),
    [
        *same("learning_rate", 0.5, np.float32(0.5), np.float64(0.5), np.array(0.5)),
        *same("learning_rate", 1, 1.0, np.int8(1), np.float16(1)),
        *same("learning_rate", 0.01, np.logspace(-2, -1, 2)[0]),
        *same("beta1", 0, 0.0, -0.0, np.uint8(0)),
    ],
)
def test_equal_numbers_in_optim_config(tmp_path, key, a, b):
    goes_on(
        tmp_path / "run",
        lambda: {"optim_config": {"learning_rate": 0.01, key: a}},
        lambda: {"optim_config": {key: b, "learning_rate": b if key == "learning_rate" else 0.01}},
    )


def plain_rule(w, dw, config):
    """SGD that carries any other entries of its config along."""
    return w - config.get("learning_rate", 0.1) * dw, config


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0.9, 1), [0.9, 1.0]),
        ([0.9, 1], np.array([0.9, 1.0])),
        ((1, (2, 3.0)), [np.float64(1), (2.0, np.int64(3))]),
        ({"a": 1, "b": (2,)}, {"b": [2.0], "a": True + 0.0}),
        (np.arange(2000), np.arange(2000.0)),
        (np.nan, np.float32(np.nan)),
        ("text", np.str_("text")),
    ],
    ids=str,
)
def test_equal_values_in_a_rules_own_config(tmp_path, a, b):
    for name, one, two in (("ab", a, b), ("ba", b, a)):
        goes_on(
            tmp_path / name,
            lambda one=one: {"rule": plain_rule, "optim_config": {"own": one}},
            lambda two=two: {"rule": plain_rule, "optim_config": {"own": two}},
        )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (0.1, np.float32(0.1)),  # 0.100000001490116
        (1, 1 + 1e-15),
        ((1, 2), (2, 1)),
        ((1, 2), (1, 2, 0)),
        ("1", 1),
        (None, 0),
        (np.arange(2000), np.arange(2000) + (np.arange(2000) == 1000)),  # shown alike: [0 1 ...]
        ({"a": 1}, {"b": 1}),
        (len, max),
    ],
    ids=str,
)
def test_other_values_are_another_run(tmp_path, a, b):
    solver_of(tmp_path / "run", rule=plain_rule, optim_config={"own": a}).train()
    solver = solver_of(tmp_path / "run", rule=plain_rule, optim_config={"own": b})
    with pytest.raises(CheckpointError, match=r"another run: its optim_config differ"):
        solver.train()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (lambda: {"batch_size": 8}, lambda: {"batch_size": np.int64(8)}),
        (lambda: {"num_epochs": 2}, lambda: {"num_epochs": np.uint8(2)}),
        (lambda: {"num_train_samples": 7}, lambda: {"num_train_samples": np.int64(7)}),
        (lambda: {"lr_decay": 1}, lambda: {"lr_decay": np.float32(1)}),
        (lambda: {"model": net(reg=0)}, lambda: {"model": net(reg=np.float32(0))}),
        (lambda: {"model": net(reg=1)}, lambda: {"model": net(reg=1.0)}),
        (
            lambda: {"model": net([Dense(5), Dropout(1), Dense(2)])},
            lambda: {"model": net([Dense(np.int64(5)), Dropout(1.0), Dense(2)])},
        ),
        (
            lambda: {"model": net([Dense(5), BatchNorm(0.5), Dense(2)])},
            lambda: {"model": net([Dense(5), BatchNorm(np.float32(0.5)), Dense(2)])},
        ),
        (lambda: {"rule": "adam"}, lambda: {"rule": adam}),
        (lambda: {}, lambda: {"rows": SimpleNamespace(**data())}),
        (lambda: {"verbose": True}, lambda: {"verbose": False, "print_every": 1}),
    ],
    ids=[
        "batch_size",
        "num_epochs",
        "num_train_samples",
        "lr_decay",
        "reg 0",
        "reg 1",
        "layers",
        "batch norm",
        "rule",
        "rows",
        "the screen",
    ],
)
def test_equal_settings_of_other_types(tmp_path, first, then):
    goes_on(tmp_path / "ab", first, then)
    goes_on(tmp_path / "ba", then, first)


def test_equal_rows_of_another_byte_and_memory_order(tmp_path):
    def turned():
        return {
            name: np.asarray(array, array.dtype.newbyteorder(">"), order="F")
            for name, array in data().items()
        }

    goes_on(tmp_path / "ab", lambda: {}, lambda: {"rows": turned()})
    goes_on(tmp_path / "ba", lambda: {"rows": turned()}, lambda: {})


class Own:
    """Least squares on two scores, by hand, as a student's model may be."""

    def __init__(self, reg, dtype=np.float64):
        self.params, self.reg = {"W": np.ones((4, 2)).astype(dtype)}, reg

    def loss(self, X, y=None):
        scores = X @ self.params["W"]
        if y is None:
            return scores
        residual = scores - np.eye(2)[y]
        return 0.5 * float(np.sum(residual**2)), {"W": X.T @ residual}


def test_a_model_of_ones_own_with_numpys_numbers_goes_on(tmp_path):
    options = {"rule": "sgd", "optim_config": {"learning_rate": 1e-3}}
    for i, (a, b) in enumerate(((np.float32(0.5), 0.5), (1, 1.0), (0.5, np.float32(0.5)))):
        path = tmp_path / str(i)
        goes_on(
            path, lambda a=a: options | {"model": Own(a)}, lambda b=b: options | {"model": Own(b)}
        )
    with pytest.raises(CheckpointError, match="its reg differ"):
        solver_of(path, Own(0.25), **options).train()


def test_parameters_of_another_byte_order_go_on_more_than_once(tmp_path):
    def options():
        return {"model": Own(0, ">f8"), "rule": plain_rule}

    goes_on(tmp_path / "run", options, options)
    goes_on(tmp_path / "run", options, options)


# functions and objects in the settings --------------------------------------------------------


@dataclass
class Warmup:
    """A value of the config that shows itself as it is called."""

    steps: float


class Plain:
    """A value of the config that shows itself by its address only."""

    def __init__(self, size):
        self.size = size

    def __call__(self, w):
        return self.size


def halved(w):
    return 0.5 * w


def child(path):
    """Train, or go on, in a process of its own, where every address is another."""
    rule = functools.partial(plain_rule)
    rows = [bytearray(1000) for _ in range(int(os.environ["SPACE"]))]  # moves the addresses
    config = {"f": halved, "p": functools.partial(halved), "o": Plain(3), "l": lambda w: w}
    solver = solver_of(Path(path), rule=rule, optim_config=config)
    solver.train()
    print(solver.epoch, len(rows), hex(id(config["o"])))


def test_functions_and_objects_are_known_again_in_another_process(tmp_path):
    code = "import sys, test_solver_checkpoint_settings as t; t.child(sys.argv[1])"
    shown = []
    for space in ("10", "5000"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "run")],
            env=children.importing(__file__, SPACE=space),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout.split())
    assert [line[:2] for line in shown] == [["2", "10"], ["2", "5000"]]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (functools.partial(plain_rule), functools.partial(plain_rule, config={})),
        (functools.partial(sgd), functools.partial(adam)),
        (Plain(1), Plain(2)),
        (Plain(1), halved),
    ],
    ids=["arguments", "functions", "attributes", "kinds"],
)
def test_other_functions_and_objects_are_another_run(tmp_path, a, b):
    options = {"rule": plain_rule}
    solver_of(tmp_path / "run", **options, optim_config={"f": a}).train()
    with pytest.raises(CheckpointError, match="its optim_config differ"):
        solver_of(tmp_path / "run", **options, optim_config={"f": b}).train()


def test_a_function_in_the_config_goes_on_with_the_rule(tmp_path):
    def rule(w, dw, config):
        if "shrink" not in config:  # the Solver's trial of a rule has an empty config too
            return w, config
        turns = config.get("turns", ())
        config["turns"] = (*turns, np.float32(len(turns)))
        scale = config.get("scale", np.array(1.0))  # an array without an axis
        assert isinstance(scale, np.ndarray)
        assert scale.shape == ()
        config["scale"] = np.array(scale * 0.5)
        return config["shrink"](w) - config["scale"] * dw, config

    def train(path, stop=None):
        def on_epoch(record):
            if record["epoch"] == stop:
                raise KeyboardInterrupt

        solver = solver_of(
            path, rule=rule, optim_config={"shrink": halved}, num_epochs=4, on_epoch=on_epoch
        )
        if stop:
            with pytest.raises(KeyboardInterrupt):
                solver.train()
        else:
            solver.train()
        return solver

    train(tmp_path / "run", stop=2)
    went_on, whole = train(tmp_path / "run"), train(None)
    for name, array in whole.model.params.items():
        np.testing.assert_array_equal(went_on.model.params[name], array, strict=True)
    for name, config in whole.optim_configs.items():
        assert went_on.optim_configs[name]["turns"] == config["turns"]
        assert type(went_on.optim_configs[name]["turns"][0]) is np.float32
        assert went_on.optim_configs[name]["scale"].shape == ()
        assert went_on.optim_configs[name]["scale"] == 0.5**12


# what a file cannot keep is said before any training -------------------------------------------


def untrained(model=None, **options):
    model = model or net()

    def loss(X, y=None):
        raise AssertionError("it trained")

    model.loss = loss
    with pytest.raises(ValueError, match="checkpoint") as raised:
        solver_of(model=model, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_cannot_be_kept_is_said_at_once(tmp_path):
    path = tmp_path / "run"
    text = untrained(path=path, rule=plain_rule, optim_config={"noise": np.random.default_rng(0)})
    assert text.endswith("got optim/W1/noise of type Generator")
    text = untrained(path=path, model=Own(0, np.complex128), rule=plain_rule)
    assert text.endswith("got params/W of complex128")
    model = Own(0)
    model.rng = np.random.RandomState(0)
    text = untrained(path=path, model=model)
    assert text.startswith("Solver: with a checkpoint, the model's rng must be a numpy.random.Gen")
    text = untrained(path=tmp_path / "missing" / "run")
    assert "does not exist; make it first" in text
    (tmp_path / "link").symlink_to("missing/run")
    assert "does not exist; make it first" in untrained(path=tmp_path / "link")
    assert [file.name for file in tmp_path.iterdir()] == ["link"]


def test_without_a_checkpoint_a_model_may_draw_as_it_likes():
    model = Own(0)
    model.rng = np.random.RandomState(0)
    solver_of(None, model, rule="sgd", optim_config={"learning_rate": 1e-3}).train()
    assert np.isfinite(model.params["W"]).all()


def test_a_checkpoint_behind_a_symbolic_link_is_written_and_gone_on_from(tmp_path):
    (tmp_path / "store").mkdir()
    link = tmp_path / "run"
    link.symlink_to("store/real")

    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver_of(link, on_epoch=stop).train()
    assert link.is_symlink()
    assert checkpoints.read(tmp_path / "store" / "real")[1]["epoch"] == 1
    solver, whole = solver_of(link), solver_of(None)
    solver.train()
    whole.train()
    assert link.is_symlink()
    assert checkpoints.read(tmp_path / "store" / "real")[1]["epoch"] == 2
    assert [file.name for file in (tmp_path / "store").iterdir()] == ["real"]
    assert solver.loss_history == whole.loss_history

"""Two layers, parameters, models in turn; and what check says is true of what the case did."""

from pathlib import Path

import numpy as np
import pytest
from check_corpus.mutants import write_plain

from handgrad.check import check_submission
from handgrad.check.case import Setting, Want
from handgrad.check.cases import all_cases
from handgrad.check.cases.in_turn import IN_TURN, OTHER_TESTED, SOME_TESTED
from handgrad.check.conventions import other_course, parse
from handgrad.check.formats.findings import findings
from handgrad.check.verdict.compare import compare
from handgrad.check.verdict.diagnosis import CAUSES
from handgrad.check.verdict.judge import causes_of

HEAD = "import numpy as np\n"
RELU = (
    HEAD
    + """
K = None

def relu_forward(x):
    global K
    K = x > 0
    return np.maximum(x, 0), x

def relu_backward(dout, cache):
    return dout * K
"""
)
FC = (
    HEAD
    + """
S = {}

def fc_forward(x, w, b):
    S["x"], S["w"] = x, w
    return x.reshape(len(x), -1) @ w + b, None

def fc_backward(dout, cache):
    x, w = S["x"], S["w"]
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(0)
"""
)
POOL = (
    HEAD
    + """
S = {}

def windows(shape, p):
    h, w, s = p["pool_height"], p["pool_width"], p["stride"]
    OH, OW = 1 + (shape[2] - h) // s, 1 + (shape[3] - w) // s
    for i, j in np.ndindex(OH, OW):
        yield i, j, (slice(i * s, i * s + h), slice(j * s, j * s + w)), (OH, OW)

def max_pool_forward(x, pool_param):
    S["x"], S["p"] = x, pool_param
    size = next(windows(x.shape, pool_param))[3]
    out = np.zeros((*x.shape[:2], *size), x.dtype)
    for i, j, place, _ in windows(x.shape, pool_param):
        out[:, :, i, j] = x[(..., *place)].max((2, 3))
    return out, None

def max_pool_backward(dout, cache):
    x, p = S["x"], S["p"]
    dx = np.zeros(x.shape, dout.dtype)
    for n, c in np.ndindex(x.shape[:2]):
        for i, j, place, _ in windows(x.shape, p):
            a = x[(n, c, *place)]
            k = np.unravel_index(a.argmax(), a.shape)
            dx[(n, c, *place)][k] += dout[n, c, i, j]
    return dx
"""
)
DROPOUT = (
    HEAD
    + """
S = {}

def dropout_forward(x, dropout_param):
    p, seed = dropout_param["p"], dropout_param.get("seed")
    if dropout_param["mode"] == "test":
        S["m"] = x.dtype.type(p)
    else:
        draw = np.random.rand if seed is None else np.random.RandomState(seed).rand
        S["m"] = (draw(*x.shape) < p).astype(x.dtype)
    return x * S["m"], None

def dropout_backward(dout, cache):
    return dout * S["m"]
"""
)
VELOCITY = (
    HEAD
    + """
V = None

def sgd_momentum(w, dw, config=None):
    global V
    c = {"learning_rate": 1e-2, "momentum": 0.9, **(config or {})}
    if c.get("velocity") is None or V is None or V.shape != w.shape:
        V = np.zeros_like(w) if c.get("velocity") is None else c["velocity"]
    V = c["velocity"] = c["momentum"] * V - c["learning_rate"] * dw
    return w + V, c
"""
)
DEFAULT = (
    HEAD
    + """
def sgd_momentum(w, dw, config={}):
    config = {} if config is None else config
    config.setdefault("learning_rate", 1e-2)
    config.setdefault("momentum", 0.9)
    v = config["momentum"] * config.get("velocity", 0) - config["learning_rate"] * dw
    config["velocity"] = v
    return w + v, config
"""
)


def failed(tmp_path: Path, text: str, topic: str, name: str = "layers.py"):
    path = tmp_path / name
    path.write_text(text)
    report = check_submission(path, only=[topic], timeout=60)
    return {(c.function, c.name): c for c in report.cases if c.status not in ("passed", "missing")}


@pytest.mark.parametrize(
    ("text", "topic", "function", "names"),
    [
        (RELU, "relu", "relu_backward", [IN_TURN]),
        (FC, "fc", "fc_backward", [IN_TURN]),
        (POOL, "pool", "max_pool_backward", [IN_TURN]),
        (DROPOUT, "dropout", "dropout_backward", [IN_TURN, OTHER_TESTED, SOME_TESTED]),
    ],
    ids=["relu", "fc", "pool", "dropout"],
)
def test_a_backward_of_the_last_forward_fails_in_the_cases_that_name_it(
    tmp_path, text, topic, function, names
):
    cases = failed(tmp_path, text, topic)
    assert list(cases) == [(function, name) for name in names]
    assert len(findings(cases.values())) == 1
    for case in cases.values():
        assert case.diagnosis == "last-forward-not-cache"
        assert "not its own cache" in case.detail
        assert "another forward had run since its own" in case.detail


@pytest.mark.parametrize("text", [VELOCITY, DEFAULT], ids=["global", "mutable default"])
def test_state_shared_by_two_parameters_is_named(tmp_path, text):
    cases = failed(tmp_path, text, "sgd_momentum", "optim.py")
    assert list(cases) == [("sgd_momentum", "two parameters in turn")]
    assert {case.diagnosis for case in cases.values()} == {"state-shared"}


def test_every_pair_loss_rule_model_and_solver_has_its_turns():
    for convention in ("handgrad", "cs231n"):
        cases = all_cases(Setting(parse(convention), 0))
        functions = {c.function for c in cases if c.group not in ("time",)}
        turned = {c.function for c in cases if "in turn" in c.name}
        pairs = {f for f in functions if "_backward" in f}
        others = {c.function for c in cases if c.group in ("losses", "optim", "models", "solver")}
        assert turned >= pairs | others
        twice = {c.function for c in cases if c.name == "the same cache twice"}
        assert twice == pairs


def test_what_the_module_keeps_of_shapes_alone_is_no_mistake(tmp_path):
    text = (
        HEAD
        + """
INDEX = {}

def relu_forward(x):
    INDEX.setdefault(x.shape, np.arange(x.size).reshape(x.shape))
    return np.maximum(x, 0), x

def relu_backward(dout, cache):
    return (dout * (cache > 0)).reshape(-1)[INDEX[dout.shape]]
"""
    )
    assert failed(tmp_path, text, "relu") == {}


# -- what is said is what the case did ------------------------------------------------------------


MASKED = (
    HEAD
    + """
def dropout_forward(x, dropout_param):
    p, mode, seed = dropout_param["p"], dropout_param["mode"], dropout_param.get("seed")
    {first}
    if mode == "test":
        return x * x.dtype.type(p), x.dtype.type(p)
    draw = np.random.rand if seed is None else np.random.RandomState(seed).rand
    mask = (draw(*x.shape) < p).astype(x.dtype)
    return x * mask, mask

def dropout_backward(dout, cache):
    return dout * cache
"""
)


@pytest.mark.parametrize(
    ("first", "cause", "shown"),
    [
        ("mode == 'test' and np.random.rand()", "test-mode-draws", "[test mode]"),
        ("mode == 'test' and np.random.seed(seed)", "test-mode-draws", "[test mode]"),
        ("mode == 'train' and seed and np.random.seed(seed)", "global-random-state",
         "[training with a seed]"),
    ],
    ids=["draws", "seeds in testing", "seeds in training"],
)  # fmt: skip
def test_who_moves_the_generator_is_told_of_a_seed_only_where_there_was_one(
    tmp_path, first, cause, shown
):
    cases = failed(tmp_path, MASKED.format(first=first), "dropout")
    assert list(cases) == [("dropout_forward", "the global generator is left alone")]
    [case] = cases.values()
    assert case.diagnosis == cause
    assert shown in case.detail
    assert ("seed was given" in case.detail) == (cause == "global-random-state")


def test_moving_the_statistics_in_test_mode_is_no_normalising_with_the_batch(tmp_path):
    text = (
        HEAD
        + """
def batchnorm_forward(x, gamma, beta, bn_param):
    D, keep = x.shape[1], bn_param.get("momentum", 0.9)
    old = {k: bn_param.get(k, np.zeros(D, x.dtype)) for k in ("running_mean", "running_var")}
    mean, var = x.mean(axis=0), x.var(axis=0)
    bn_param["running_mean"] = keep * old["running_mean"] + (1 - keep) * mean
    bn_param["running_var"] = keep * old["running_var"] + (1 - keep) * var
    if bn_param["mode"] == "test":
        mean, var = old["running_mean"], old["running_var"]
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta, None
"""
    )
    cases = failed(tmp_path, text, "batchnorm_forward")
    assert [name for _, name in cases] == ["test mode leaves the running statistics alone"]
    assert {case.diagnosis for case in cases.values()} == {"test-moves-statistics"}


def test_under_drop_nothing_is_said_of_p_as_the_probability_to_keep(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text(MASKED.format(first=""))
    report = check_submission(path, only=["dropout"], convention="drop", timeout=60)
    wrong = [case for case in report.cases if case.status == "failed"]
    assert "keep-drop-swapped" in {case.diagnosis for case in wrong}
    for case in wrong:
        assert "p is the probability to keep" not in case.detail
        assert "--convention drop" not in case.detail  # it is held to that already


def test_the_other_course_is_added_to_the_one_at_hand():
    assert other_course("keep-drop-swapped", parse("handgrad")) == "drop"
    assert other_course("keep-drop-swapped", parse("cs231n")) == "cs231n,drop"
    assert other_course("keep-drop-swapped", parse("cs231n,drop")) == ""
    assert other_course("inverted-scaling", parse("inverted-dropout")) == ""
    assert other_course("sign", parse("handgrad")) == ""
    assert other_course(None, parse("handgrad")) == ""


@pytest.mark.parametrize(
    ("dtype", "wanted", "cause"),
    [
        ("float32", "float64", "float32-forced"),
        ("float64", "float32", "dtype-not-kept"),
        ("int64", "float64", "dtype-not-kept"),
        ("float16", "float64", "dtype-not-kept"),
        ("float16", "float32", "dtype-not-kept"),
    ],
)
def test_float32_is_blamed_only_where_it_was_given(dtype, wanted, cause):
    value = np.array([1.0, 2.0, 4.0])
    want = Want("dx", wanted)
    difference = compare(want, value, value.astype(dtype))
    assert difference is not None
    assert [item.cause for item in causes_of(difference, want, {}, ())] == [cause]
    assert "float32 in" not in CAUSES[cause]
    assert compare(want, value, value.astype(wanted)) is None


def test_an_accuracy_wrong_for_all_labels_is_not_their_coding(tmp_path):
    write_plain(tmp_path / "mine")
    path = tmp_path / "mine/solver.py"
    right = "return right / len(X)"
    assert path.read_text().count(right) == 1
    path.write_text(path.read_text().replace(right, "return 0 * right / len(X)"))
    [case] = check_submission(
        tmp_path / "mine", only=["Solver"], case="check_accuracy", timeout=60
    ).cases
    assert (case.status, case.diagnosis) == ("failed", "accuracy-wrong")

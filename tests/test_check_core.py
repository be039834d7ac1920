"""`check_submission`: ours passes everything; what is wrong is found, named, and repeatable."""

import ast
import json
import os
import pydoc
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest

from handgrad.check import CheckerFault, SubmissionError, check_submission, references, wire
from handgrad.check import cases as check_cases
from handgrad.check.case import Setting, Variant, Want
from handgrad.check.cases import all_cases
from handgrad.check.conventions import PRESETS, SWITCHES, parse
from handgrad.check.diagnosis import CAUSES
from handgrad.check.hypotheses import explain
from handgrad.check.judge import compare, judge
from handgrad.check.runner import Runner

import references as loops  # isort: skip  (tests/references.py)

ROOT = Path(__file__).parent.parent

DENSE = """
import numpy as np

def fc_forward(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w)

def fc_backward(dout, cache):
    x, w = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(len(x), -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db

def relu_forward(x):
    return np.maximum(x, 0), x

def relu_backward(dout, cache):
    return dout * (cache > 0)
"""


def write(folder: Path, text: str, name: str = "layers.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def spoilt(*changes: tuple[str, str]) -> str:
    text = DENSE
    for right, wrong in changes:
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    return text


# -- ours ---------------------------------------------------------------------------------------


def test_ours_passes_everything():
    """Every case but the time of a batch, which depends on the machine's load."""
    names = {case.group for case in all_cases(Setting(parse("handgrad"), 0))}
    report = check_submission("handgrad", only=sorted(names - {"time"}))
    assert [(c.function, c.name, c.detail) for c in report.cases if c.status != "passed"] == []
    assert report.passed
    assert {case.group for case in report.cases} == names - {"time"}


def test_every_function_of_the_interface_is_asked_for():
    asked = {case.function for case in all_cases(Setting(parse("handgrad"), 0))}
    assert asked >= {
        "fc_forward", "fc_backward", "relu_forward", "relu_backward", "dropout_forward",
        "dropout_backward", "batchnorm_forward", "batchnorm_backward",
        "spatial_batchnorm_forward", "spatial_batchnorm_backward", "conv_forward",
        "conv_backward", "max_pool_forward", "max_pool_backward", "logistic_loss", "svm_loss",
        "softmax_loss", "convolve_full", "filter_valid", "sgd", "sgd_momentum", "rmsprop", "adam",
        "LogisticClassifier", "SVM", "SoftmaxClassifier", "ConvNet", "Solver",
    }  # fmt: skip


def test_cases_have_their_own_names_and_inputs():
    cases = all_cases(Setting(parse("handgrad"), 0))
    keys = [(case.group, case.function, case.name) for case in cases]
    assert len(set(keys)) == len(keys)
    again = all_cases.__wrapped__(Setting(parse("handgrad"), 0))
    other = all_cases(Setting(parse("handgrad"), 1))
    for one, same, different in zip(cases, again, other, strict=True):
        for name, value in one.variants[0].inputs.items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, same.variants[0].inputs[name])
        assert one.name == different.name
    x, z = (next(c for c in made if c.group == "fc").variants[0].inputs["x"]
            for made in (cases, other))  # fmt: skip
    assert not np.array_equal(x, z)


# -- what is wrong ------------------------------------------------------------------------------


def test_three_planted_mistakes_are_named(tmp_path):
    text = spoilt(
        (".T @ dout", ".T @ dout / len(x)"),
        ("db = dout.sum(axis=0)", "db = -dout.sum(axis=0)"),
        ("(cache > 0)", "(cache >= 0)"),
    )
    report = check_submission(write(tmp_path, text), only=["fc", "relu"])
    found = {(case.function, case.name): case for case in report.cases}
    assert found["fc_backward", "gradient of w"].diagnosis == "factor-one-over-n"
    assert found["fc_backward", "gradient of b"].diagnosis == "sign"
    kink = found["relu_backward", "gradient at exactly 0 is 0"]
    assert kink.diagnosis == "kink-wrong"
    assert re.search(r"at index \(\d, \d\): received -?\d.*, expected 0", kink.detail)
    for key in (("fc_forward", "value"), ("fc_backward", "gradient of x"),
                ("relu_backward", "gradient of x")):  # fmt: skip
        assert found[key].status == "passed"
    wrong = [case for case in report.cases if case.status != "passed"]
    assert all(case.diagnosis in CAUSES for case in wrong)
    assert all("derivations.md" in case.read for case in wrong)
    assert all(case.read == case.repeat == "" for case in report.cases if case.status == "passed")


def test_the_command_given_repeats_the_case(tmp_path):
    path = write(tmp_path, spoilt(("db = dout", "db = 2 * dout")))
    report = check_submission(path, only=["fc"], seed=7)
    case = next(case for case in report.cases if case.diagnosis == "factor-two")
    words = shlex.split(case.repeat)
    assert words[:3] == ["handgrad", "check", str(path)]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    again = check_submission(
        path, only=[options["--only"]], case=options["--case"], seed=int(options["--seed"])
    )
    assert again.cases == (case,)


def test_what_no_hypothesis_explains_is_not_explained(tmp_path):
    path = write(tmp_path, spoilt(("db = dout.sum(axis=0)", "db = np.sin(dout).sum(axis=0)")))
    report = check_submission(path, only=["fc_backward"], case="gradient of b")
    assert report.cases[0].diagnosis is None
    assert "No known mistake gives these numbers" in report.cases[0].detail


def test_missing_is_not_passed(tmp_path):
    text = spoilt(("    return dout * (cache > 0)", "    raise NotImplementedError('later')"))
    report = check_submission(write(tmp_path, text), only=["relu", "pool"])
    statuses = {case.function: case.status for case in report.cases}
    assert statuses == {
        "relu_forward": "passed", "relu_backward": "missing",
        "max_pool_forward": "missing", "max_pool_backward": "missing",
    }  # fmt: skip
    assert not report.passed
    assert {case.diagnosis for case in report.cases if case.status == "missing"} == {"not-written"}


def test_function_by_its_other_name(tmp_path):
    report = check_submission(
        write(tmp_path, DENSE.replace("fc_forward", "affine_forward")), only=["fc_forward"]
    )
    assert report.passed


def test_optional_functions_are_not_missed(tmp_path):
    report = check_submission(write(tmp_path, DENSE))
    functions = {case.function for case in report.cases}
    assert "conv_forward" in functions
    assert not functions & {"convolve_full", "filter_valid", "spatial_batchnorm_forward"}


def test_same_seed_same_bytes(tmp_path):
    """Also where the submission speaks of addresses and of its temporary folder."""
    text = spoilt(
        ("db = dout.sum(axis=0)", "raise ValueError(f'{object()} in {__file__}')"),
        ("(cache > 0)", "(cache > 0.5)"),
    )
    path = write(tmp_path, text)
    first, second = (check_submission(path, only=["fc", "relu", "dropout"]) for _ in range(2))
    assert first.to_json(timing=False) == second.to_json(timing=False)
    record = json.loads(first.to_json())
    assert set(record) >= {"file", "sha256", "seed", "environment", "cases", "timings"}
    assert "handgrad-check-" not in json.dumps(record["cases"])
    assert not re.search(r"0x[0-9a-f]{4}", json.dumps(record["cases"]))


def test_results_come_as_cases_end(tmp_path):
    seen = []
    report = check_submission(write(tmp_path, DENSE), only=["relu"], on_case=seen.append)
    assert tuple(seen) == report.cases


# -- what is judged -----------------------------------------------------------------------------


def test_folder_package_and_relative_imports(tmp_path):
    for name, line in (("flat", "from layers import relu_forward"),
                       ("package", "from .layers import relu_forward")):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        write(folder, DENSE)
        write(folder, f"{line}\n\ndef sgd(w, dw, config=None):\n"
              "    config = {'learning_rate': 1e-2, **(config or {})}\n"
              "    return w - config['learning_rate'] * dw, config\n", "optim.py")  # fmt: skip
        for path in (folder, folder / "optim.py"):
            report = check_submission(path, only=["sgd"])
            assert report.passed, [case.detail for case in report.cases]
        whole = check_submission(folder, only=["Solver"])
        assert {case.status for case in whole.cases} == {"missing"}


def test_a_broken_neighbour_costs_its_own_functions(tmp_path):
    write(tmp_path, DENSE)
    write(tmp_path, "import no_such_module_anywhere\n", "optim.py")
    report = check_submission(tmp_path, only=["fc_forward", "sgd"])
    assert {case.status for case in report.cases if case.function == "fc_forward"} == {"passed"}
    broken = [case for case in report.cases if case.function == "sgd"]
    assert {case.status for case in broken} == {"error"}
    assert all("no_such_module_anywhere" in case.detail for case in broken)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "no_such_module_anywhere"}, "no such file, folder or module"),
        ({"path": "handgrad.layers", "only": ["cnov"]}, "no group or function 'cnov'"),
        ({"path": "handgrad.layers", "convention": "mine"}, "there is no convention 'mine'"),
        ({"path": "handgrad.layers", "only": ["fc"], "case": "valeu"}, "no case fits"),
    ],
)
def test_what_cannot_be_checked_is_an_error(arguments, said):
    with pytest.raises(SubmissionError, match=said):
        check_submission(**arguments)


# -- conventions --------------------------------------------------------------------------------

DROPOUT = """
import numpy as np

def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if mode == "test":
        return x.copy(), None
    seed = dropout_param.get("seed")
    draw = np.random.rand if seed is None else np.random.RandomState(seed).rand
    mask = ((draw(*x.shape) < p) / p).astype(x.dtype)
    return x * mask, mask

def dropout_backward(dout, cache):
    return dout.copy() if cache is None else dout * cache
"""


def test_another_convention_is_recognised_and_named(tmp_path):
    path = write(tmp_path, DROPOUT)
    held = check_submission(path, only=["dropout"])
    assert "inverted" in held.recognised["dropout"]
    assert "p is the probability to keep" in held.recognised["dropout"]
    train = next(c for c in held.cases if c.diagnosis == "inverted-scaling")
    assert "--convention inverted-dropout" in train.detail
    assert check_submission(path, only=["dropout"], convention="inverted-dropout").passed


def test_words_of_conventions():
    assert parse("cs231n").conv_bias
    both = parse("inverted-dropout,drop")
    assert both.inverted
    assert both.keep(0.3) == pytest.approx(0.7)
    assert parse("cs231n, unscaled-dropout").inverted is False
    assert set(PRESETS) == {"handgrad", "cs231n"}
    assert "flipped-convolution" in SWITCHES


# -- the checker's own faults -------------------------------------------------------------------


def test_a_failing_reference_is_nobody_s_failure(tmp_path, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError("a mistake of ours")

    check_cases.all_cases.cache_clear()
    monkeypatch.setattr(references, "fc_backward", broken)
    try:
        with pytest.raises(CheckerFault, match="a mistake of ours"):
            check_submission(write(tmp_path, DENSE), only=["fc"])
    finally:
        check_cases.all_cases.cache_clear()


def test_a_failing_judge_is_nobody_s_failure(tmp_path, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("handgrad.check.session.judge", broken)
    with pytest.raises(CheckerFault, match=r"fc_forward: value.*a mistake of ours"):
        check_submission(write(tmp_path, DENSE), only=["fc"])


def test_a_child_that_cannot_start_is_nobody_s_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("handgrad.check.runner.sys.executable", "/bin/false")
    with pytest.raises(CheckerFault, match="the child process"):
        check_submission(write(tmp_path, DENSE), only=["fc"])


# -- references against naive loops -------------------------------------------------------------


def test_references_are_the_naive_loops():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((2, 3, 3, 2))
    for stride, padding in ((1, 0), (2, 1)):
        out = loops.conv_forward_loops(x, w, stride, padding)
        dout = rng.standard_normal(out.shape)
        dx, dw = loops.conv_backward_loops(dout, x, w, stride, padding)
        got_dx, got_dw = references.conv_backward(dout, x, w, stride, padding)
        got = references.conv_forward(x, w, stride, padding)
        np.testing.assert_allclose(got, out, rtol=1e-12)
        np.testing.assert_allclose(got_dx, dx, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(got_dw, dw, rtol=1e-12, atol=1e-13)
    tied = rng.integers(0, 3, (2, 2, 5, 6)).astype(float)
    out = loops.max_pool_forward_loops(tied, 3, 2, 2)
    dout = rng.standard_normal(out.shape)
    np.testing.assert_array_equal(references.max_pool_forward(tied, 3, 2, 2), out)
    np.testing.assert_allclose(
        references.max_pool_backward(dout, tied, 3, 2, 2),
        loops.max_pool_backward_loops(dout, tied, 3, 2, 2),
    )
    a, b = x[0, 0], w[0, 0]
    full = loops.convolve_full_loops(a, b)
    np.testing.assert_allclose(references.convolve_full(a, b), full, rtol=1e-12, atol=1e-14)


def test_reference_losses_are_the_exact_ones():
    rng = np.random.default_rng(1)
    scores = np.array([1e4, -1e4, 0.3, 2.0, -0.7, 40.0])
    positive = np.array([True, True, False, True, False, False])
    for reference, exact in (
        (references.logistic_loss, loops.logistic_loss_exact),
        (references.svm_loss, loops.svm_loss_exact),
    ):
        loss, dx = reference(scores, positive)
        want_loss, want_dx = exact(scores, positive)
        assert loss == pytest.approx(want_loss, rel=1e-14)
        np.testing.assert_allclose(dx, want_dx, rtol=1e-12, atol=1e-300)
    x, y = rng.standard_normal((4, 3)) * 100, np.array([0, 2, 1, 1])
    loss, dx = references.softmax_loss(x, y)
    want_loss, want_dx = loops.softmax_loss_exact(x, y)
    assert loss == pytest.approx(want_loss, rel=1e-14)
    # p[y] - 1 is rounded as numbers near 1 are, to 2.2e-16.
    np.testing.assert_allclose(dx, want_dx, rtol=1e-10, atol=2.3e-16)


def test_reference_gradients_are_their_own_differences():
    rng = np.random.default_rng(2)
    x, gamma = rng.standard_normal((5, 3)), rng.uniform(0.5, 2, 3)
    dout = rng.standard_normal((5, 3))

    def scalar(x, gamma):
        mean, var = x.mean(axis=0), x.var(axis=0)
        return (references.batchnorm_forward(x, gamma, gamma, mean, var, 1e-5) * dout).sum()

    dx, dgamma, dbeta = references.batchnorm_backward(dout, x, gamma, 1e-5)
    h = 1e-6
    for array, gradient in ((x, dx), (gamma, dgamma + dbeta)):
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + h
            above = scalar(x, gamma)
            array[index] = kept - h
            below = scalar(x, gamma)
            array[index] = kept
            assert gradient[index] == pytest.approx((above - below) / (2 * h), abs=1e-7)


# -- judging ------------------------------------------------------------------------------------


VALUE = np.array([[0.5, -1.25, 2.0], [3.5, 0.75, -4.5]])


@pytest.mark.parametrize(
    ("got", "cause"),
    [
        (-VALUE, "sign"),
        (VALUE * 7, "factor-n"),
        (VALUE / 7, "factor-one-over-n"),
        (VALUE * 0.3, "factor-p"),
        (VALUE / 0.3, "factor-one-over-p"),
        (VALUE * 2, "factor-two"),
        (VALUE / 2, "factor-half"),
        (VALUE * 1.7, "factor-other"),
        (VALUE.T, "transposed"),
        (np.zeros_like(VALUE), "gradient-zero"),
        (np.trunc(VALUE), "integer-division"),
        (np.stack([VALUE / 2, VALUE / 2]), "not-summed"),
        (VALUE.reshape(6), "wrong-shape"),
        (VALUE + 1, "sample-mistake"),
    ],
)
def test_hypothesis_fits(got, cause):
    want = Want("dx", VALUE, wrong={"sample-mistake": VALUE + 1})
    found = explain(np.asarray(got), want, {"N": 7, "p": 0.3})
    assert cause in [item.cause for item in found]


def test_hypothesis_must_fit_tightly():
    want = Want("dx", VALUE, wrong={"sample-mistake": VALUE + 1})
    for wrong in (-VALUE, VALUE * 2, VALUE.T.reshape(2, 3), VALUE + 1):
        nearly = np.array(wrong)
        nearly[0, 0] += 1e-4
        assert explain(nearly, want, {"N": 7}) == []


def test_float32_in_float64_s_clothes():
    value = np.random.default_rng(0).standard_normal((4, 5))
    want = Want("out", value, "float64")
    got = value.astype(np.float32).astype(np.float64)
    assert [item.cause for item in explain(got, want, {})] == ["float32-forced"]
    problem = compare(Variant("", {}, []), want, value.astype(np.float32))
    assert problem is not None
    assert [item.cause for item in problem.causes] == ["float32-forced"]


STRANGE = [
    None, 1, 0, -1.5, float("nan"), float("inf"), True, "x", wire.Foreign("Tensor"), [], {}, (),
    [1, 2], [0.4, 0.8], [[1]], (1, "a"), {"W": 1}, {"W": np.zeros(1)}, {"W": None}, {"W1": 3},
    [{"scores": np.zeros((24, 4)), "params": {}}] * 7, [3] * 9, np.zeros(0), np.zeros((0, 5)),
    np.zeros((2, 3), bool), np.ones(5, bool), np.zeros((3, 4)), np.full((3, 4), np.nan),
    np.arange(6, dtype=np.uint8), np.float32(2), np.zeros((2,) * 10), np.ones((5, 1)),
]  # fmt: skip


@pytest.mark.parametrize("convention", ["handgrad", "cs231n"])
def test_no_reply_makes_the_judge_itself_fail(convention):
    """Whatever a child sends back, right answers among it, is judged; and wrong is not passed."""
    rng = np.random.default_rng(0)
    for case in all_cases(Setting(parse(convention), 0)):
        for _ in range(6):
            results, strange = [], 0
            for variant in case.variants:
                rights = {want.name: want.value for want in variant.wants}
                values = {}
                for name in variant.returns():
                    if name in rights and rng.random() < 0.3:
                        values[name] = rights[name]
                    else:
                        values[name] = STRANGE[rng.integers(len(STRANGE))]
                        strange += name in rights
                results.append({"error": None, "values": values})
            judgement = judge(case, results)
            assert judgement.status == "failed" or strange < 2
            if case.recognise is not None:
                case.recognise([result["values"] for result in results])


@pytest.mark.parametrize("got", [None, "text", wire.Foreign("Tensor"), [], {}, (1, "a")])
def test_what_is_no_array_is_said(got):
    problem = compare(Variant("", {}, []), Want("dx", VALUE), got)
    assert problem is not None
    assert problem.text.startswith("dx should be an array of shape (2, 3); got ")


def test_every_cause_has_its_sentence():
    """Those of known mistakes, and those that the cases' own judges name."""
    for convention in ("handgrad", "cs231n", "flipped-convolution", "inverted-dropout"):
        for case in all_cases(Setting(parse(convention), 0)):
            for variant in case.variants:
                for want in variant.wants:
                    assert {cause.strip() for cause in want.wrong} <= set(CAUSES), case.name
                    assert set(want.places) <= set(CAUSES), case.name
    named = set()
    for file in Path(check_cases.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            is_verdict = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Verdict"
            if is_verdict and len(node.args) > 1:
                parts = [part for part in ast.walk(node.args[1]) if isinstance(part, ast.Constant)]
                named |= {part.value for part in parts if isinstance(part.value, str)}
    assert len(named) > 15
    assert named - {",", "whole"} <= set(CAUSES)


def test_what_to_read_is_there():
    """The sections of the derivations, and the names that pydoc is to show."""
    derivations = (ROOT / "docs" / "derivations.md").read_text()
    for case in all_cases(Setting(parse("handgrad"), 0)):
        section = re.search(r'derivations.md, "(.*)"', case.read)
        if section:
            assert re.search(rf"^## {re.escape(section[1])}", derivations, re.MULTILINE), case.read
        else:
            name = re.search(r"pydoc (handgrad[.\w]*)", case.read)
            assert name is not None, case.read
            assert pydoc.locate(name[1]) is not None, case.read


# -- the child process --------------------------------------------------------------------------


def test_a_child_that_dies_between_cases_is_started_again():
    with Runner() as runner:
        request = {
            "list": True, "modules": {"layers": "json"}, "aliases": {}, "sources": {}, "path": [],
            "trusted": False,
        }  # fmt: skip
        assert runner.run(request, 5).ending == "replied"
        os.kill(runner.pid, signal.SIGKILL)
        assert runner.run(request, 5).ending == "replied"


# -- the wire -----------------------------------------------------------------------------------


def test_wire_gives_back_what_it_took():
    value = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [1, -2.5, True, None, "x"],
        "c": (np.float64(0.1), float("inf"), np.zeros((0, 3), dtype=bool)), "d": {"e": {}},
        "f": np.asfortranarray(np.arange(6).reshape(2, 3)), "g": np.uint8(200),
    }  # fmt: skip
    back = wire.decode(wire.encode(value))
    assert back["b"] == value["b"]
    assert isinstance(back["c"], tuple)
    np.testing.assert_array_equal(back["a"], value["a"])
    np.testing.assert_array_equal(back["f"], value["f"])
    assert back["a"].dtype == np.float32
    assert back["c"][0] == 0.1
    assert back["c"][2].shape == (0, 3)
    assert back["g"].dtype == np.uint8
    assert np.isnan(wire.decode(wire.encode(float("nan"))))
    assert wire.decode(wire.encode(object())) == "object"


def test_wire_refuses_nonsense():
    good = wire.encode({"a": np.arange(3.0)})
    rng = np.random.default_rng(0)
    for size in range(len(good)):
        with pytest.raises(wire.WireError):
            wire.decode(good[:size])
    with pytest.raises(wire.WireError):
        wire.decode(good + b"x")
    for header in (
        b'{"a": ["<f8", [-1]]}', b'{"a": ["O", [1]]}', b'{"a": ["<f8", [9999999999]]}', b"[1]",
        b'{"z": 1}', b'{"l": 5}', b'{"d": [[1]]}', b"{", b'{"a": 1, "l": []}',
        b'{"l": [' * 9000 + b"]}" * 9000, b'{"a": ["<f8", 3]}',
    ):  # fmt: skip
        with pytest.raises(wire.WireError):
            wire.decode(len(header).to_bytes(8, "little") + header)
    for _ in range(300):
        broken = bytearray(good)
        broken[rng.integers(8, len(good))] = rng.integers(256)
        try:
            wire.decode(bytes(broken))
        except wire.WireError:
            continue

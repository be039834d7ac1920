"""`check_submission`: ours passes everything; what is wrong is found, named, and repeatable."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from check_runs import GOOD as DENSE

from handgrad.check import (
    CheckerFault,
    SubmissionError,
    check_submission,
)
from handgrad.check.case import Setting
from handgrad.check.cases import all_cases
from handgrad.check.conventions import parse
from handgrad.check.reference import Reference
from handgrad.check.verdict.diagnosis import CAUSES


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
    assert all("theory/" in case.read for case in wrong)
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


def test_report_says_how_the_submission_was_contained(tmp_path):
    report = check_submission(write(tmp_path, DENSE), only=["relu"])
    assert report.environment["containment"].startswith("limits")
    if sys.platform == "linux":
        assert "no other processes" in report.environment["containment"]
    ours = check_submission("handgrad.layers", only=["relu"])
    assert ours.environment["containment"] == "limits only, for handgrad itself"


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
    assert {case.status for case in broken} == {"not judged"}
    assert all("no_such_module_anywhere" in case.detail for case in broken)
    write(tmp_path, "import layers\nlayers.no_such_function\n", "optim.py")
    report = check_submission(tmp_path, only=["fc_forward", "sgd"])
    broken = [case for case in report.cases if case.function == "sgd"]
    assert {case.status for case in broken} == {"error"}
    assert all("no_such_function" in case.detail for case in broken)


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
    assert parse("flipped-convolution").flipped
    assert parse("cs231n") == parse("", "cs231n") == parse("cs231n", "cs231n")
    assert parse("drop", "cs231n").name == "cs231n,drop"
    with pytest.raises(SubmissionError, match="another course's"):
        parse("handgrad", "cs231n")


# -- the checker's own faults -------------------------------------------------------------------


def test_a_failing_reference_is_nobody_s_failure(tmp_path, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(Reference, "right", broken)
    with pytest.raises(CheckerFault, match="a mistake of ours"):
        check_submission(write(tmp_path, DENSE), only=["fc"])


def test_a_failing_judge_is_nobody_s_failure(tmp_path, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("handgrad.check.session.judge", broken)
    with pytest.raises(CheckerFault, match=r"fc_forward: value.*a mistake of ours"):
        check_submission(write(tmp_path, DENSE), only=["fc"])


def test_a_child_that_cannot_start_is_nobody_s_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("handgrad.check.sandbox.runner.sys.executable", "/bin/false")
    with pytest.raises(CheckerFault, match="the child process"):
        check_submission(write(tmp_path, DENSE), only=["fc"])

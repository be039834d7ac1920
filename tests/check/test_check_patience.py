"""How long check waits: endless loops, imports that never end, memory, slow convolutions."""

import pytest
from check_corpus.mutants import write_plain
from check_runs import GOOD

from handgrad.check import session
from handgrad.check.sandbox import runner
from handgrad.check.session import check_submission


def counted(monkeypatch):
    """Count the cases that a sandbox runs, and the seconds that it is given for them."""
    asked, ask, answer = [], runner.Runner.ask, runner.Runner.answer

    def asking(self, request, timeout):
        asked.append(("", timeout))
        ask(self, request, timeout)

    def answering(self):
        outcome = answer(self)
        asked[-1] = (outcome.ending, asked[-1][1])
        return outcome

    monkeypatch.setattr(runner.Runner, "ask", asking)
    monkeypatch.setattr(runner.Runner, "answer", answering)
    return asked


def test_an_endless_loop_costs_its_function_and_hardly_what_calls_it(tmp_path, monkeypatch):
    write_plain(tmp_path / "s")
    layers = tmp_path / "s/layers.py"
    layers.write_text(
        layers.read_text() + "\n\ndef relu_forward(x):\n    while True:\n        pass\n"
    )
    asked = counted(monkeypatch)
    found = check_submission(tmp_path / "s", timeout=1.0, only=["relu", "models", "fc"])
    spent = [seconds for ending, seconds in asked if ending == "timeout"]
    assert spent.count(1.0) == 2
    assert set(spent) == {1.0, 0.2}
    assert sum(spent) <= 2 + 4 * 0.2 + 0.01  # the four models call it
    wrong = {c.function for c in found.cases if c.status == "error"}
    assert wrong == {
        "relu_forward", "relu_backward", "LogisticClassifier", "SVM", "SoftmaxClassifier",
        "ConvNet",
    }  # fmt: skip
    said = [c.detail for c in found.cases if c.function == "SVM" and c.status == "error"]
    assert "it calls relu_forward, which did not end in time" in said[0]
    assert all("not tried again" in text for text in said[1:])
    assert all(c.status == "passed" for c in found.cases if c.group == "fc")


def test_a_module_that_never_ends_its_import_is_waited_for_once(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "IMPORT_SECONDS", 1.0)
    monkeypatch.setattr(runner, "IMPORT_SECONDS", 1.0)
    write_plain(tmp_path / "s")
    layers = tmp_path / "s/layers.py"
    layers.write_text("while True:\n    pass\n" + layers.read_text())
    asked = counted(monkeypatch)
    found = check_submission(tmp_path / "s", timeout=1.0, only=["optim", "models", "relu"])
    assert [ending for ending, _ in asked].count("timeout") == 1
    assert {c.status for c in found.cases if c.group == "optim"} == {"passed"}
    assert {c.status for c in found.cases if c.group != "optim"} == {"error"}
    assert "it needs layers.py, which could not be imported in time" in found.cases[-1].detail


def test_what_runs_out_of_memory_again_and_again_is_not_tried_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "layers.py"
    path.write_text(GOOD + "\ndef relu_forward(x):\n    return np.ones((2**20, 2**20)), x\n")
    asked = counted(monkeypatch)
    found = check_submission(path, only=["relu"])
    assert {c.status for c in found.cases} == {"error"}
    assert len(asked) == 3  # the import, and two cases of the function


SLOW = """
import time
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv_forward(x, w):
    end = time.process_time() + {each} * len(x) + {once}
    while time.process_time() < end:
        pass
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,fcij->nfhw", windows, w), (x, w)


def conv_backward(dout, cache):
    x, w = cache
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3))
    dw = np.einsum("nchwij,nfhw->fcij", windows, dout)
    dx = np.zeros_like(x)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            part = np.einsum("nfhw,fc->nchw", dout, w[:, :, i, j])
            dx[:, :, i : i + dout.shape[2], j : j + dout.shape[3]] += part
    return dx, dw
"""


@pytest.mark.parametrize(
    ("each", "once", "status"),
    [
        (0.0, 0.2, "passed"),  # a call is slow, an image is not: all are run
        (0.15, 0.0, "failed"),  # 15 seconds, of which 12 are allowed
        (0.05, 0.1, "passed"),  # 5 seconds, estimated
    ],
)
def test_a_slow_convolution_costs_a_few_images(tmp_path, each, once, status):
    path = tmp_path / "layers.py"
    path.write_text(SLOW.format(each=each, once=once))
    found = check_submission(path, only=["time"], timeout=2.0)
    (timed,) = found.cases
    assert timed.status == status, timed.detail
    labels = [label for label in found.timings if label.endswith("seconds")]
    if status == "failed":
        assert timed.diagnosis == "too-slow"
        assert timed.detail == "It would not end within 12 seconds, to judge by a part of it."
    else:
        assert ("estimated" in labels[0]) == (each > 0)
        expected = each * 100 + once
        assert expected * 0.9 < found.timings[labels[0]] < expected * 1.5 + 1


EARLY = """
import sys
early = "matplotlib.pyplot" in sys.modules
import matplotlib.pyplot as plt

def relu_forward(x):
    assert early
    return np.maximum(x, 0), x
"""


def test_a_library_for_drawing_is_imported_once_and_not_in_each_case(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text(GOOD + EARLY)
    assert {case.status for case in check_submission(path, only=["relu"]).cases} == {"passed"}
    # A file of the submission's own with a library's name is that file.
    (tmp_path / "s/matplotlib").mkdir(parents=True)
    (tmp_path / "s/layers.py").write_text(GOOD + EARLY)
    (tmp_path / "s/matplotlib/__init__.py").touch()
    (tmp_path / "s/matplotlib/pyplot.py").touch()
    found = check_submission(tmp_path / "s", only=["relu_forward"]).cases
    assert {case.seen.error for case in found} == {"AssertionError"}

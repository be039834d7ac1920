"""The benchmark: the sides do the same work, and the table says what the numbers say."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from handgrad.bench.compare import Measured, disagreement, parallel_share, record, sides
from handgrad.bench.growth import names, scaled
from handgrad.bench.installed import installed_mib
from handgrad.bench.plots import scaling_picture
from handgrad.bench.report import markdown
from handgrad.bench.sides import HandgradSide
from handgrad.bench.workloads import WORKLOADS
from handgrad.cli import cli
from handgrad.engine import library
from handgrad.errors import HandgradError

BY_NAME = {work.name: work for work in WORKLOADS}


MACHINE = {
    "processor": "a processor",
    "threads": 2,
    "python": "3.11",
    "versions": {"numpy": "2"},
    "sgemm_gflops": 100.0,
    "installed_mib": {"handgrad": 90.4, "jax": None},
}


def measured(side, milliseconds, losses=(1.0, 0.5)):
    epochs = [milliseconds * factor for factor in (0.9, 1.0, 1.1)]
    return Measured(side, 1.0, 2.0, epochs, [1.0] * 3, 100.0, list(losses), 10)


def test_the_products_of_convnet_by_hand():
    # 22 * 22 * 32 * 49 forward and as much for dw; 3872 * 100 and 100 * 10 three times.
    one = 2 * 22 * 22 * 32 * 49 + 3 * (3872 * 100 + 1000)
    assert BY_NAME["convnet"].products() == 2 * 100 * one
    assert BY_NAME["softmax"].products() == 2 * 100 * 2 * 7840


def test_the_fastest_peer_counts():
    work = BY_NAME["convnet"]
    ours = [measured("handgrad", 20.0), measured("handgrad-one", 30.0)]
    ours.append(measured("handgrad-layers", 50.0))
    done = record(work, [*ours, measured("torch", 80.0), measured("torch-one", 60.0)])
    assert (done["fastest_peer"], done["ratio"]) == ("torch-one", pytest.approx(20 / 60))
    assert done["loss_disagreement"] == 0
    workloads = [json.loads(json.dumps(done))]
    results = {"repeats": 3, "environment": MACHINE, "workloads": workloads}
    line = next(line for line in markdown(results).splitlines() if "ConvNet 7x7x32 |" in line)
    # Each side's first epoch takes 2 s, its later ones 0.02 to 0.08 s.
    first = "at most (s): handgrad 1.98, handgrad-one 1.97, handgrad-layers 1.95"
    assert first in markdown(results)
    assert "(MiB): handgrad 90." in markdown(results)
    # 536,484,800 operations in 2 ms are 268 GFLOP/s, of 100 measured: 268 %.
    start = "| 2 ± 10% | 6 ± 10% (torch-one) | 0.33 | 0.3 | - | 1.00 | 2.5 x | 1.5 x | "
    assert start in line
    assert line.endswith(" | 268% |")


def test_amdahls_share_of_two_times():
    # On two threads 0.6 of the time: 1 - p / 2 = 0.6, so p = 0.8; on four 1 - 3 p / 4.
    assert parallel_share(10.0, 6.0, 2) == pytest.approx(0.8)
    assert parallel_share(10.0, 4.0, 4) == pytest.approx(0.8)
    assert parallel_share(10.0, 11.0, 2) == 0
    assert parallel_share(10.0, 4.0, 2) == 1
    assert parallel_share(10.0, 10.0, 1) is parallel_share(None, 10.0, 2) is None


def test_without_an_engine_the_layers_stand_first(monkeypatch):
    monkeypatch.setattr(library, "level", lambda: None)
    assert sides(BY_NAME["convnet"], compiled=False)[0] == "handgrad-layers"
    done = record(BY_NAME["convnet"], [measured("handgrad-layers", 20.0), measured("torch", 80.0)])
    table = markdown({"repeats": 3, "environment": MACHINE, "workloads": [done]})
    assert "handgrad is installed without its engine: these are its readable layers." in table
    assert "| 2 ± 10% | 8 ± 10% (torch) | 0.25 | 0.3 | - | 1.00 | - | - | - |" in table


def test_bfloat16_has_a_column_of_its_own():
    work = BY_NAME["convnet"]
    some = [measured("handgrad", 20.0), measured("torch", 80.0)]
    half = measured("torch-last-bf16", 10.0, (1.1, 0.7))  # three digits: its losses differ
    done = record(work, [*some, half])
    assert (done["fastest_peer"], done["ratio"], done["bfloat16_ratio"]) == ("torch", 0.25, 2.0)
    assert done["loss_disagreement"] == 0
    assert record(work, some)["bfloat16_ratio"] is None


def test_predictions_are_compared_with_the_fastest_of_the_peers():
    slow = replace(measured("torch", 80.0), predict_milliseconds=[4.0, 5.0, 90.0])
    done = record(BY_NAME["convnet"], [measured("handgrad", 20.0), slow])
    assert done["predict_ratio"] == pytest.approx(1 / 5)


@pytest.mark.parametrize("name", ["jax-step", "jax-scan"])
@pytest.mark.parametrize("work", ["logistic2", "svm", "softmax", "convnet"])
def test_jax_does_the_same_work(work, name):
    pytest.importorskip("jax")
    from handgrad.bench.peer_jax import JaxSide

    few = replace(BY_NAME[work], batches=3, batch_size=20)
    X, y = few.rows()
    ours = HandgradSide(few, X, y)
    theirs = JaxSide(few, X, y, ours.network.params, name)
    np.testing.assert_allclose(theirs.epoch(), ours.epoch(), rtol=1e-4)
    theirs.predict()


def test_a_peer_s_process_imports_no_other_peer():
    """Its memory and its start are its own: scikit-learn's was once PyTorch's, too."""
    pytest.importorskip("sklearn")
    code = "import sys, handgrad.bench.sides, handgrad.bench.peer_sklearn as _; "
    code += "assert not {'torch', 'jax'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_installation_counts_what_it_needs():
    numpy, ours = installed_mib("numpy"), installed_mib("handgrad")
    assert numpy is not None
    assert ours is not None
    assert 10 < numpy < ours < 500
    assert installed_mib("no-such-package-anywhere") is None


def test_other_losses_are_other_work():
    some = [measured("handgrad", 1.0), measured("torch", 1.0, (1.0, 0.6))]
    assert disagreement(BY_NAME["convnet"], some) == pytest.approx(0.2)
    assert disagreement(BY_NAME["normed"], some) is None
    with pytest.raises(HandgradError, match=r"losses of ConvNet 7x7x32 differ by 20.0%"):
        record(BY_NAME["convnet"], some)


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.name)
def test_data_fit_the_workloads(work):
    X, y = work.rows()
    assert X.shape == (work.batch_size * work.batches, *work.input_shape)
    assert X.dtype == np.float32
    assert len(y) == len(X)


def test_scaling_varies_one_size_at_a_time(tmp_path):
    every = names()
    assert len(every) == len(set(every)) == 5 + 4 + 3 - 1  # 28 x 28 and 32 filters are the same
    assert scaled("convnet:16:56:8").input_shape == (1, 56, 56)
    works = [
        {**record(scaled(name), [measured("handgrad", 20.0), measured("torch", 40.0)])}
        for name in every
    ]
    pytest.importorskip("matplotlib")
    for copy in ("one.svg", "two.svg"):
        scaling_picture({"workloads": works}, tmp_path / copy)
    picture = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert picture == (tmp_path / "two.svg").read_text(encoding="utf-8")
    for words in ("batch size", "image side, pixels", "filters", "4096", "fastest peer"):
        assert f">{words}<" in picture


def test_the_command_measures_and_writes(tmp_path):
    out = tmp_path / "sub" / "results.json"
    result = CliRunner().invoke(
        cli, ["bench", "--only", "logistic", "--repeats", "2", "--no-compile", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    done = json.loads(out.read_text(encoding="utf-8"))["workloads"][0]
    sides = {side["side"]: side for side in done["sides"]}
    assert "handgrad" in sides
    if "torch" in sides:
        assert done["loss_disagreement"] < 1e-3
    assert "logistic 20-1" in out.with_suffix(".md").read_text(encoding="utf-8")


def test_an_unknown_workload_is_named():
    result = CliRunner().invoke(cli, ["bench", "--only", "gpt"])
    assert result.exit_code == 2
    assert "there is no workload 'gpt'" in result.output

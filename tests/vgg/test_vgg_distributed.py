"""Two gloo processes under torchrun: one result, one writer, and an error that ends the job."""

import subprocess
import sys

import children
import pytest

torch = pytest.importorskip("torch")

from vgg_generated import generated, tiny

from handgrad.vgg import run_recipe
from handgrad.vgg.checkpoint import load_checkpoint
from handgrad.vgg.distributed import World

RANK = """
import os, sys
from pathlib import Path
import torch
from test_vgg_distributed import RECIPES, generated
from handgrad.vgg import run_recipe
from handgrad.vgg import training
from handgrad.vgg.distributed import leave

out, rank = Path(sys.argv[1]), os.environ["RANK"]
kept = []
keep = training._Run.finish
training._Run.finish = lambda run, test: (kept.append(run.averaged), keep(run, test))[1]
for name, recipe in RECIPES.items():
    result = run_recipe(recipe, generated(), seed=0, out=out / name, threads=1)
    torch.save(kept[-1].state_dict(), out / f"{name}-{rank}.pt")
    (out / f"{name}-{rank}.txt").write_text(repr(result))
leave()
names = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").glob("*")]
(out / f"threads-{rank}.txt").write_text("".join(names))
"""

# Two processes add up each gradient in another order than one. SGD keeps the difference at
# rounding; Muon makes up to 500 times as much of it in each step (test_vgg_optimizers), and after
# twenty steps the weights of one seed in four differ by more than 1e-5, on any processor.
RECIPES = {
    "plain": tiny(batch_norm=False, learning_rate=0.05, ema_decay=0.9, optimizer="sgd"),
    "norm": tiny(ema_decay=0.9),
    "muon": tiny(batch_norm=False, learning_rate=0.05, ema_decay=0.9, optimizer="muon"),
}


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    with children.started(
        [*command, "--nproc-per-node", "2", *arguments],
        env=children.importing(__file__, OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as job:
        try:
            output, _ = job.communicate(timeout=120)
        finally:
            job.terminate()  # torchrun passes it on to the ranks, which have their own sessions
            job.wait(30)
    return job.returncode, output


def test_two_processes_end_where_one_does_and_ranks_agree(tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    code, output = torchrun(script, tmp_path)
    assert code == 0, output
    for name in RECIPES:
        ranks = [torch.load(tmp_path / f"{name}-{rank}.pt") for rank in (0, 1)]
        assert all(torch.equal(ranks[0][key], ranks[1][key]) for key in ranks[0])
        reports = [(tmp_path / f"{name}-{rank}.txt").read_text() for rank in (0, 1)]
        assert reports[0] == reports[1]
    for rank in (0, 1):  # a thread of gloo's that outlives Python may abort the process
        assert "gloo" not in (tmp_path / f"threads-{rank}.txt").read_text()

    alone = run_recipe(RECIPES["plain"], generated(), seed=0, out=tmp_path / "alone", threads=1)
    one = load_checkpoint(tmp_path / "alone" / "checkpoint.pt")["averaged"]
    two = load_checkpoint(tmp_path / "plain" / "checkpoint.pt")["averaged"]
    for key in one:
        assert one[key].dtype == two[key].dtype == torch.float32
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-6)
    assert f"val_accuracy={alone.val_accuracy}" in (tmp_path / "plain-1.txt").read_text()


FAILING_RANK = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from test_vgg_distributed import generated, tiny
import handgrad.datasets
from handgrad.vgg import main

data = generated()
if os.environ["RANK"] == "1":
    data.X_train = data.X_train[:100]
handgrad.datasets.load_cifar10 = lambda *_, **__: data
sys.argv = ["vgg", "--recipe", "as-given", "--out", sys.argv[1], "--device", "cpu"]
main()
"""


def test_a_failed_rank_ends_the_job_with_its_error(tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(FAILING_RANK)
    code, output = torchrun(script, tmp_path / "out")
    assert code != 0
    assert "Error: [rank 1] VGG: 100 images need as many integer labels" in output
    assert not (tmp_path / "out" / "result.json").exists()


def test_rows_are_shared_out_evenly_and_completely():
    parts = [World(rank, 3, torch.device("cpu")).share(10) for rank in range(3)]
    assert parts == [(0, 3), (3, 6), (6, 10)]


def test_processes_must_divide_the_batch(tmp_path, monkeypatch):
    from handgrad.vgg import training

    here = World(0, 3, torch.device("cpu"))
    with pytest.raises(ValueError, match="3 processes must divide the batch of 20 images"):
        training._Run(tiny(), generated(), 0, tmp_path, here)

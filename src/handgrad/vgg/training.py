"""One run: recipe and images in, trained network and record out; resumes where it stopped."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from handgrad import pictures
from handgrad.analysis import CLASS_NAMES, Analysis, analyse
from handgrad.datasets import Dataset
from handgrad.files import write_atomically
from handgrad.results import Epoch
from handgrad.vgg.checkpoint import (
    check_same_run,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from handgrad.vgg.distributed import World, join
from handgrad.vgg.images import Normalizer, Split, training_batches
from handgrad.vgg.loops import accuracy, arithmetic, probabilities, right_share, train_epoch
from handgrad.vgg.net import CONVOLUTIONS_PER_BLOCK, VGG, parameter_count
from handgrad.vgg.optimizers import Average, Together, make_optimizers
from handgrad.vgg.recipes import Recipe

ANALYSIS = "analysis.json"
"""What the run's network did on the test rows (`handgrad.analysis`), in the run's folder."""

Progress = Callable[[Epoch], None]
"""Called on rank 0 after every epoch with that epoch's line of the history."""


@dataclass(frozen=True)
class RunResult:
    """What a finished run reached. Accuracies are shares of rows in [0, 1].

    Attributes
    ----------
    recipe : str
        The recipe's name.
    seed : int
        Seed of weights, order and augmentation.
    val_accuracy, test_accuracy : float, float or None
        Each image scored once; the test rows only if the run was asked to.
    val_accuracy_tta, test_accuracy_tta : float, float or None
        Class probabilities averaged over an image and its mirror image.
    parameters : int
        Numbers that training changes.
    seconds : float
        Wall time of the whole run, preparing the images and judging included, summed over
        interrupted parts.
    history : list of Epoch
        One per epoch: epoch, learning_rate (that of its last step), train_loss,
        train_accuracy (on augmented images, while learning), seconds, and in judged epochs
        val_accuracy.
    """

    recipe: str
    seed: int
    val_accuracy: float
    val_accuracy_tta: float
    test_accuracy: float | None
    test_accuracy_tta: float | None
    parameters: int
    seconds: float
    history: list[Epoch]


def run_recipe(
    recipe: Recipe,
    data: Dataset,
    *,
    seed: int,
    out: Path,
    evaluate_test: bool = False,
    progress: Progress | None = None,
    threads: int | None = None,
    device: str = "cpu",
) -> RunResult:
    """Train a recipe, or go on with a run that was stopped, or return one that is finished.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    data : Dataset
        uint8 images; `handgrad.datasets.load_cifar10()` gives them.
    seed : int
        The same recipe, images, seed, thread count and number of processes on the same CPU give
        the same weights to the last bit, however often the run was stopped between.
    out : Path
        Folder of this run, made if need be: checkpoint.pt after every epoch, history.jsonl; at the
        end model.safetensors (the weights that were judged), analysis.json if the test rows were
        judged, and result.json. Only rank 0 writes.
    evaluate_test : bool
        Also judge the test rows, once, after the last epoch.
    progress : callable or None
        Receives each epoch's line.
    threads : int or None
        Threads per process; None leaves PyTorch's own number.
    device : str
        "cpu", "cuda" or "auto".

    Returns
    -------
    RunResult
        The same on every rank.

    Raises
    ------
    CheckpointError
        If `out` holds another recipe's or seed's run, or a file that cannot be read.
    DataError
        If the images are not what the network takes.
    NonFiniteLossError
        If the loss became NaN or infinite.
    KeyboardInterrupt
        As usual; every finished epoch is in the checkpoint and the same call goes on from there.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    here = join(device)
    run = _Run(recipe, data, seed, Path(out), here)
    while not run.is_finished:
        line = run.train_epoch()
        if progress is not None and here.leads:
            progress(line)
    return run.finish(evaluate_test)


def read_result(out: Path) -> RunResult | None:
    """Read a finished run's result.json, or None if there is none."""
    try:
        return RunResult(**json.loads((out / "result.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@dataclass
class _Clock:
    """Seconds of this process on top of those that earlier parts of the run took."""

    before: float = 0.0
    start: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.start


class _Run:
    """The state of one run between epochs, and how it goes to and from a checkpoint."""

    def __init__(self, recipe: Recipe, data: Dataset, seed: int, out: Path, here: World) -> None:
        self.clock = _Clock()
        self.recipe, self.data, self.seed, self.out, self.here = recipe, data, seed, out, here
        if recipe.batch_size % here.size:
            raise ValueError(
                f"VGG: {here.size} processes must divide the batch of {recipe.batch_size} images"
            )
        self.train_split = Split(
            data.X_train, data.y_train, device=here.device, padding=recipe.crop_padding
        )
        self.val_split = Split(data.X_val, data.y_val, device=here.device)
        self.steps_per_epoch = len(self.train_split) // recipe.batch_size
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"VGG: one batch needs {recipe.batch_size} training images; "
                f"there are {len(self.train_split)}"
            )
        self.normalize = Normalizer(data.X_train, recipe, here.device)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = recipe.network()
        self.net: VGG = net.to(here.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.net) if recipe.ema_decay else self.net
        self.dtype = arithmetic(recipe.precision, here.device)
        self.scaler = torch.amp.GradScaler(here.device.type, enabled=self.dtype == torch.float16)
        self.optimizer = Together(
            make_optimizers(self.net, recipe),
            recipe,
            recipe.epochs * self.steps_per_epoch,
            scaler=self.scaler,
            average=Average(self.net, self.averaged, recipe.ema_decay),
        )
        # Order and augmentation come from their own generator, apart from the weights'.
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch = 0
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None
        if here.leads:
            out.mkdir(parents=True, exist_ok=True)
        self._resume()
        self.was_finished = self.is_finished
        self.model = self._wrap()

    def _wrap(self) -> nn.Module:
        model: Any = self.net
        if self.recipe.compile:
            model = torch.compile(model)
        if self.here.size > 1:
            model = DistributedDataParallel(model)
        return _Autocast(model, self.here.device.type, self.dtype)

    @property
    def best_line(self) -> Epoch | None:
        """The history's line of the best validation accuracy, the first of equals."""
        judged = [line for line in self.history if "val_accuracy" in line]
        return max(judged, key=lambda line: line["val_accuracy"], default=None)

    @property
    def is_finished(self) -> bool:
        """Whether every epoch is done, or validation accuracy has stopped rising."""
        best, patience = self.best_line, self.recipe.patience
        stopped = bool(patience and best and self.epoch - best["epoch"] >= patience)
        return stopped or self.epoch == self.recipe.epochs

    def train_epoch(self) -> Epoch:
        """Visit the training rows once; judge, write the checkpoint, give the history's line."""
        recipe, here = self.recipe, self.here
        began = time.perf_counter()
        batches = training_batches(
            self.train_split,
            self.normalize,
            recipe,
            self.epoch,
            self.generator,
            rank=here.rank,
            ranks=here.size,
        )
        tally = _Tally(recipe.label_smoothing, here.device)
        self.optimizer.taken = self.epoch * self.steps_per_epoch
        train_epoch(
            batches,
            self.model,
            tally,
            self.optimizer,
            here.device,
            epoch=self.epoch + 1,
            backward=self.optimizer.backward,
        )
        here.same_statistics(self.net, self.averaged)
        loss, right, seen = here.total(tally.sums).tolist()
        self.epoch += 1
        line: Epoch = {
            "epoch": self.epoch,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss / seen,
            "train_accuracy": right / seen,
        }
        if self.epoch % recipe.validate_every == 0 or self.epoch == recipe.epochs:
            line["val_accuracy"] = accuracy(self.averaged, self.val_split, self.normalize, here)
        line["seconds"] = round(time.perf_counter() - began, 3)
        self.history.append(line)
        if recipe.patience and self.best_line is line:
            self.best = copy.deepcopy(self.averaged.state_dict())
        self._save()
        return line

    def finish(self, evaluate_test: bool) -> RunResult:
        """Judge the finished network and write result.json."""
        judged = self.was_finished and (not evaluate_test or (self.out / ANALYSIS).exists())
        known = read_result(self.out) if self.here.leads and judged else None
        known = self.here.from_leader(known)
        if known and (known.test_accuracy is not None or not evaluate_test):
            return known
        if self.best is not None:
            self.averaged.load_state_dict(self.best)
        val, val_tta, _ = self._judge(self.val_split)
        test: float | None = None
        test_tta: float | None = None
        if evaluate_test:
            split = Split(self.data.X_test, self.data.y_test, device=self.here.device)
            test, test_tta, plain = self._judge(split)
            if self.here.leads:
                self._analyse(plain).write(self.out / ANALYSIS)
        result = RunResult(
            recipe=self.recipe.name,
            seed=self.seed,
            val_accuracy=val,
            val_accuracy_tta=val_tta,
            test_accuracy=test,
            test_accuracy_tta=test_tta,
            parameters=parameter_count(self.net),
            seconds=round(self.clock.seconds(), 3),
            history=self.history,
        )
        if self.here.leads:
            weights = {n: t.contiguous() for n, t in self.averaged.state_dict().items()}
            file = safetensors.torch.save(weights, {"vgg": json.dumps(self._description())})
            write_atomically(self.out / "model.safetensors", file)
            content = json.dumps(vars(result), indent=1) + "\n"
            write_atomically(self.out / "result.json", content)
        return self.here.from_leader(result)

    def _judge(self, split: Split) -> tuple[float, float, Tensor]:
        """Give a split's accuracy, that with the mirror images' votes, and its probabilities."""
        plain = probabilities(self.averaged, split, self.normalize, self.here)
        mirrored = probabilities(self.averaged, split, self.normalize, self.here, mirror=True)
        return (
            accuracy(self.averaged, split, self.normalize, self.here),
            right_share(plain + mirrored, split.labels),
            plain,
        )

    def _analyse(self, test_probabilities: Tensor) -> Analysis:
        """Summarise the pass over the test rows, and draw the first filters."""
        filters = next(p for p in self.averaged.parameters() if p.ndim == 4)
        caption = "Three colour channels a filter, as colours: grey is zero, all on one scale."
        sheet = pictures.coloured(filters.detach().cpu().numpy(), "First-layer filters", caption, 8)
        return analyse(
            np.asarray(self.data.y_test),
            seed=self.seed,
            classes=CLASS_NAMES["cifar10"],
            probabilities=test_probabilities.double().cpu().numpy(),
            images=np.asarray(self.data.X_test),
            sheets=[sheet],
        )

    def _description(self) -> dict[str, Any]:
        """Say what `handgrad export` needs to build the net again without PyTorch."""
        blocks = {"convolutions_per_block": list(CONVOLUTIONS_PER_BLOCK)}
        return {
            "architecture": {**blocks, **self.net.architecture},
            "mean": self.normalize.mean.tolist(),
            "deviation": (1 / self.normalize.scale.double()).tolist(),
            "classes": list(CLASS_NAMES["cifar10"]),
        }

    def _identity(self) -> dict[str, Any]:
        return {"recipe": self.recipe.to_dict(), "seed": self.seed, "processes": self.here.size}

    def _save(self) -> None:
        if not self.here.leads:
            return
        save_checkpoint(
            self.out / "checkpoint.pt",
            {
                "architecture": self.net.architecture,
                "run": self._identity(),
                "epoch": self.epoch,
                "history": self.history,
                "seconds": self.clock.seconds(),
                "net": self.net.state_dict(),
                "averaged": self.averaged.state_dict(),
                "best": self.best,
                "optimizers": [one.state_dict() for one in self.optimizer.optimizers],
                "scaler": self.scaler.state_dict(),
                "generator": self.generator.get_state(),
            },
        )
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        write_atomically(self.out / "history.jsonl", lines)

    def _resume(self) -> None:
        path = self.out / "checkpoint.pt"
        found = load_checkpoint(path) if self.here.leads and path.exists() else None
        content = self.here.from_leader(found)
        if content is None:
            self._save()
            return
        load_weights(self.net, content, path)
        check_same_run(content.get("run"), self._identity(), path)
        load_weights(self.averaged, content, path, part="averaged")
        self.best = content["best"]
        for one, state in zip(self.optimizer.optimizers, content["optimizers"], strict=True):
            one.load_state_dict(state)
        self.scaler.load_state_dict(content["scaler"])
        self.generator.set_state(content["generator"])
        self.epoch = content["epoch"]
        self.history = content["history"]
        self.clock.before = content["seconds"]


class _Tally:
    """The recipe's loss, which counts what it sees: summed losses, rows scored right, rows."""

    def __init__(self, label_smoothing: float, device: torch.device) -> None:
        self._label_smoothing = label_smoothing
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Give the mean loss of a batch."""
        loss = F.cross_entropy(scores, labels, label_smoothing=self._label_smoothing)
        right = (scores.detach().argmax(1) == labels).sum().double()
        rows = right.new_tensor(len(labels))
        self.sums += torch.stack([loss.detach().double() * rows, right, rows])
        return loss


class _Autocast(nn.Module):
    """A network whose products are made in another format; its scores come in float32."""

    def __init__(self, net: nn.Module, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self._device, self._dtype = net, device, dtype

    def forward(self, images: Tensor) -> Tensor:
        """Score images."""
        reduced = self._dtype != torch.float32
        with torch.autocast(self._device, dtype=self._dtype, enabled=reduced):
            scores: Tensor = self.net(images)
        return scores.float()

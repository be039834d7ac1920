"""One run: recipe and images in, trained network and record out; resumes where it stopped."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from handgrad import pictures
from handgrad.analysis import CLASS_NAMES, Analysis, analyse
from handgrad.files import write_atomically
from handgrad.vgg.checkpoint import (
    check_same_run,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from handgrad.vgg.distributed import World, join
from handgrad.vgg.images import ImageData, Normalizer, Split, training_batches
from handgrad.vgg.loops import (
    arithmetic,
    evaluate,
    loss_is_finite,
    probabilities,
    right_share,
)
from handgrad.vgg.net import VGG, parameter_count
from handgrad.vgg.optimizers import make_optimizers, set_rate
from handgrad.vgg.recipes import Recipe

ANALYSIS = "analysis.json"
"""What the run's network did on the test rows (`handgrad.analysis`), in the run's folder."""

Progress = Callable[[dict[str, Any]], None]
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
    history : list of dict
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
    history: list[dict[str, Any]]


def run_recipe(
    recipe: Recipe,
    data: ImageData,
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
    data : ImageData
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
    while run.epoch < recipe.epochs:
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

    def __init__(self, recipe: Recipe, data: ImageData, seed: int, out: Path, here: World) -> None:
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
        self._pairs = list(zip(_floats(self.averaged), _floats(self.net), strict=True))
        self.optimizers: list[Optimizer] = make_optimizers(self.net, recipe)
        self.dtype = arithmetic(recipe.precision, here.device)
        self.scaler = torch.amp.GradScaler(here.device.type, enabled=self.dtype == torch.float16)
        # Order and augmentation come from their own generator, apart from the weights'.
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        if here.leads:
            out.mkdir(parents=True, exist_ok=True)
        self._resume()
        self.was_finished = self.epoch == recipe.epochs
        self.model = self._wrap()

    def _wrap(self) -> Callable[[Tensor], Tensor]:
        model: Any = self.net
        if self.recipe.compile:
            model = torch.compile(model)
        if self.here.size > 1:
            model = DistributedDataParallel(model)
        wrapped: Callable[[Tensor], Tensor] = model
        return wrapped

    def train_epoch(self) -> dict[str, Any]:
        """Visit the training rows once; judge, write the checkpoint, give the history's line."""
        recipe, here = self.recipe, self.here
        began = time.perf_counter()
        steps = recipe.epochs * self.steps_per_epoch
        first = self.epoch * self.steps_per_epoch
        sums = torch.zeros(2, dtype=torch.float64, device=here.device)
        seen = 0
        share = 0.0
        self.net.train()
        batches = training_batches(
            self.train_split,
            self.normalize,
            recipe,
            self.epoch,
            self.generator,
            rank=here.rank,
            ranks=here.size,
        )
        for number, (images, labels) in enumerate(batches):
            share = recipe.rate(first + number, steps)
            set_rate(self.optimizers, share)
            loss, right = self._step(images, labels)
            # Asking for the number makes a GPU wait, so there it is asked for now and then.
            if here.device.type == "cpu" or number % 50 == 0:
                where = f"epoch {self.epoch + 1}, iteration {number + 1}"
                loss_is_finite(loss.item(), where, share * recipe.learning_rate)
            self._average(first + number)
            sums += torch.stack([loss.detach().double() * len(labels), right])
            seen += len(labels)
        here.same_statistics(self.net, self.averaged)
        sums = here.total(sums) / (seen * here.size)
        loss_is_finite(float(sums[0]), f"epoch {self.epoch + 1}", share * recipe.learning_rate)
        self.epoch += 1
        line: dict[str, Any] = {
            "epoch": self.epoch,
            "learning_rate": share * recipe.learning_rate,
            "train_loss": float(sums[0]),
            "train_accuracy": float(sums[1]),
        }
        if self.epoch % recipe.validate_every == 0 or self.epoch == recipe.epochs:
            scored = probabilities(self.averaged, self.val_split, self.normalize, here)
            line["val_accuracy"] = right_share(scored, self.val_split.labels)
        line["seconds"] = round(time.perf_counter() - began, 3)
        self.history.append(line)
        self._save()
        return line

    def _step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(
            self.here.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        ):
            scores = self.model(images)
        loss = F.cross_entropy(scores.float(), labels, label_smoothing=self.recipe.label_smoothing)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        return loss, (scores.argmax(1) == labels).sum().double()

    def _average(self, step: int) -> None:
        """Update averaged <- d averaged + (1 - d) net; d rises to its value at the start."""
        if self.averaged is self.net:
            return
        decay = min(self.recipe.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in self._pairs:
                mean.lerp_(now, 1 - decay)

    def finish(self, evaluate_test: bool) -> RunResult:
        """Judge the finished network and write result.json."""
        path = self.out / "result.json"
        known: RunResult | None = None
        judged = not evaluate_test or (self.out / ANALYSIS).exists()
        if self.here.leads and self.was_finished and judged and path.exists():
            with contextlib.suppress(ValueError, TypeError):  # not ours: judge again
                known = RunResult(**json.loads(path.read_text()))
        known = self.here.from_leader(known)
        if known and (known.test_accuracy is not None or not evaluate_test):
            return known
        val, val_tta = evaluate(self.averaged, self.val_split, self.normalize, self.here)
        test: float | None = None
        test_tta: float | None = None
        if evaluate_test:
            split = Split(self.data.X_test, self.data.y_test, device=self.here.device)
            plain = probabilities(self.averaged, split, self.normalize, self.here)
            mirrored = probabilities(self.averaged, split, self.normalize, self.here, mirror=True)
            test, test_tta = (
                right_share(plain, split.labels),
                right_share(plain + mirrored, split.labels),
            )
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
            write_atomically(self.out / "model.safetensors", safetensors.torch.save(weights))
            write_atomically(path, json.dumps(vars(result), indent=1) + "\n")
        return self.here.from_leader(result)

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
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
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
        for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.scaler.load_state_dict(content["scaler"])
        self.generator.set_state(content["generator"])
        self.epoch = content["epoch"]
        self.history = content["history"]
        self.clock.before = content["seconds"]


def _floats(net: nn.Module) -> Iterator[Tensor]:
    """Walk over parameters and running statistics, not over step counters."""
    for tensor in net.state_dict(keep_vars=True).values():
        if tensor.is_floating_point():
            yield tensor

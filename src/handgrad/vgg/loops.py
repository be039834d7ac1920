"""The loops over batches: the course's `train` and `test`, and judging a split in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handgrad.errors import DataError, NonFiniteLossError
from handgrad.vgg.distributed import World
from handgrad.vgg.images import Normalizer, Split

Batches = Iterable[tuple[Tensor, Tensor]]
"""Anything that gives (images, labels) afresh each time it is looped over: a DataLoader, a list."""


class Stepping(Protocol):
    """What `train` asks of an optimizer; those of torch.optim have it."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self) -> object:
        """Forget the gradients."""

    def step(self) -> object:
        """Change the parameters by their gradients."""


@dataclass(frozen=True)
class Lines:
    """What is said while an epoch lasts: the mean loss of every so many iterations; 0 is none."""

    every: int
    report: Callable[[str], object] = print


SILENT = Lines(0)


def train(
    trainloader: Batches,
    net: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: Stepping,
    device: torch.device | str,
    *,
    epochs: int = 10,
    print_every: int = 100,
    report: Callable[[str], object] = print,
) -> list[float]:
    """Train a network as the assignment does: batch after batch, epoch after epoch.

    Every recipe of this package trains through the same `train_epoch`.

    Parameters
    ----------
    trainloader : iterable of (images, labels)
        Looped over once per epoch.
    net : nn.Module
        Changed in place; moved to `device`; left in training mode.
    criterion : callable
        (scores, labels) to a scalar loss, for example nn.CrossEntropyLoss().
    optimizer : torch.optim.Optimizer
        Over the parameters of `net`; or anything else that is `Stepping`.
    device : torch.device or str
        Where to compute.
    epochs : int
        Passes over `trainloader`.
    print_every : int
        Iterations between reports of the mean loss; 0 reports nothing.
    report : callable
        Receives each line.

    Returns
    -------
    list of float
        The mean loss of each epoch, every image counted once.

    Raises
    ------
    DataError
        If the loader gives nothing.
    NonFiniteLossError
        If the loss becomes NaN or infinite; it says where and what to try.
    """
    lines = Lines(print_every, report)
    return [
        train_epoch(trainloader, net, criterion, optimizer, device, epoch, lines)
        for epoch in range(1, epochs + 1)
    ]


def train_epoch(
    batches: Batches,
    net: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: Stepping,
    device: torch.device | str,
    epoch: int,
    lines: Lines = SILENT,
    backward: Callable[[Tensor], object] = Tensor.backward,
) -> float:
    """Visit every batch once and step the optimizer after each; return the mean loss.

    The arguments are those of `train`, and:

    Parameters
    ----------
    epoch : int
        The epoch's number in lines and errors.
    lines : Lines
        What is said on the way.
    backward : callable
        Called with the loss; leaves the gradients in the parameters.

    Raises
    ------
    DataError, NonFiniteLossError
        As `train`.
    """
    place = torch.device(device)
    net.to(place)
    net.train()
    total = torch.zeros((), dtype=torch.float64, device=place)
    seen, recent, start = 0, 0.0, time.perf_counter()
    for iteration, (images, labels) in enumerate(batches, start=1):
        images, labels = images.to(place), labels.to(place)
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        # Asking for the number makes a GPU wait, so there it is asked for now and then.
        if lines.every or place.type == "cpu" or iteration % 50 == 0:
            value = loss.item()
            recent += value
            where = f"epoch {epoch}, iteration {iteration}"
            loss_is_finite(value, where, optimizer.param_groups[0]["lr"])
        backward(loss)
        optimizer.step()
        total += loss.detach().double() * len(labels)
        seen += len(labels)
        if lines.every and iteration % lines.every == 0:
            seconds = time.perf_counter() - start
            lines.report(
                f"[epoch {epoch}, iteration {iteration:5d}] "
                f"loss: {recent / lines.every:.3f}  {seconds:.1f} s"
            )
            recent, start = 0.0, time.perf_counter()
    if not seen:
        raise DataError("train: the loader gave no batch; is it empty or already used up?")
    mean = float(total) / seen
    loss_is_finite(mean, f"epoch {epoch}", optimizer.param_groups[0]["lr"])
    return mean


def test(testloader: Batches, net: nn.Module, device: torch.device | str) -> float:
    """Judge a network in eval mode, each image once.

    Parameters
    ----------
    testloader : iterable of (images, labels)
        Looped over once.
    net : nn.Module
        Moved to `device`; left in the mode it was in.
    device : torch.device or str
        Where to compute.

    Returns
    -------
    float
        Share of images scored right, in [0, 1].

    Raises
    ------
    DataError
        If the loader gives nothing.
    """
    net.to(device)
    was_training = net.training
    net.eval()
    right = seen = 0
    with torch.no_grad():
        for images, labels in testloader:
            guesses = net(images.to(device)).argmax(1)
            right += int((guesses == labels.to(device)).sum())
            seen += len(labels)
    net.train(was_training)
    if not seen:
        raise DataError("test: the loader gave no batch; is it empty or already used up?")
    return right / seen


def probabilities(
    net: nn.Module, split: Split, normalize: Normalizer, here: World, *, mirror: bool = False
) -> Tensor:
    """Score a split, or its mirror images, in eval mode: class probabilities.

    Parameters
    ----------
    net : nn.Module
        Left in the mode it was in.
    split : Split
        Shared out over the ranks.
    normalize : Normalizer
        The one used in training.
    here : World
        This process among all.
    mirror : bool
        Score every image's mirror image instead.

    Returns
    -------
    Tensor, shape (N, classes)
        On every rank those of all rows.
    """
    was_training = net.training
    net.eval()
    begin, end = here.share(len(split))
    scored: list[Tensor] = []
    with torch.no_grad():
        for images, _ in split.batches(normalize, begin, end):
            # In float64 no two scores that differ become equal probabilities.
            scored.append(F.softmax(net(images.flip(3) if mirror else images).double(), 1))
    net.train(was_training)
    # Every rank puts zeros where the others' rows are, so that the sum over ranks joins the parts.
    before_after = (0, 0, begin, len(split) - end)
    return here.total(F.pad(torch.cat(scored), before_after))


def accuracy(net: nn.Module, split: Split, normalize: Normalizer, here: World) -> float:
    """Judge a split by `test`, shared out over the ranks.

    Parameters
    ----------
    net, split, normalize, here
        As `probabilities` takes them.

    Returns
    -------
    float
        On every rank the share of all rows scored right, in [0, 1].
    """
    begin, end = here.share(len(split))
    right = 0.0
    if end > begin:
        right = (end - begin) * test(split.batches(normalize, begin, end), net, here.device)
    total = here.total(torch.tensor(right, dtype=torch.float64, device=here.device))
    return round(float(total)) / len(split)


def right_share(probabilities: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest probability is the label's, in [0, 1]."""
    return int((probabilities.argmax(1) == labels).sum()) / len(labels)


def loss_is_finite(loss: float, where: str, learning_rate: float) -> None:
    """Stop a run whose loss is NaN or infinite, with advice.

    Raises
    ------
    NonFiniteLossError
        Naming the place, the learning rate and what to try.
    """
    if not math.isfinite(loss):
        raise NonFiniteLossError(
            f"the loss became {loss} in {where} at learning rate {learning_rate:.3g}. "
            "Try a learning rate ten times smaller, a longer warm-up or batch normalisation, and "
            "check that the images are normalised"
        )


def arithmetic(precision: str, device: torch.device) -> torch.dtype:
    """Choose the format of the products: bfloat16 only where the hardware multiplies it.

    Parameters
    ----------
    precision : str
        "float32" or "auto".
    device : torch.device
        Where the network runs.

    Returns
    -------
    torch.dtype
        On a CPU bfloat16 if it has AVX-512 BF16 or AMX, else float32; on a GPU bfloat16 if it
        is supported, else float16.
    """
    if precision == "float32":
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # A private name, so its absence in some version means "no", not an error.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if supported() else torch.float32

"""The loops over batches: the course's `train` and `test`, and judging a split in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from handgrad.errors import DataError, NonFiniteLossError
from handgrad.vgg.distributed import World
from handgrad.vgg.images import Normalizer, Split

EVALUATION_BATCH = 1000

Batches = Iterable[tuple[Tensor, Tensor]]
"""Anything that gives (images, labels) afresh each time it is looped over: a DataLoader, a list."""


def train(
    trainloader: Batches,
    net: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    device: torch.device | str,
    *,
    epochs: int = 10,
    print_every: int = 100,
    report: Callable[[str], object] = print,
) -> list[float]:
    """Train a network as the assignment does: batch after batch, epoch after epoch.

    Parameters
    ----------
    trainloader : iterable of (images, labels)
        Looped over once per epoch.
    net : nn.Module
        Changed in place; moved to `device`; left in training mode.
    criterion : callable
        (scores, labels) to a scalar loss, for example nn.CrossEntropyLoss().
    optimizer : torch.optim.Optimizer
        Over the parameters of `net`.
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
    net.to(device)
    net.train()
    losses: list[float] = []
    for epoch in range(1, epochs + 1):
        total, seen, recent, start = 0.0, 0, 0.0, time.perf_counter()
        for iteration, (images, labels) in enumerate(trainloader, start=1):
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            value = loss.item()
            rate = float(optimizer.param_groups[0]["lr"])
            loss_is_finite(value, f"epoch {epoch}, iteration {iteration}", rate)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += value * len(labels)
            seen += len(labels)
            recent += value
            if print_every and iteration % print_every == 0:
                seconds = time.perf_counter() - start
                report(
                    f"[epoch {epoch}, iteration {iteration:5d}] "
                    f"loss: {recent / print_every:.3f}  {seconds:.1f} s"
                )
                recent, start = 0.0, time.perf_counter()
        if not seen:
            raise DataError("train: the loader gave no batch; is it empty or already used up?")
        losses.append(total / seen)
    return losses


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
    net, split, normalize, here
        As `evaluate` takes them.
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
        for start in range(begin, end, EVALUATION_BATCH):
            images = normalize(split.centre(start, min(start + EVALUATION_BATCH, end)))
            scored.append(F.softmax(net(images.flip(3) if mirror else images), 1))
    net.train(was_training)
    # Every rank puts zeros where the others' rows are, so that the sum over ranks joins the parts.
    before_after = (0, 0, begin, len(split) - end)
    return here.total(F.pad(torch.cat(scored), before_after))


def right_share(probabilities: Tensor, labels: Tensor) -> float:
    """Share of rows whose largest probability is the label's, in [0, 1]."""
    return int((probabilities.argmax(1) == labels).sum()) / len(labels)


def evaluate(
    net: nn.Module, split: Split, normalize: Normalizer, here: World
) -> tuple[float, float]:
    """Judge a network in eval mode: accuracy without and with the mirror image's vote.

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

    Returns
    -------
    (plain, mirrored) : tuple of float
        Shares of rows scored right; the second from the mean of the class probabilities of the
        image and its mirror image.
    """
    plain = probabilities(net, split, normalize, here)
    both = plain + probabilities(net, split, normalize, here, mirror=True)
    return right_share(plain, split.labels), right_share(both, split.labels)


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

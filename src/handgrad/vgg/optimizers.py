"""Update rules for the network: which parameters decay, and Muon for convolution kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from handgrad.vgg.recipes import Recipe


class Muon(Optimizer):
    """Momentum whose step is made orthogonal: every singular value of the update becomes about 1.

    With gradient g, momentum mu and a kernel w of F filters read as an F x (C*HH*WW) matrix:

        buf <- mu buf + (1 - mu) g
        u   <- orthogonalize(mu buf + (1 - mu) g)
        w   <- (1 - lr wd) w - lr sqrt(max(1, F / (C HH WW))) u

    Parameters
    ----------
    params : iterable of Tensor
        Kernels or matrices; two dimensions or more.
    lr, momentum, weight_decay : float
        Step length, mu, and decoupled decay.

    Notes
    -----
    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the
    factor under the root and the Nesterov form are those of its reference implementation. The
    matrices here are at most 64 x 576, so the products cost a few percent of a training step.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step from the gradients that `backward` left."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(buffer, group["momentum"])
        filters, inputs = len(ahead), ahead.numel() // len(ahead)
        update = orthogonalize(ahead.reshape(filters, inputs)).view(parameter.shape)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * max(1.0, filters / inputs) ** 0.5)


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Move every singular value of a matrix close to 1 and keep its singular vectors.

    Parameters
    ----------
    matrix : Tensor, shape (A, B)
        Not modified.
    steps : int
        Newton-Schulz iterations X <- a X + (b XX' + c (XX')^2) X, a quintic polynomial in the
        singular values that maps (0, 1] to about [0.7, 1.2] after five rounds (coefficients of
        Jordan et al., 2024, chosen for speed near zero, not for convergence to exactly 1).

    Returns
    -------
    Tensor, shape (A, B)
        U V' up to the factor above, where matrix = U S V'; zeros stay zeros.
    """
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        polynomial = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, polynomial, x, beta=3.4445)
    result: Tensor = x.T if tall else x
    return result


def make_optimizers(net: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Build a recipe's optimizers, so that biases and norms are not decayed.

    Parameters
    ----------
    net : nn.Module
        The network whose parameters they change.
    recipe : Recipe
        Names the rule, its rates and the decay.

    Returns
    -------
    list of Optimizer
        One, or for "muon" two: SGD for the rest, Muon for the convolution kernels. Every
        parameter group has its peak rate under "peak_lr".
    """
    parameters = list(net.parameters())
    kernels = [p for p in parameters if p.ndim > 1]
    undecayed = [p for p in parameters if p.ndim <= 1]
    optimizers: list[Optimizer] = []
    if recipe.optimizer == "muon":
        convolutions = [p for p in kernels if p.ndim == 4]
        kernels = [p for p in kernels if p.ndim != 4]
        optimizers.append(
            Muon(
                convolutions,
                lr=recipe.muon_learning_rate,
                weight_decay=recipe.muon_weight_decay,
            )
        )
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    rate = recipe.learning_rate
    if recipe.optimizer == "adam":
        optimizers.append(Adam(groups, lr=rate, fused=True))
    elif recipe.optimizer == "adamw":
        optimizers.append(AdamW(groups, lr=rate, fused=True))
    else:
        optimizers.append(SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=True, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


class Average:
    """Averaged weights that follow those in training: mean <- d mean + (1 - d) now.

    Running statistics are averaged too, step counters are not.

    Parameters
    ----------
    net : nn.Module
        In training.
    averaged : nn.Module
        Follows it, in place; if it is `net` itself, nothing is averaged.
    decay : float
        d in [0, 1), but for the first steps: there min(d, (1 + step) / (10 + step)).
    """

    def __init__(self, net: nn.Module, averaged: nn.Module, decay: float) -> None:
        self._decay = decay
        self._pairs: list[tuple[Tensor, Tensor]] = []
        if averaged is not net:
            self._pairs = list(zip(_floats(averaged), _floats(net), strict=True))

    def follow(self, step: int) -> None:
        """Take the weights in after a step; `step` counts from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in self._pairs:
                mean.lerp_(now, 1 - decay)


def _floats(net: nn.Module) -> list[Tensor]:
    return [t for t in net.state_dict(keep_vars=True).values() if t.is_floating_point()]


class Together:
    """A recipe's optimizers as the one that `train` steps, with all that surrounds a step.

    Before each step every rate is set to the schedule's share of its peak; after it, the averaged
    weights follow.

    Parameters
    ----------
    optimizers : list of Optimizer
        From `make_optimizers`.
    recipe : Recipe
        Names the schedule.
    steps : int
        Steps of the whole run.
    scaler : GradScaler
        Scales the loss where gradients are in float16; switched off elsewhere.
    average : Average
        Follows the weights after each step.

    Attributes
    ----------
    taken : int
        Steps taken so far; set it to go on with a run.
    param_groups : list of dict
        Those of the first optimizer for whose parameters `learning_rate` is meant.
    """

    def __init__(
        self,
        optimizers: list[Optimizer],
        recipe: Recipe,
        steps: int,
        *,
        scaler: torch.amp.GradScaler,
        average: Average,
    ) -> None:
        self.optimizers, self._recipe, self._steps = optimizers, recipe, steps
        self._scaler, self._average = scaler, average
        self.taken = 0
        self.param_groups = optimizers[-1].param_groups

    def zero_grad(self) -> None:
        """Forget the gradients, and set the rates of the step to come."""
        share = self._recipe.rate(self.taken, self._steps)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * share

    def backward(self, loss: Tensor) -> None:
        """Leave the gradients, scaled where float16 needs it, in the parameters."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Change the parameters, and then their averages."""
        for optimizer in self.optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()
        self._average.follow(self.taken)
        self.taken += 1

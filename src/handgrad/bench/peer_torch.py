"""A peer: the same network in PyTorch, as its users would write it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from handgrad.arrays import Array
from handgrad.bench.workloads import RATE, Workload
from handgrad.descriptions import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, ReLU


def _module(work: Workload) -> nn.Sequential:
    """The network in PyTorch."""
    shape: tuple[int, ...] = work.input_shape
    modules: list[nn.Module] = []
    for layer in work.layers:
        match layer:
            case Dense(units=units):
                modules.append(nn.Linear(int(np.prod(shape)), units))
            case Conv():
                modules.append(
                    nn.Conv2d(
                        *(shape[0], layer.filters, layer.size, layer.stride, layer.padding),
                        bias=layer.bias,
                    )
                )
            case BatchNorm():
                kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
                modules.append(kind(shape[0], momentum=1 - layer.momentum))
            case ReLU():
                modules.append(nn.ReLU())
            case MaxPool():
                modules.append(nn.MaxPool2d(layer.size, layer.stride))
            case Dropout():
                modules.append(nn.Dropout(1 - layer.keep))
            case Flatten():
                modules.append(nn.Flatten())
        shape = layer.output_shape(shape)
    return nn.Sequential(*modules)


class TorchSide:
    """PyTorch: ``torch``, then any of -last (channels_last), -compile, -one (one thread), -bf16.

    With -bf16 the layers compute in bfloat16 under autocast; weights and loss stay float32.
    """

    def __init__(
        self, work: Workload, X: Array, y: Array, initial: Mapping[str, Array], name: str
    ) -> None:
        if "-one" in name:
            torch.set_num_threads(1)
        net = _module(work)
        weights = iter(initial.items())
        with torch.no_grad():
            for parameter in net.parameters():
                value = torch.tensor(next(weights)[1])
                parameter.copy_(value.T if value.ndim == 2 else value)
        self.X, self.y = torch.tensor(X), torch.tensor(y)
        if "-last" in name:
            net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.X = self.X.contiguous(memory_format=torch.channels_last)
        if work.loss == "softmax":
            self.loss: Any = nn.functional.cross_entropy
        else:
            self.y = self.y.float().reshape(-1, 1)
            self.loss = nn.functional.binary_cross_entropy_with_logits
            if work.loss == "svm":
                self.y = 2 * (self.y > 0).float() - 1
                self.loss = lambda x, y: torch.relu(1 - x * y).mean()
        self.optimiser = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
        self.net: Any = torch.compile(net) if "-compile" in name else net
        self.half = "-bf16" in name
        self.batch_size = work.batch_size
        self.rng = np.random.default_rng(1)

    def epoch(self) -> list[float]:
        """Tensor-indexed batches of a shuffled epoch."""
        self.net.train()
        rows = torch.from_numpy(self.rng.permutation(len(self.X)))
        losses = []
        for chosen in torch.split(rows, self.batch_size):
            self.optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
                out = self.net(self.X[chosen])
            loss = self.loss(out.float(), self.y[chosen])
            loss.backward()
            self.optimiser.step()
            losses.append(loss.detach())
        return [float(loss) for loss in losses]

    def predict(self) -> None:
        """Scores without gradients."""
        self.net.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            self.net(self.X[: self.batch_size])

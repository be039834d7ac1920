"""Several processes under torchrun: who am I, and the few sums that ranks share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """One process among all.

    Attributes
    ----------
    rank : int
        0 writes files and reports; the others only compute.
    size : int
        Number of processes, 1 without torchrun.
    device : torch.device
        Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Is this the process that writes and reports?"""
        return self.rank == 0

    def share(self, rows: int) -> tuple[int, int]:
        """Give this rank's part start..stop of some rows; the parts differ by at most one row."""
        return self.rank * rows // self.size, (self.rank + 1) * rows // self.size

    def total(self, counts: Tensor) -> Tensor:
        """Add a tensor up over all ranks; every rank gets the sum."""
        if self.size > 1:
            dist.all_reduce(counts)
        return counts

    def from_leader(self, value: Value) -> Value:
        """Give every rank what rank 0 has."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def average_statistics(self, *nets: nn.Module) -> None:
        """Replace running statistics by their mean over ranks, so that all ranks evaluate alike."""
        if self.size > 1:
            for net in nets:
                for buffer in net.buffers():
                    if buffer.is_floating_point():
                        dist.all_reduce(buffer)
                        buffer /= self.size


@contextmanager
def world(device: str = "cpu", *, timeout_seconds: float = 600) -> Iterator[World]:
    """Join the processes that torchrun started, or stand alone without it.

    Parameters
    ----------
    device : str
        "cpu", "cuda" or "auto" (a GPU when there is one). Under torchrun, "cuda" gives every local
        process its own GPU.
    timeout_seconds : float
        How long a rank waits for the others before it fails.

    Yields
    ------
    World

    Notes
    -----
    gloo carries the sums on CPUs, nccl on GPUs. Rank, size and meeting point come from the
    environment variables that torchrun sets.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, torch.device(device))
        return
    place = torch.device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group(
            "nccl" if place.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout_seconds)
        )
    yield World(dist.get_rank(), dist.get_world_size(), place)
    if joined:  # not after an error: leaving the group in order would wait for the other ranks
        dist.destroy_process_group()

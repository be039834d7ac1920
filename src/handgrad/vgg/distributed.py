"""Several processes under torchrun: who am I, and the few sums that ranks share."""

from __future__ import annotations

import atexit
import importlib
import os
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

    def same_statistics(self, *nets: nn.Module) -> None:
        """Give every rank the running statistics of rank 0, so that all evaluate alike."""
        if self.size > 1:
            for net in nets:
                for buffer in net.buffers():
                    dist.broadcast(buffer, src=0)


def join(device: str = "cpu", *, timeout_seconds: float = 600) -> World:
    """Join the processes that torchrun started, or stand alone without it.

    The processes stay joined until they `leave`, so that several runs can follow each other; on
    CPUs they leave at the latest when Python ends.

    Parameters
    ----------
    device : str
        "cpu", "cuda" or "auto" (a GPU when there is one). Under torchrun, "cuda" gives every local
        process its own GPU.
    timeout_seconds : float
        How long a rank waits for the others before it fails.

    Notes
    -----
    gloo carries the sums on CPUs, nccl on GPUs. Rank, size and meeting point come from the
    environment variables that torchrun sets.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch.device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World(0, 1, place)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if not dist.is_initialized():
        # DistributedDataParallel imports this, and its functions' defaults then hold the group, so
        # that gloo's threads would outlive `leave`. Imported before there is a group, they do not.
        importlib.import_module("torch.distributed.nn")
        backend = "nccl" if place.type == "cuda" else "gloo"
        if backend == "gloo":
            # A thread of gloo's that lets go of a tensor while Python ends aborts the process.
            atexit.register(leave)
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_seconds))
    return World(dist.get_rank(), dist.get_world_size(), place)


def leave() -> None:
    """Part in good order; not for use after an error, because it may wait for the other ranks."""
    if dist.is_initialized():
        dist.destroy_process_group()

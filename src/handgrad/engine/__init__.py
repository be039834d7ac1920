"""Everything that makes training fast, behind one door: ``stepper``.

A Solver asks for a stepper of its network and gets one, or None; without one it takes its own,
which calls ``network.loss`` and then the rule. ``HANDGRAD_ENGINE=layers`` in the environment
closes the door: everything trains by the readable half. Behind it is a library in C (``csrc``),
compiled when handgrad is installed (``build``): one call trains a network on several batches. Where
it is missing the readable half trains, too, and a line of the log says so, once.
"""

import os
from collections.abc import Callable
from typing import Protocol, TypeGuard

from numpy.typing import ArrayLike

from handgrad import optim
from handgrad.arrays import Array
from handgrad.engine.program import Program, runs, targets
from handgrad.engine.stepper import EngineStepper
from handgrad.errors import EngineError
from handgrad.network import Network

__all__ = ["Stepper", "scores", "stepper"]


class Stepper(Protocol):
    """What trains a network for a Solver.

    Attributes
    ----------
    batches_at_once : int
        How many batches to hand to ``run``.
    """

    @property
    def batches_at_once(self) -> int: ...

    def own(self) -> None:
        """Before an epoch: take parameters and configs as they are now, in arrays of its own."""

    def run(self, rows: Array, rates: list[float | None]) -> list[float]:
        """Train on the batches of these rows, each with its learning rate.

        Gives their losses, up to the first that is not finite; from that on nothing is stepped.
        """

    def scores(self, X: ArrayLike) -> Array:
        """Give test-mode scores, as ``network.loss(X)`` does."""


def stepper(
    network: object,
    rule: optim.Rule,
    configs: dict[str, optim.Config],
    X: Array,
    y: Array,
    batch_size: int,
    augment: Callable[[Array], Array] | None = None,
    sample_weight: Array | None = None,
    max_norm: float | None = None,
) -> Stepper | None:
    """Give the fastest stepper of a network, or None where only the readable half will do.

    Parameters
    ----------
    network : object
        A Network whose ``loss`` is Network's own; None is given for any other model.
    rule : function
        Of ``handgrad.optim``, or another's.
    configs : dict
        The rule's config for each parameter; replaced in place as training goes.
    X, y : arrays (N, ...), (N,)
        Training rows and labels.
    batch_size : int
    augment : function, optional
        Replaces each batch of X.
    sample_weight : array (N,), optional
        What each row counts in the loss.
    max_norm : float, optional
        The gradients of a step are clipped to it.

    Raises
    ------
    EngineError
        If HANDGRAD_ENGINE is set to anything but ``layers``.
    """
    if _is_closed() or not _has_networks_loss(network) or not runs(network):
        return None
    network.examples(X[:0])  # refuses another shape
    wanted = targets(network, len(X), y, sample_weight)
    return EngineStepper(network, rule, configs, X, wanted, batch_size, augment, max_norm)


def scores(network: Network, X: ArrayLike) -> Array:
    """Give test-mode scores of a network, (N,) for the binary losses, (N, C) for softmax.

    A network with a ``loss`` of its own is asked for them.
    """
    plainly = _is_closed() or not _has_networks_loss(network) or not runs(network)
    return network.loss(X) if plainly else Program(network).scores(X)


def _has_networks_loss(network: object) -> TypeGuard[Network]:
    """Whether it is a Network, and its loss is Network's own."""
    return isinstance(network, Network) and (
        getattr(network.loss, "__func__", None) is Network.loss
    )


def _is_closed() -> bool:
    wanted = os.environ.get("HANDGRAD_ENGINE", "")
    if wanted not in ("", "layers"):
        raise EngineError(f"HANDGRAD_ENGINE must be layers, or not set; got {wanted!r}")
    return wanted == "layers"

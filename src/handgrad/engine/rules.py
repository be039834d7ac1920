"""The update rules of handgrad.optim as the engine takes them: csrc/rules.c steps in place."""

from functools import cache
from typing import NamedTuple

import numpy as np

from handgrad import optim
from handgrad.arrays import Array

SGD, MOMENTUM, NESTEROV, RMSPROP, ADAM = range(1, 6)  # as in csrc/engine.h

_KINDS: dict[optim.Rule, int] = {
    optim.sgd: SGD,
    optim.sgd_momentum: MOMENTUM,
    optim.nesterov: NESTEROV,
    optim.rmsprop: RMSPROP,
    optim.adam: ADAM,
    optim.adamw: ADAM,
}
_STATE: dict[optim.Rule, tuple[str, ...]] = {
    optim.sgd: (),
    optim.sgd_momentum: ("velocity",),
    optim.nesterov: ("velocity",),
    optim.rmsprop: ("cache",),
    optim.adam: ("m", "v"),
    optim.adamw: ("m", "v"),
}


class InPlace(NamedTuple):
    """A rule of ``optim.RULES`` as the engine takes it.

    Attributes
    ----------
    kind : int
        SGD, MOMENTUM, ...
    a, b, epsilon, decay : float
        Momentum or decay_rate or beta1; beta2; epsilon; weight_decay: those the rule has.
    state : names of its state arrays in a config
    """

    kind: int
    a: float
    b: float
    epsilon: float
    decay: float
    state: tuple[str, ...]


@cache
def _hyperparameters(rule: optim.Rule) -> frozenset[str]:
    """What a rule of ``optim.RULES`` keeps in a config beside its state."""
    return frozenset(rule(np.zeros(1), np.zeros(1), None)[1]).difference(_STATE[rule])


def owned(rule: optim.Rule, w: Array, config: optim.Config) -> tuple[InPlace, optim.Config]:
    """Give a rule of ``optim.RULES`` in place, and a config with defaults and state of its own."""
    given = {name: value for name, value in config.items() if name not in _STATE[rule]}
    full = given
    if not _hyperparameters(rule) <= given.keys():  # a config of an earlier call has them all
        _, full = rule(np.zeros(1), np.zeros(1), given)
    if "t" in full:
        full["t"] = config.get("t", 0)
    for name in _STATE[rule]:
        state = config.get(name)
        full[name] = np.zeros_like(w) if state is None else np.array(state, dtype=w.dtype)
    a = next((full[name] for name in ("momentum", "decay_rate", "beta1") if name in full), 0.0)
    b, epsilon, decay = (full.get(name, 0.0) for name in ("beta2", "epsilon", "weight_decay"))
    return InPlace(_KINDS[rule], float(a), b, epsilon, decay, _STATE[rule]), full

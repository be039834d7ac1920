"""The update rules of handgrad.optim in place, in one pass over memory, for who owns the arrays."""

from typing import Any, NamedTuple

import numpy as np

from handgrad import optim
from handgrad.arrays import Array
from handgrad.engine.kernels import rules

_KINDS: dict[optim.Rule, int] = {
    optim.sgd: rules.SGD,
    optim.sgd_momentum: rules.MOMENTUM,
    optim.nesterov: rules.NESTEROV,
    optim.rmsprop: rules.RMSPROP,
    optim.adam: rules.ADAM,
    optim.adamw: rules.ADAM,
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
    """A rule of ``optim.RULES`` as kernels take it.

    Attributes
    ----------
    kind : int
        Of ``kernels.rules``.
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

    def next_step(self, w: Array, config: optim.Config, rate: float) -> tuple[Any, ...]:
        """Say how w is to be stepped, as kernels take it, and count the step in the config.

        Adam's bias corrections are multiplied in another order than in ``optim.adam``: the last
        digits may differ.
        """
        first = config[self.state[0]] if self.state else w
        second = config[self.state[1]] if len(self.state) > 1 else w
        t = config.get("t", 0) + 1
        if self.kind == rules.ADAM:
            config["t"] = t
        return self.kind, first, second, rate, self.a, self.b, self.epsilon, self.decay, t


def owned(rule: optim.Rule, w: Array, config: optim.Config) -> tuple[InPlace, optim.Config]:
    """Give a rule of ``optim.RULES`` in place, and a config with defaults and state of its own."""
    given = {name: value for name, value in config.items() if name not in _STATE[rule]}
    _, full = rule(np.zeros(1), np.zeros(1), given)
    if "t" in full:
        full["t"] = config.get("t", 0)
    for name in _STATE[rule]:
        state = config.get(name)
        full[name] = np.zeros_like(w) if state is None else np.array(state, dtype=w.dtype)
    a = next((full[name] for name in ("momentum", "decay_rate", "beta1") if name in full), 0.0)
    b, epsilon, decay = (full.get(name, 0.0) for name in ("beta2", "epsilon", "weight_decay"))
    return InPlace(_KINDS[rule], float(a), b, epsilon, decay, _STATE[rule]), full

"""Update rules, ``rule(w, dw, config) -> (next_w, config)``, and learning-rate schedules.

A rule is a pure step: it modifies neither w, nor dw, nor the config it was given. The config it
returns holds the hyperparameters (defaults filled in) and the rule's state (velocity, m, v, ...),
and goes into the next step:

    w, config = adam(w, dw, config)

(Keeping the old config instead starts the rule afresh each time.) In the docstrings w' is the
next w, and all products are by element.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from handgrad.kernels import rules

Array = NDArray[Any]
Config = dict[str, Any]
Rule = Callable[[Array, Array, Config | None], tuple[Array, Config]]
Schedule = Callable[[float], float]


def _start(
    w: Array, config: Mapping[str, Any] | None, state: tuple[str, ...], **defaults: float
) -> Config:
    """Return a new config: the defaults, over them what was given, and zero state where absent."""
    full: Config = {**defaults, **(config or {})}
    for name, value in full.items():
        if isinstance(value, np.generic):  # a np.float64 rate would turn float32 weights to float64
            full[name] = value.item()
    for name in state:
        if full.get(name) is None:
            full[name] = np.zeros_like(w)
    return full


def sgd(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Stochastic gradient descent: w' = w - learning_rate * dw.

    config: learning_rate 1e-2.
    """
    config = _start(w, config, (), learning_rate=1e-2)
    return w - config["learning_rate"] * dw, config


def sgd_momentum(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """SGD with momentum: velocity' = momentum * velocity - learning_rate * dw; w' = w + velocity'.

    config: learning_rate 1e-2, momentum 0.9; state velocity. The learning rate is inside the
    velocity, as in the course; PyTorch keeps it outside, which differs once the rate changes.
    """
    config = _start(w, config, ("velocity",), learning_rate=1e-2, momentum=0.9)
    velocity = config["momentum"] * config["velocity"] - config["learning_rate"] * dw
    config["velocity"] = velocity
    return w + velocity, config


def nesterov(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """SGD with Nesterov momentum: velocity' = momentum * velocity + dw;
    w' = w - learning_rate * (dw + momentum * velocity').

    config: learning_rate 1e-2, momentum 0.9; state velocity. PyTorch's form: the learning rate
    is outside the velocity, so that a schedule acts at once.
    """
    config = _start(w, config, ("velocity",), learning_rate=1e-2, momentum=0.9)
    velocity = config["momentum"] * config["velocity"] + dw
    config["velocity"] = velocity
    return w - config["learning_rate"] * (dw + config["momentum"] * velocity), config


def rmsprop(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """RMSProp: cache' = decay_rate * cache + (1 - decay_rate) * dw^2;
    w' = w - learning_rate * dw / (sqrt(cache') + epsilon).

    config: learning_rate 1e-2, decay_rate 0.99, epsilon 1e-8; state cache.
    """
    config = _start(w, config, ("cache",), learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
    decay = config["decay_rate"]
    cache = decay * config["cache"] + (1 - decay) * dw * dw
    config["cache"] = cache
    return w - config["learning_rate"] * dw / (np.sqrt(cache) + config["epsilon"]), config


def adam(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Adam: t' = t + 1; m' = beta1 * m + (1 - beta1) * dw; v' = beta2 * v + (1 - beta2) * dw^2;
    w' = w - learning_rate * m_hat / (sqrt(v_hat) + epsilon),
    with m_hat = m' / (1 - beta1^t') and v_hat = v' / (1 - beta2^t').

    config: learning_rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-8; state m, v, t (0 at first).
    Kingma & Ba, "Adam", ICLR 2015, algorithm 1.
    """
    config = _start(
        w, config, ("m", "v"), learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, t=0
    )
    beta1, beta2 = config["beta1"], config["beta2"]
    t = config["t"] + 1
    m = beta1 * config["m"] + (1 - beta1) * dw
    v = beta2 * config["v"] + (1 - beta2) * dw * dw
    config.update(t=t, m=m, v=v)
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - config["learning_rate"] * m_hat / (np.sqrt(v_hat) + config["epsilon"]), config


def adamw(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Adam with decoupled weight decay: Adam's step, and - learning_rate * weight_decay * w.

    config: as adam, and weight_decay 1e-2. Loshchilov & Hutter, "Decoupled weight decay
    regularization", ICLR 2019. Every array it is given is decayed; the Solver gives it biases
    and scales with weight_decay 0.
    """
    config = {"weight_decay": 1e-2, **(config or {})}
    next_w, config = adam(w, dw, config)
    return next_w - config["learning_rate"] * config["weight_decay"] * w, config


RULES: dict[str, Rule] = {
    "sgd": sgd,
    "sgd_momentum": sgd_momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def clipped(grads: Mapping[str, Array], max_norm: float) -> dict[str, Array]:
    """Shorten gradients that are too long: g' = g * min(1, max_norm / norm), of all g together.

    norm is the length of all gradients as one vector. A zero gradient stays zero; one that is not
    finite stays so, for the loss to report. Pascanu et al., "On the difficulty of training
    recurrent neural networks", ICML 2013.
    """
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))
    factor = min(1.0, max_norm / norm) if norm > 0 else 1.0
    return {name: g * g.dtype.type(factor) for name, g in grads.items()}


# For a Solver, which owns its arrays: the same steps in place, in one pass over memory.

_KINDS: dict[Rule, int] = {
    sgd: rules.SGD,
    sgd_momentum: rules.MOMENTUM,
    nesterov: rules.NESTEROV,
    rmsprop: rules.RMSPROP,
    adam: rules.ADAM,
    adamw: rules.ADAM,
}
_STATE: dict[Rule, tuple[str, ...]] = {
    sgd: (),
    sgd_momentum: ("velocity",),
    nesterov: ("velocity",),
    rmsprop: ("cache",),
    adam: ("m", "v"),
    adamw: ("m", "v"),
}


class InPlace(NamedTuple):
    """A rule of RULES as kernels take it.

    Attributes
    ----------
    kind : int, of kernels.rules
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

    def next_step(self, w: Array, config: Config, rate: float) -> tuple[Any, ...]:
        """Say how w is to be stepped, as kernels take it, and count the step in the config.

        Adam's bias corrections are multiplied in another order than in ``adam``: the last digits
        may differ.
        """
        first = config[self.state[0]] if self.state else w
        second = config[self.state[1]] if len(self.state) > 1 else w
        t = config.get("t", 0) + 1
        if self.kind == rules.ADAM:
            config["t"] = t
        return self.kind, first, second, rate, self.a, self.b, self.epsilon, self.decay, t


def owned(rule: Rule, w: Array, config: Config) -> tuple[InPlace, Config]:
    """Give a rule of RULES in place, and a config with its defaults and state arrays of its own."""
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


# A schedule maps progress, the fraction of training done in [0, 1), to a factor on the rate.


def constant() -> Schedule:
    """Return the schedule that leaves the learning rate as it is."""
    return lambda progress: 1.0


def per_epoch_decay(decay: float, num_epochs: int) -> Schedule:
    """Return the schedule that multiplies the learning rate by ``decay`` after each epoch."""
    return lambda progress: decay ** math.floor(progress * num_epochs + 1e-9)


def cosine(final: float = 0.0) -> Schedule:
    """Return the half cosine from 1 down to ``final`` (Loshchilov & Hutter, "SGDR", ICLR 2017)."""
    return lambda progress: final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def one_cycle(warm_up: float = 0.3, start: float = 0.04, final: float = 1e-4) -> Schedule:
    """Return one cycle: a half cosine from ``start`` up to 1 over the fraction ``warm_up`` of
    training, then one down to ``final``.

    Smith & Topin, "Super-convergence", 2018, with cosines in place of straight lines, as in
    PyTorch's OneCycleLR; the momentum is left alone.
    """
    if not 0 < warm_up < 1:
        raise ValueError(f"one_cycle: warm_up must be in (0, 1); got {warm_up}")

    def schedule(progress: float) -> float:
        if progress < warm_up:
            return start + (1 - start) * (1 - math.cos(math.pi * progress / warm_up)) / 2
        down = (progress - warm_up) / (1 - warm_up)
        return final + (1 - final) * (1 + math.cos(math.pi * down)) / 2

    return schedule

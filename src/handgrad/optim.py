"""Update rules, ``rule(w, dw, config) -> (next_w, config)``, and learning-rate schedules.

A rule is a pure step: it modifies neither w, nor dw, nor the config it was given. The config it
returns holds the hyperparameters (defaults filled in) and the rule's state (velocity, m, v, ...),
and goes into the next step. w, float32 or float64, decides the dtype of all arrays that come out:

    w, config = adam(w, dw, config)

(Keeping the old config instead starts the rule afresh each time.) w, dw and the state arrays have
one shape, any; a config of None is a rule's first. In the docstrings w' is the next w, and all
products are by element.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from handgrad.arrays import Array, floating, underflow_is_zero

Config = dict[str, Any]
Rule = Callable[[Array, Array, Config | None], tuple[Array, Config]]
Schedule = Callable[[float], float]


def _pair(w: Any, dw: Any) -> tuple[Any, Any]:
    """Give w and its gradient in w's dtype; symbols, as proofs have them, as they are."""
    if not (isinstance(w, np.ndarray) and w.dtype.kind in "biuf"):
        return w, dw
    w = floating(w)
    return w, floating(dw, w.dtype)


def _start(
    w: Array, config: Mapping[str, Any] | None, state: tuple[str, ...], **defaults: float
) -> Config:
    """Return a new config: the defaults, over them what was given, and state in w's dtype."""
    full: Config = {**defaults, **(config or {})}
    for name, value in full.items():
        if isinstance(value, np.generic):  # a np.float64 rate would turn float32 weights to float64
            full[name] = value.item()
    for name in state:
        given = full.get(name)
        full[name] = np.zeros_like(w) if given is None else floating(given, w.dtype)
    return full


@underflow_is_zero
def sgd(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Stochastic gradient descent: w' = w - learning_rate * dw.

    config: learning_rate 1e-2. Robbins & Monro, "A stochastic approximation method", 1951.
    """
    w, dw = _pair(w, dw)
    config = _start(w, config, (), learning_rate=1e-2)
    return w - config["learning_rate"] * dw, config


@underflow_is_zero
def sgd_momentum(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """SGD with momentum: velocity' = momentum * velocity - learning_rate * dw; w' = w + velocity'.

    config: learning_rate 1e-2, momentum 0.9; state velocity. The learning rate is inside the
    velocity, as in the course; PyTorch keeps it outside, which differs once the rate changes.
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """
    w, dw = _pair(w, dw)
    config = _start(w, config, ("velocity",), learning_rate=1e-2, momentum=0.9)
    velocity = config["momentum"] * config["velocity"] - config["learning_rate"] * dw
    config["velocity"] = velocity
    return w + velocity, config


@underflow_is_zero
def nesterov(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """SGD with Nesterov momentum: velocity' = momentum * velocity + dw;
    w' = w - learning_rate * (dw + momentum * velocity').

    config: learning_rate 1e-2, momentum 0.9; state velocity. PyTorch's form: the learning rate
    is outside the velocity, so that a schedule acts at once. Sutskever et al., "On the importance
    of initialization and momentum in deep learning", ICML 2013.
    """
    w, dw = _pair(w, dw)
    config = _start(w, config, ("velocity",), learning_rate=1e-2, momentum=0.9)
    velocity = config["momentum"] * config["velocity"] + dw
    config["velocity"] = velocity
    return w - config["learning_rate"] * (dw + config["momentum"] * velocity), config


@underflow_is_zero
def rmsprop(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """RMSProp: cache' = decay_rate * cache + (1 - decay_rate) * dw^2;
    w' = w - learning_rate * dw / (sqrt(cache') + epsilon).

    config: learning_rate 1e-2, decay_rate 0.99, epsilon 1e-8; state cache. Tieleman & Hinton,
    Coursera lecture 6.5, 2012.
    """
    w, dw = _pair(w, dw)
    config = _start(w, config, ("cache",), learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
    decay = config["decay_rate"]
    cache = decay * config["cache"] + (1 - decay) * dw * dw
    config["cache"] = cache
    return w - config["learning_rate"] * dw / (np.sqrt(cache) + config["epsilon"]), config


@underflow_is_zero
def adam(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Adam: t' = t + 1; m' = beta1 * m + (1 - beta1) * dw; v' = beta2 * v + (1 - beta2) * dw^2;
    w' = w - learning_rate * m_hat / (sqrt(v_hat) + epsilon),
    with m_hat = m' / (1 - beta1^t') and v_hat = v' / (1 - beta2^t').

    config: learning_rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-8; state m, v, t (0 at first).
    Kingma & Ba, "Adam", ICLR 2015, algorithm 1.
    """
    w, dw = _pair(w, dw)
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


@underflow_is_zero
def adamw(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Adam with decoupled weight decay: Adam's step, and - learning_rate * weight_decay * w.

    config: as adam, and weight_decay 1e-2. Loshchilov & Hutter, "Decoupled weight decay
    regularization", ICLR 2019. Every array it is given is decayed; the Solver gives it biases
    and scales with weight_decay 0.
    """
    w, dw = _pair(w, dw)
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


@underflow_is_zero
def clipped(grads: Mapping[str, Array], max_norm: float) -> dict[str, Array]:
    """Shorten gradients that are too long: g' = g * min(1, max_norm / norm), of all g together.

    norm is the length of all gradients as one vector, of any finite entries: the squares of very
    large or small ones would not be numbers of their dtype, those of g / max(abs(g)) are. A zero
    gradient stays zero; where an entry is not finite, all stay, for the loss to report. Pascanu et
    al., "On the difficulty of training recurrent neural networks", ICML 2013.

    Raises ValueError unless max_norm is above 0.
    """
    if not max_norm > 0:
        raise ValueError(f"clipped: max_norm must be above 0; got {max_norm!r}")
    grads = {name: floating(g) for name, g in grads.items()}
    largest = float(np.max([np.abs(g).max(initial=0) for g in grads.values()], initial=0))
    if not 0 < largest < math.inf:
        return {name: g.copy() for name, g in grads.items()}
    units = {name: np.divide(g, largest, dtype=np.float64) for name, g in grads.items()}
    length = math.sqrt(sum(float(np.square(unit).sum()) for unit in units.values()))
    if length * largest <= max_norm:
        return {name: g.copy() for name, g in grads.items()}
    return {name: (units[name] * (max_norm / length)).astype(g.dtype) for name, g in grads.items()}


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
    PyTorch's OneCycleLR; the momentum is left alone. Raises ValueError unless warm_up is in (0, 1).
    """
    if not 0 < warm_up < 1:
        raise ValueError(f"one_cycle: warm_up must be in (0, 1); got {warm_up}")

    def schedule(progress: float) -> float:
        if progress < warm_up:
            return start + (1 - start) * (1 - math.cos(math.pi * progress / warm_up)) / 2
        down = (progress - warm_up) / (1 - warm_up)
        return final + (1 - final) * (1 + math.cos(math.pi * down)) / 2

    return schedule

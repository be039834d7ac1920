import numpy as np


def sgd(w, dw, config=None):
    """Steps in place, and fills in the config that it was given."""
    if config is None:
        config = {}
    config.setdefault("learning_rate", 1e-2)
    w -= config["learning_rate"] * dw
    return w, config


def sgd_momentum(w, dw, config=None):
    if config is None:
        config = {}
    config.setdefault("learning_rate", 1e-2)
    config.setdefault("momentum", 0.9)
    if "velocity" not in config:
        config["velocity"] = np.zeros_like(w)
    config["velocity"] *= config["momentum"]
    config["velocity"] -= config["learning_rate"] * dw
    w += config["velocity"]
    return w, config


def rmsprop(w, dw, config=None):
    config = {} if config is None else config
    rate = config.setdefault("learning_rate", 1e-2)
    decay = config.setdefault("decay_rate", 0.99)
    cache = config.setdefault("cache", np.zeros_like(w))
    cache += (1 - decay) * (np.square(dw) - cache)
    w -= rate * dw / (config.setdefault("epsilon", 1e-8) + np.sqrt(cache))
    return w, config


def adam(w, dw, config=None):
    """Both corrections in the step size: epsilon moves with them."""
    config = {} if config is None else config
    rate = config.setdefault("learning_rate", 1e-3)
    beta1, beta2 = config.setdefault("beta1", 0.9), config.setdefault("beta2", 0.999)
    eps = config.setdefault("epsilon", 1e-8)
    config.setdefault("m", np.zeros_like(w))
    config.setdefault("v", np.zeros_like(w))
    config["t"] = config.get("t", 0) + 1
    config["m"] += (1 - beta1) * (dw - config["m"])
    config["v"] += (1 - beta2) * (dw * dw - config["v"])
    root = np.sqrt(1 - beta2 ** config["t"])
    step = rate * root / (1 - beta1 ** config["t"])
    w -= step * config["m"] / (np.sqrt(config["v"]) + eps * root)
    return w, config

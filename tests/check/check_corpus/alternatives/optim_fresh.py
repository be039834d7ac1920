import numpy as np


def _config(given, **defaults):
    return defaults if given is None else {**defaults, **given}


def sgd(w, dw, config=None):
    config = _config(config, learning_rate=1e-2)
    return w - config["learning_rate"] * dw, config


def sgd_momentum(w, dw, config=None):
    """A new config each time; the state is float64."""
    config = _config(config, learning_rate=1e-2, momentum=0.9, velocity=np.zeros(w.shape))
    velocity = config["momentum"] * config["velocity"] - config["learning_rate"] * dw
    return w + velocity, {**config, "velocity": velocity}


def rmsprop(w, dw, config=None):
    config = _config(
        config, learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8, cache=np.zeros(w.shape)
    )
    rate, decay, epsilon, cache = (
        config[key] for key in ("learning_rate", "decay_rate", "epsilon", "cache")
    )
    cache = cache + (1 - decay) * (dw**2 - cache)
    return w - rate * dw / (cache**0.5 + epsilon), dict(config, cache=cache)


def adam(w, dw, config=None):
    zeros = np.zeros(w.shape)
    config = _config(
        config, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, m=zeros, v=zeros, t=0
    )
    b1, b2, t = config["beta1"], config["beta2"], config["t"] + 1
    m = config["m"] + (1 - b1) * (dw - config["m"])
    v = config["v"] + (1 - b2) * (dw * dw - config["v"])
    step = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + config["epsilon"])
    return w - config["learning_rate"] * step, dict(config, m=m, v=v, t=t)

"""Several training steps of a dense network in one call: for a Solver, which has many to make.

The parameters lie one after the other in one array, and the network's are views of it; so is the
rule's state. Labels are checked once, when the stepper is made.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from handgrad import layers, optim
from handgrad.arrays import Array
from handgrad.descriptions import Dense, Flatten, ReLU
from handgrad.engine import kernels
from handgrad.engine.graph import Graph
from handgrad.engine.rules import owned
from handgrad.network import Network

_LOSSES = {"softmax": 0, "logistic": 1, "svm": 2}
# Numbers of the training rows in one call: some hundredths of a second, so that Ctrl-C is heard.
_NUMBERS = 2**22


class DenseStepper:
    """Steps of a network that is Dense, ReLU, Dense, ..., Dense; see `handgrad.engine.Stepper`.

    Parameters
    ----------
    network : Network for which ``fits`` holds
    rule : of optim.RULES
    configs : dict, a rule's config for each parameter; replaced by ones with views
    X, y : training rows and labels
    batch_size : int
    """

    def __init__(
        self, network: Network, rule: optim.Rule, configs: dict[str, optim.Config], X: Array,
        y: Array, batch_size: int,
    ) -> None:  # fmt: skip
        self._network, self._X, self._configs = network, X.reshape(len(X), -1), configs
        self._rule, self._graph = rule, Graph(network)
        self._batch_size = min(batch_size, len(X))
        self._labels = _labels(network, y)
        dense = [layer for layer in network.layers if isinstance(layer, Dense)]
        self._sizes = np.array([self._X.shape[1], *(layer.units for layer in dense)])
        total = sum(array.size for array in network.params.values())
        self._theta, self._first, self._second = (np.zeros(total, network.dtype) for _ in range(3))

    def own(self) -> None:
        """Copy parameters and state side by side; leave views with the network and the configs."""
        # New arrays: those of the last epoch are in the hands of whoever looked at them.
        self._theta, self._first, self._second = map(
            np.zeros_like, (self._theta, self._first, self._second)
        )
        at = 0
        for name, array in self._network.params.items():
            in_place, config = owned(self._rule, array, self._configs[name])
            place = slice(at, at + array.size)
            at = place.stop
            whole = [(self._theta, array)]
            flats = (self._first, self._second)[: len(in_place.state)]
            whole += zip(flats, (config[key] for key in in_place.state), strict=True)
            views = []
            for flat, part in whole:
                flat[place] = part.reshape(-1)
                views.append(flat[place].reshape(array.shape))
            self._network.params[name] = views[0]
            config.update(zip(in_place.state, views[1:], strict=True))
            self._configs[name] = config
            if name in self._network.penalised:  # whose decay is not left out
                self._in_place = in_place

    @staticmethod
    def fits(network: Network, X: Array, y: Array) -> bool:
        """Whether this network and data can be trained here."""
        kinds = [type(layer) for layer in network.layers if not isinstance(layer, Flatten)]
        wanted = [Dense, ReLU] * (len(kinds) // 2) + [Dense]
        return (
            kinds == wanted
            and X.ndim >= 2
            and math.prod(X.shape[1:]) == math.prod(network.input_shape)
            and y.size == len(y)
            and all(array.dtype == network.dtype for array in network.params.values())
        )

    @property
    def batches_at_once(self) -> int:
        """How many batches to hand to ``run``."""
        return max(1, _NUMBERS // (self._batch_size * self._X.shape[1]))

    def scores(self, X: ArrayLike) -> Array:
        """Give test-mode scores of the network as it is now."""
        return self._graph.scores(X)

    def run(self, rows: Array, rates: list[float | None]) -> list[float]:
        """Train on the batches of these rows; give their losses, up to one that is not finite."""
        configs = self._configs.values()
        t = next(iter(configs)).get("t", 0)
        p = self._in_place
        losses: list[float] = kernels.dense_steps(
            self._X, rows, self._labels, self._batch_size, self._sizes,
            _LOSSES[self._network.loss_name], self._network.reg, self._theta, p.kind,
            np.array(rates), np.array([p.a, p.b, p.epsilon, p.decay]), self._first, self._second,
            t,
        ).tolist()  # fmt: skip
        for config in configs:
            config["learning_rate"] = rates[-1]
            if "t" in config:
                config["t"] = t + len(losses)
        return losses


def _labels(network: Network, y: Array) -> Array:
    """Check the labels as the loss does, and give classes, or -1 and 1, as whole numbers."""
    check = {
        "softmax": layers.softmax_loss,
        "logistic": layers.logistic_loss,
        "svm": layers.svm_loss,
    }[network.loss_name]
    check(np.zeros((len(y), *network.output_shape), dtype=np.float32), y)
    if network.loss_name == "softmax":
        return y.astype(np.int64)
    return np.where(y.reshape(-1) == 1, 1, -1)

"""Training steps by the engine, several batches a call: what a Solver is given."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from handgrad import optim
from handgrad.arrays import Array
from handgrad.engine.program import Program, Targets, background
from handgrad.engine.rules import InPlace, owned
from handgrad.network import Network

# Of one call, so that Ctrl-C is heard some hundredths of a second later: numbers of the training
# rows, and multiplications.
_NUMBERS, _PRODUCTS = 2**22, 2**31


class EngineStepper:
    """Steps of a network that the engine ``runs``; see `handgrad.engine.Stepper`.

    Parameters
    ----------
    network, rule, configs, X, batch_size, augment, max_norm : as `handgrad.engine.stepper` takes
        them
    wanted : Targets of the rows, and their weights
    """

    def __init__(
        self, network: Network, rule: optim.Rule, configs: dict[str, optim.Config], X: Array,
        wanted: Targets, batch_size: int, augment: Callable[[Array], Array] | None = None,
        max_norm: float | None = None,
    ) -> None:  # fmt: skip
        self._network, self._rule, self._configs, self._augment = network, rule, configs, augment
        self._X, self._targets = X, wanted
        self._batch_size = min(batch_size, len(X))
        self._program = Program(network)
        self._background = 0.0
        if augment is None:
            with np.errstate(over="ignore", invalid="ignore"):
                some = self._taken(X[:: len(X) // 8 or 1])
                self._background = background(self._program.steps, some)
        # Rows that lie as the engine reads them are taken one by one, others copied for each call.
        native = network.dtype
        self._direct = X.dtype == native and X.flags.c_contiguous and X.flags.aligned
        self._in_place: dict[str, InPlace] = {}
        self._max_norm = max_norm
        self._steps_itself = rule in optim.RULES.values() and max_norm is None

    def _taken(self, X: Array) -> Array:
        """Rows as the engine reads them."""
        return np.require(self._network.examples(X), self._network.dtype, ("C", "A"))

    @property
    def batches_at_once(self) -> int:
        """How many batches to hand to ``run``."""
        if self._augment is not None or not self._steps_itself:
            return 1
        numbers = math.prod(self._network.input_shape)
        products = sum(step.products for step in self._program.steps)
        examples = min(_NUMBERS // numbers, _PRODUCTS // products)
        return max(1, examples // self._batch_size)

    def own(self) -> None:
        """Copy what the steps will change in place: nobody else sees it change."""
        network = self._network
        for name, array in network.state.items():
            network.state[name] = network.cast(array).copy()
        if not self._steps_itself:
            return
        sizes = [array.size for array in network.params.values()]
        # Parameters side by side, and so the rule's state: the engine steps them in one sweep.
        ends = np.cumsum([-(-size // 16) * 16 for size in sizes])
        flat = np.zeros((3, ends[-1] if sizes else 0), network.dtype)
        states: dict[str, tuple[Array, Array]] = {}
        for (name, array), end in zip(network.params.items(), ends, strict=True):
            rule, config = owned(self._rule, network.cast(array), self._configs[name])
            begin = end - -(-array.size // 16) * 16
            w, first, second = (
                part[begin : begin + array.size].reshape(array.shape) for part in flat
            )
            w[...] = array
            for place, key in zip((first, second), rule.state, strict=False):
                place[...] = config[key]
                config[key] = place
            network.params[name], self._configs[name] = w, config
            self._in_place[name], states[name] = rule, (first, second)
        counts = {name: int(config.get("t", 0)) for name, config in self._configs.items()}
        self._program.step_by(self._in_place, states, counts)

    def run(self, rows: Array, rates: list[float | None]) -> list[float]:
        """Train on the batches of these rows; give their losses, up to one that is not finite."""
        X, order = self._X, np.ascontiguousarray(rows, np.int64)
        if order.size and order.min() < 0:
            raise IndexError(f"rows must be from 0 to {len(X) - 1}; got {order.min()}")
        wanted = self._targets.at(order)
        if self._augment is not None:
            X = self._taken(self._augment(X[order]))
            if len(X) != len(order):
                raise ValueError(f"augment was given {len(order)} rows and gave {len(X)}")
        elif not self._direct:
            X = self._taken(X[order])
        if not self._steps_itself:
            return self._steps_of_a_rule(X if X is not self._X else X[order], wanted, rates)
        known = [0.0 if rate is None else rate for rate in rates]
        losses = self._program.train(
            X, order if X is self._X else None, wanted, self._batch_size, known, self._background
        )
        for name, config in self._configs.items():
            config["learning_rate"] = known[-1]
            if "t" in config:
                config["t"] = self._program.steps_taken(name)
        return losses

    def _steps_of_a_rule(self, X: Array, wanted: Targets, rates: list[float | None]) -> list[float]:
        """A step by somebody's own rule, or of clipped gradients: the engine's."""
        network = self._network
        loss, grads = self._program.gradients(X, wanted)
        if rates[0] is not None:
            for config in self._configs.values():
                config["learning_rate"] = rates[0]
        if math.isfinite(loss):
            if self._max_norm is not None:
                grads = optim.clipped(grads, self._max_norm)
            for name, w in network.params.items():
                stepped = self._rule(w, grads[name], self._configs[name])
                network.params[name], self._configs[name] = stepped
        return [loss]

    def scores(self, X: ArrayLike) -> Array:
        """Give test-mode scores of the network as it is now."""
        return self._program.scores(X, self._background)

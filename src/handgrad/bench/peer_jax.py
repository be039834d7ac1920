"""A peer: the same network in JAX, compiled by XLA, a step at a time or an epoch in one scan."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.arrays import Array
from handgrad.bench.workloads import RATE, Workload
from handgrad.descriptions import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, ReLU

Tree = Any  # of arrays, as JAX maps over
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class JaxSide:
    """JAX: ``jax-step`` compiles a training step, ``jax-scan`` an epoch of them (lax.scan)."""

    def __init__(
        self, work: Workload, X: Array, y: Array, initial: Mapping[str, Array], name: str
    ) -> None:
        self.work, self.scan = work, name == "jax-scan"
        self.X, self.y = jnp.asarray(X), jnp.asarray(y)
        self.batch = self.X[: work.batch_size]
        arrays = iter(initial.values())
        params = [
            [jnp.asarray(next(arrays)) for _ in range(_arrays_of(layer))] for layer in work.layers
        ]
        # Each has buffers of its own: they are given away to the next step.
        first, second = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        self.carried = (params, first, second, 0, self._statistics(), jax.random.key(0))
        self.step = jax.jit(self._step, donate_argnums=0)
        self.whole = jax.jit(self._whole, donate_argnums=0)
        self.scores = jax.jit(lambda p, s, X: self._forward(p, s, X, None)[0])
        self.rng = np.random.default_rng(1)

    def _statistics(self) -> Tree:
        shape, found = self.work.input_shape, []
        for layer in self.work.layers:
            width = shape[0] if isinstance(layer, BatchNorm) else 0
            found.append((jnp.zeros(width), jnp.zeros(width)))
            shape = layer.output_shape(shape)
        return found

    def _forward(self, params: Tree, statistics: Tree, x: Any, key: Any) -> tuple[Any, Tree]:
        """Scores, and the statistics that training (a key is given) has moved."""
        moved = []
        for layer, own, (mean, var) in zip(self.work.layers, params, statistics, strict=True):
            match layer:
                case Dense():
                    x = x.reshape(len(x), -1) @ own[0] + own[1]
                case Conv():
                    around = ((layer.padding, layer.padding),) * 2
                    strides = (layer.stride, layer.stride)
                    x = jax.lax.conv_general_dilated(x, own[0], strides, around)
                    x = x + own[1][:, None, None] if layer.bias else x
                case BatchNorm():
                    axes = (0, 2, 3) if x.ndim == 4 else (0,)
                    wide = (1, -1, 1, 1) if x.ndim == 4 else (1, -1)
                    now = (x.mean(axes), x.var(axes)) if key is not None else (mean, var)
                    x = (x - now[0].reshape(wide)) / jnp.sqrt(now[1].reshape(wide) + layer.eps)
                    x = own[0].reshape(wide) * x + own[1].reshape(wide)
                    if key is not None:
                        mean, var = (
                            layer.momentum * before + (1 - layer.momentum) * after
                            for before, after in zip((mean, var), now, strict=True)
                        )
                case ReLU():
                    x = jax.nn.relu(x)
                case MaxPool():
                    window, stride = (1, 1, layer.size, layer.size), layer.stride or layer.size
                    step = (1, 1, stride, stride)
                    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, step, "VALID")
                case Dropout():
                    if key is None:
                        x = x * layer.keep
                    else:
                        key, own_key = jax.random.split(key)
                        x = x * jax.random.bernoulli(own_key, layer.keep, x.shape)
                case Flatten():
                    x = x.reshape(len(x), -1)
            moved.append((mean, var))
        return x, moved

    def _loss(self, params: Tree, statistics: Tree, X: Any, y: Any, key: Any) -> tuple[Any, Tree]:
        out, moved = self._forward(params, statistics, X, key)
        if self.work.loss == "softmax":
            logs = jax.nn.log_softmax(out)
            return -jnp.take_along_axis(logs, y[:, None], axis=1).mean(), moved
        sign = jnp.where(y == 1, 1.0, -1.0)
        if self.work.loss == "svm":
            return jax.nn.relu(1 - sign * out[:, 0]).mean(), moved
        return jax.nn.softplus(-sign * out[:, 0]).mean(), moved

    def _step(self, carried: Tree, X: Any, y: Any) -> tuple[Tree, Any]:
        """One step of Adam."""
        params, first, second, t, statistics, key = carried
        key, own_key = jax.random.split(key)
        by_params = jax.value_and_grad(self._loss, has_aux=True)
        (loss, statistics), grads = by_params(params, statistics, X, y, own_key)
        t = t + 1
        first = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, first, grads)
        second = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * g * g, second, grads)

        def stepped(w: Any, m: Any, v: Any) -> Any:
            m_hat, v_hat = m / _left(_BETA1, t), v / _left(_BETA2, t)
            return w - RATE * m_hat / (jnp.sqrt(v_hat) + _EPSILON)

        params = jax.tree.map(stepped, params, first, second)
        return (params, first, second, t, statistics, key), loss

    def _whole(self, carried: Tree, X: Any, y: Any, rows: Any) -> tuple[Tree, Any]:
        """An epoch: rows (batches, batch size) of X and y."""

        def step(held: Tree, some: Any) -> tuple[Tree, Any]:
            return self._step(held, X[some], y[some])

        found: tuple[Tree, Any] = jax.lax.scan(step, carried, rows)
        return found

    def epoch(self) -> list[float]:
        """Batches of a shuffled epoch."""
        size = self.work.batch_size
        rows = self.rng.permutation(len(self.X)).reshape(-1, size)
        if self.scan:
            self.carried, losses = self.whole(self.carried, self.X, self.y, jnp.asarray(rows))
            return [float(loss) for loss in np.asarray(losses)]
        found = []
        for chosen in jnp.asarray(rows):
            self.carried, loss = self.step(self.carried, self.X[chosen], self.y[chosen])
            found.append(loss)
        return [float(loss) for loss in found]

    def predict(self) -> None:
        """Scores of one batch."""
        params, statistics = self.carried[0], self.carried[4]
        self.scores(params, statistics, self.batch).block_until_ready()


def _left(beta: float, t: Any) -> Any:
    """1 - beta**t: in float32 the difference itself has three digits at first."""
    return -jnp.expm1(t * math.log(beta))


def _arrays_of(layer: object) -> int:
    """How many parameters a layer has."""
    if isinstance(layer, Conv):
        return 1 + layer.bias
    return 2 if isinstance(layer, Dense | BatchNorm) else 0

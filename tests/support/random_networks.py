"""Random networks that have a bit of everything, with rows and labels for them."""

import math

from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)

# Losses, their settings and their numbers of outputs.
LOSSES = {
    "softmax": ({}, 3),
    "smoothed": ({"label_smoothing": 0.1}, 4),
    "logistic": ({}, 1),
    "svm": ({}, 1),
    "multilabel": ({}, 9),
    "mse": ({}, 2),
    "mae": ({}, 1),
    "huber": ({"delta": 0.7}, 3),
}
SMOOTH = (Tanh(), LeakyReLU(0.1), GELU(), GELU(approximate=True), SiLU())


def a_network(rng, loss):
    """Draw a network that has a bit of everything, and rows and labels for it."""
    shape, net = (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(6, 12, 2))), []
    image = bool(rng.random() < 0.6)
    if image:
        side = min(shape[1:])
        for _ in range(int(rng.integers(1, 3))):
            size, padding = int(rng.integers(1, 4)), int(rng.integers(0, 2))
            bias, stride = bool(rng.random() < 0.5), int(rng.integers(1, 3))
            if side + 2 * padding < size:
                break
            side = 1 + (side + 2 * padding - size) // stride
            more = [layer for layer in (BatchNorm(), ReLU(), Sigmoid()) if rng.random() < 0.5]
            if side >= 2 and rng.random() < 0.6:
                more.append(MaxPool(2, int(rng.integers(1, 3))))
                side = 1 + (side - 2) // more[-1]._param["stride"]
            rng.shuffle(more)
            # A bias in front of a batch norm has a gradient of 0 but for rounding, whose sign then
            # decides a ReLU where a patch is all zeros.
            bias &= not any(isinstance(layer, BatchNorm) for layer in more)
            net += [Conv(int(rng.integers(1, 5)), size, stride, padding, bias), *more]
        net.append(Flatten())
    else:
        shape = (int(rng.integers(1, 9)),)
    for _ in range(int(rng.integers(0, 3))):
        net.append(Dense(int(rng.integers(1, 9))))
        net += [x for x in (ReLU(), Dropout(0.7), Sigmoid()) if rng.random() < 0.4]
        if not isinstance(net[-1], Dense) and rng.random() < 0.5:
            net.append(BatchNorm())
    outputs = LOSSES[loss][1]
    rows = int(rng.choice([5, 9, 12, 14, 18]))  # no batch of one row in batches of 7
    y = rng.integers(0, max(2, outputs), rows)
    if loss == "multilabel":
        y = rng.integers(0, 2, (rows, outputs))
    elif loss in ("mse", "mae", "huber"):
        y = rng.standard_normal((rows, outputs))
    return (
        [*smoothed(net, shape, rng), Dense(outputs)],
        shape,
        rng.standard_normal((rows, *shape)),
        y,
    )


def smoothed(net, shape, rng):
    """Put other activations, pools and norms in the places of some.

    No layer norm of one or two numbers, or whose average is all that is looked at: what it gives is
    constant then, and its gradient rounding alone.
    """
    others = []
    for layer in net:
        if isinstance(layer, ReLU | Sigmoid) and rng.random() < 0.5:
            layer = SMOOTH[rng.integers(len(SMOOTH))]
        elif isinstance(layer, MaxPool) and rng.random() < 0.5 and layer.output_shape(shape)[1] > 1:
            layer = AvgPool(layer.size, layer.stride)
        elif isinstance(layer, BatchNorm) and math.prod(shape) > 2 and rng.random() < 0.5:
            layer = LayerNorm()
        elif isinstance(layer, Flatten) and LayerNorm() not in others and rng.random() < 0.3:
            layer = GlobalAvgPool()
        others.append(layer)
        shape = layer.output_shape(shape)
    return others

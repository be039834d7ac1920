"""The one pass of a finished model over the test rows, and what its weights look like."""

import numpy as np

from handgrad import engine, pictures
from handgrad.analysis import CLASS_NAMES, Analysis, analyse
from handgrad.arrays import Array
from handgrad.datasets import Dataset
from handgrad.network import Conv, MaxPool, Network
from handgrad.pictures import Sheet
from handgrad.probabilities import logistic_pair, softmax

_BATCH = 500
_SHOWN_UNITS = 40
_SHOWN_ROW = 0  # the test row whose feature maps are kept


def test_pass(
    network: Network, data: Dataset, standardisation: tuple[Array, Array], seed: int
) -> Analysis:
    """Score the test rows, once, and summarise it; the data is standardised, pictures are not."""
    X: Array = np.asarray(data.X_test)
    scores = np.concatenate(
        [engine.scores(network, X[i : i + _BATCH]) for i in range(0, len(X), _BATCH)]
    )
    mean, std = standardisation
    images = np.rint((X * std + mean) * 255).astype(np.uint8) if X.ndim == 4 else None
    binary = scores.ndim == 1
    probabilities = None
    if network.loss_name == "softmax":
        probabilities = softmax(scores)
    elif network.loss_name == "logistic":
        probabilities = logistic_pair(scores)
    return analyse(
        data.y_test,
        seed=seed,
        classes=CLASS_NAMES[data.name],
        probabilities=probabilities,
        scores=scores if binary else None,
        images=images,
        sheets=[*_weights(network), *_feature_maps(network, X[_SHOWN_ROW])],
    )


test_pass.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test


def _weights(network: Network) -> list[Sheet]:
    """Draw the first layer's weights: filters, templates, or a table of units by features."""
    W = network.params["W1"]
    if W.ndim == 4:
        k = W.shape[2]
        caption = f"The {len(W)} filters of {k} x {k} pixels; blue below zero, orange above."
        return [pictures.signed(W[:, 0], "First-layer filters", caption, 8)]
    hidden = network.params.get("W2")
    order = np.arange(W.shape[1])
    which = "each output"
    if hidden is not None:
        order = np.argsort(-np.linalg.norm(hidden, axis=1), kind="stable")[:_SHOWN_UNITS]
        which = "each of the hidden units with the largest outgoing weights"
    rows = W.T[order]
    side = int(np.sqrt(W.shape[0]))
    if side * side == W.shape[0] and side > 5:  # a square image
        caption = f"The weights from the pixels to {which}; blue below zero, orange above."
        tiles = rows.reshape(-1, side, side)
        return [pictures.signed(tiles, "First-layer weights", caption, 5 if len(rows) <= 10 else 8)]
    caption = (
        f"A line for {which}, a column for each of the {W.shape[0]} features; "
        "blue below zero, orange above."
    )
    return [pictures.signed(rows[None], "First-layer weights", caption, 1)]


def _feature_maps(network: Network, x: Array) -> list[Sheet]:
    """Draw the image and what comes out of each convolution and each pool for it."""
    if not any(isinstance(layer, Conv) for layer in network.layers):
        return []
    image = pictures.positive(x, "The digit", "The first test image, as the network gets it.", 1)
    sheets = [image]
    block = 0
    for layer, out in zip(network.layers, network.activations(x[None]), strict=True):
        if isinstance(layer, Conv):
            block += 1
            title, caption = f"After convolution {block}", "One map a filter; the scale is shared."
            sheets.append(pictures.signed(out[0], title, caption, 8))
        elif isinstance(layer, MaxPool):
            title = f"After pool {block}"
            caption = "After ReLU and max pooling: black is zero, white the largest."
            sheets.append(pictures.positive(out[0], title, caption, 8))
    return sheets

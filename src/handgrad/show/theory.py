"""The derivations' formulas that a network needs, for the page."""

import functools
from typing import Any

from handgrad.network import Network
from handgrad.report import missing_libraries
from handgrad.theory.pages import ORDER, formula_numbers, source

NEEDED = ("latex2mathml", "markdown_it", "mdit_py_plugins")
"""Libraries of the extra ``report`` that write the formulas."""

_OF_LAYER = {
    "Dense": ("fully_connected",),
    "Conv": ("convolution", "channel_bias"),
    "BatchNorm": ("batch_normalisation",),
    "LayerNorm": ("layer_normalisation",),
    "ReLU": ("relu",),
    "Sigmoid": ("sigmoid_networks",),
    "MaxPool": ("max_pooling",),
    "AvgPool": ("average_pooling",),
    "GlobalAvgPool": ("average_pooling",),
    "Dropout": ("dropout", "dropout_at_inference"),
    **dict.fromkeys(("Tanh", "LeakyReLU", "GELU", "SiLU"), ("activations",)),
}
_OF_LOSS = {
    **dict.fromkeys(("softmax", "logistic", "svm"), ("losses", "weighted_losses")),
    "multilabel": ("losses", "weighted_losses"),
    **dict.fromkeys(("mse", "mae", "huber"), ("regression_losses",)),
}
# A ReLU may be exchanged for a sigmoid in the page, and a net may diverge there; the page's small
# network has every layer of questions 1.1 to 1.5.
_ALWAYS = (
    *("composition", "weight_penalty", "sigmoid_networks", "dropout_at_inference"),
    *("diverging_loss", "fully_connected", "relu", "dropout", "batch_normalisation"),
    *("convolution", "max_pooling", "losses"),
)


def of_network(network: Network) -> list[dict[str, Any]]:
    """Give the pages for a network's layers and loss, with their formulas as MathML.

    Returns
    -------
    list of dict
        As `handgrad.show.content` says, in reading order; empty without the extra ``report``.
    """
    if missing_libraries(NEEDED):
        return []
    wanted = {*_ALWAYS, *_OF_LOSS[network.loss_name]}
    for layer in network.layers:
        wanted.update(_OF_LAYER.get(type(layer).__name__, ()))
    return [_page(name) for name in ORDER if name in wanted]


@functools.cache
def _page(name: str) -> dict[str, Any]:
    from handgrad.theory.render import formulas, mathml  # the libraries are there

    heading, _, text = source(name).partition("\n")
    number, _, title = heading.removeprefix("# ").partition(" ")
    numbers = formula_numbers()
    shown = {
        label: {"number": numbers[label][1], "mathml": mathml(tex, display=True)}
        for label, tex in formulas(text).items()
        if label in numbers
    }
    slug = name.replace("_", "-")
    return {"name": name, "slug": slug, "number": number, "title": title, "formulas": shown}

"""Generated images in CIFAR-10's format, easy to tell apart, for the tests of handgrad.vgg."""

from types import SimpleNamespace

import numpy as np

from handgrad.vgg import run_recipe
from handgrad.vgg.checkpoint import load_checkpoint
from handgrad.vgg.recipes import Recipe


def generated(train=200, val=40, test=40, seed=0):
    """Noise around a colour and a bright bar whose place says the class."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(1).integers(40, 216, size=(10, 3))

    def rows(count):
        labels = rng.permutation(np.arange(count) % 10)
        images = colours[labels][:, :, None, None] + rng.normal(0, 20, (count, 3, 32, 32))
        for image, label in zip(images, labels, strict=True):
            image[:, 3 * label : 3 * label + 4] += 60
        return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)

    (x, y), (xv, yv), (xt, yt) = rows(train), rows(val), rows(test)
    return SimpleNamespace(X_train=x, y_train=y, X_val=xv, y_val=yv, X_test=xt, y_test=yt)


def tiny(**fields):
    """Give a recipe that trains in a moment."""
    return Recipe(
        **{
            "name": "tiny",
            "summary": "for tests",
            "epochs": 2,
            "batch_size": 20,
            "widths": (4, 4, 4, 4, 8, 8, 8, 8),
            "head": (8,),
            **fields,
        }
    )


def run(data, out, recipe=None, **options):
    options = {"seed": 0, "threads": 1, **options}
    return run_recipe(recipe or tiny(), data, out=out, **options)


def weights(folder):
    return load_checkpoint(folder / "checkpoint.pt")["averaged"]

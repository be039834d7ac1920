"""Small pictures in files of many kinds, for the tests of handgrad.images."""

from pathlib import Path

import numpy as np


def pixels(seed, height=6, width=5, channels=3):
    """Random uint8 (H, W, C), or (H, W) for one channel."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path, array, **options):
    """Write an array as the picture that the path's suffix says."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def class_folder(root, classes=("cat", "dog"), count=3, **shape):
    """Write PNGs, a folder a class; give the root."""
    for place, name in enumerate(classes):
        for number in range(count):
            save(Path(root) / name / f"{number}.png", pixels(10 * place + number, **shape))
    return Path(root)

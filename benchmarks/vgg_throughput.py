"""Images per second: handgrad's VGG training loop against a plain PyTorch loop.

Both train the same compact VGG11 (batch norm, ReLU, convolution - norm - activation - pool) with
the same SGD-Nesterov and the same augmentation (crop from 4 padded pixels, flip, normalisation)
on the same machine, in one process, in turns:

- plain: Dataset and DataLoader, one image at a time through torchvision-style transforms written
  as in torchvision's documentation, contiguous memory format; without and with 2 workers, and the
  faster of the two counts;
- handgrad: the whole split in memory, augmented in batches, channels_last;
- handgrad, pool first: the order of layers that the recipe `improved` uses.

Run: python benchmarks/vgg_throughput.py [--repeats 5] [--images 5000] [--json FILE]
Images are random bytes: their content does not change the work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from handgrad.vgg.images import Normalizer, Split, training_batches
from handgrad.vgg.net import VGG
from handgrad.vgg.recipes import Recipe

BATCH = 250
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
RECIPE = Recipe("benchmark", "for timing", epochs=1, batch_size=BATCH, pool_first=False)


class RandomCrop:
    """Pad one image and cut a window out of it, as torchvision.transforms.RandomCrop does."""

    def __init__(self, side: int, padding: int) -> None:
        self.side, self.padding = side, padding

    def __call__(self, image: Tensor) -> Tensor:
        """Crop a (3, H, W) tensor."""
        padded = nn.functional.pad(image, (self.padding,) * 4)
        top = int(torch.randint(0, padded.shape[1] - self.side + 1, ()))
        left = int(torch.randint(0, padded.shape[2] - self.side + 1, ()))
        return padded[:, top : top + self.side, left : left + self.side]


class RandomHorizontalFlip:
    """Mirror one image with probability 1/2."""

    def __call__(self, image: Tensor) -> Tensor:
        """Flip a (3, H, W) tensor or not."""
        return image.flip(2) if torch.rand(()) < 0.5 else image


class ToTensor:
    """Bytes to floats in [0, 1]; the (H, W, 3) array becomes (3, H, W)."""

    def __call__(self, image: np.ndarray) -> Tensor:
        """Convert one image."""
        return torch.from_numpy(image).permute(2, 0, 1).contiguous().float().div(255)


class Normalize:
    """Subtract the channels' means and divide by their deviations."""

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        self.mean = torch.tensor(mean).view(3, 1, 1)
        self.deviation = torch.tensor(deviation).view(3, 1, 1)

    def __call__(self, image: Tensor) -> Tensor:
        """Normalise a (3, H, W) tensor."""
        return (image - self.mean) / self.deviation


class Images(Dataset):
    """Images as torchvision's CIFAR10 keeps them, (N, 32, 32, 3), transformed one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        self.labels = labels
        self.transforms = [
            ToTensor(),
            RandomCrop(32, padding=4),
            RandomHorizontalFlip(),
            Normalize(MEAN, DEVIATION),
        ]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        """Give one transformed image and its label."""
        image = self.images[row]
        for transform in self.transforms:
            image = transform(image)
        return image, int(self.labels[row])


def steps(batches: Iterator[tuple[Tensor, Tensor]], net: nn.Module, optimizer: torch.optim.SGD):
    """Train on every batch: the same few lines for all contestants."""
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for images, labels in batches:
        optimizer.zero_grad()
        criterion(net(images), labels).backward()
        optimizer.step()


def contestants(images: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[], None]]:
    """Prepare every loop; calling one trains an epoch."""
    data = Images(images, labels)
    split = Split(images, labels, device=torch.device("cpu"), padding=RECIPE.crop_padding)
    normalize = Normalizer(images, RECIPE, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)

    def build(channels_last: bool, pool_first: bool) -> tuple[nn.Module, torch.optim.SGD]:
        torch.manual_seed(0)
        net = VGG(batch_norm=True, pool_first=pool_first)
        if channels_last:
            net = net.to(memory_format=torch.channels_last)
        return net, torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def plain(workers: int) -> Callable[[], None]:
        net, optimizer = build(channels_last=False, pool_first=False)
        loader = DataLoader(
            data,
            batch_size=BATCH,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,  # worker start-up is not charged to the plain loop
        )
        return lambda: steps(iter(loader), net, optimizer)

    def ours(pool_first: bool) -> Callable[[], None]:
        net, optimizer = build(channels_last=True, pool_first=pool_first)
        return lambda: steps(
            training_batches(split, normalize, RECIPE, 0, generator), net, optimizer
        )

    return {
        "plain, no workers": plain(0),
        "plain, 2 workers": plain(2),
        "handgrad": ours(pool_first=False),
        "handgrad, pool first": ours(pool_first=True),
    }


def measure(repeats: int, images: int) -> dict[str, object]:
    """Run the contestants in turns and collect images per second."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    loops = contestants(pixels, rng.integers(0, 10, images))
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for repeat in range(repeats + 1):
        for name, loop in loops.items():
            start = time.perf_counter()
            loop()
            if repeat:  # the first round warms up
                rates[name].append(images / (time.perf_counter() - start))
    rows = {
        name: {
            "median": statistics.median(values),
            "lowest": min(values),
            "highest": max(values),
            "all": values,
        }
        for name, values in rates.items()
    }
    best_plain = max(row["median"] for name, row in rows.items() if name.startswith("plain"))
    for row in rows.values():
        row["times_plain"] = row["median"] / best_plain
    return {
        "unit": "images per second of training",
        "images_per_epoch": images,
        "repeats": repeats,
        "batch_size": BATCH,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processor": processor(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rows": rows,
    }


def processor() -> str:
    """Name the CPU."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = measure(options.repeats, options.images)
    print(
        f"{report['processor']}, {report['cores']} cores, {report['threads']} threads, "
        f"PyTorch {report['torch']}; {report['repeats']} repeats in turns"
    )
    print(f"{'images per second':24}{'median':>9}{'lowest':>9}{'highest':>9}{'times plain':>13}")
    for name, row in report["rows"].items():
        print(
            f"{name:24}{row['median']:9.0f}{row['lowest']:9.0f}{row['highest']:9.0f}"
            f"{row['times_plain']:13.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

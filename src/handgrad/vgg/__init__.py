"""VGG11 on CIFAR-10 in PyTorch: the network, the loops, the recipes; the only room with torch."""

from handgrad.vgg.command import main
from handgrad.vgg.loops import test, train
from handgrad.vgg.net import COMPACT_WIDTHS, PAPER_WIDTHS, VGG
from handgrad.vgg.recipes import RECIPES, Recipe
from handgrad.vgg.training import RunResult, run_recipe

__all__ = [
    "COMPACT_WIDTHS",
    "PAPER_WIDTHS",
    "RECIPES",
    "VGG",
    "Recipe",
    "RunResult",
    "main",
    "run_recipe",
    "test",
    "train",
]

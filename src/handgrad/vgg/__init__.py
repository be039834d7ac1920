"""VGG11 on CIFAR-10 in PyTorch: the network, the loops, the recipes."""

from handgrad.vgg.ablation import CHANGES, Change
from handgrad.vgg.command import main
from handgrad.vgg.loops import test, train
from handgrad.vgg.net import COMPACT_WIDTHS, PAPER_WIDTHS, VGG
from handgrad.vgg.recipes import RECIPES, Recipe
from handgrad.vgg.training import RunResult, read_result, run_recipe

__all__ = [
    "CHANGES",
    "COMPACT_WIDTHS",
    "PAPER_WIDTHS",
    "RECIPES",
    "VGG",
    "Change",
    "Recipe",
    "RunResult",
    "main",
    "read_result",
    "run_recipe",
    "test",
    "train",
]

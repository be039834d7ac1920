"""The assignment's experiments as data: one entry per item; like items share a file."""

from handgrad.experiments import binary, cifar10_vgg, mnist_conv, mnist_dense
from handgrad.experiments.base import (
    PROFILES,
    Ablation,
    Budget,
    Experiment,
    RecipeBudget,
    RecipeExperiment,
)
from handgrad.experiments.studies import STUDIES, StudyExperiment

EXPERIMENTS: dict[str, Experiment | RecipeExperiment] = {
    experiment.id: experiment
    for module in (binary, mnist_dense, mnist_conv, cifar10_vgg)
    for experiment in module.EXPERIMENTS
}
QUESTIONS = tuple(
    sorted({experiment.question for experiment in (*EXPERIMENTS.values(), *STUDIES.values())})
)

__all__ = [
    "EXPERIMENTS",
    "PROFILES",
    "QUESTIONS",
    "STUDIES",
    "Ablation",
    "Budget",
    "Experiment",
    "RecipeBudget",
    "RecipeExperiment",
    "StudyExperiment",
]

"""What an experiment is: data, a model, a search space and a budget a profile; no training here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.network import Network
from handgrad.optim import Schedule
from handgrad.spaces import Params, Space, combinations

PROFILES = ("smoke", "standard", "full")


@dataclass(frozen=True)
class Budget:
    """How much of an experiment one profile does.

    Attributes
    ----------
    space : mapping
        Hyperparameter to its candidate values, simple ones first (a tie goes to the first).
    search_epochs, final_epochs : int
        Epochs of a candidate, and of the chosen one's retraining.
    seeds : int
        How many times the chosen one is retrained.
    repeats : int, default 1
        Seeds a candidate is tried with; its validation accuracy is their mean.
    finalists : int, default 0
        How many of the best candidates are tried with further seeds before one is chosen.
    finalist_seeds : int, default 3
        Seeds that each of them is tried with in the end.
    train_rows : int, optional
        Use only the first so many training rows (smoke only).
    control : mapping, default none
        Values that make a candidate a control: tried and shown beside the others, never chosen.
    """

    space: Space
    search_epochs: int
    final_epochs: int
    seeds: int
    repeats: int = 1
    train_rows: int | None = None
    finalists: int = 0
    finalist_seeds: int = 3
    control: Mapping[str, Any] = field(default_factory=dict)

    @property
    def search(self) -> dict[str, Any]:
        """What a ``Search`` is made with, but for its file and name."""
        return {"space": self.space, "finalists": self.finalists, "seeds": self.finalist_seeds}

    @property
    def candidates(self) -> list[Params]:
        """Every combination of the space."""
        return combinations(self.space)

    @property
    def controls(self) -> list[Params]:
        """The candidates that are not to be chosen."""
        return [
            params
            for params in self.candidates
            if self.control and params == {**params, **self.control}
        ]


@dataclass(frozen=True)
class AssignmentItem:
    """One item of the assignment that is measured.

    Attributes
    ----------
    id : str
        Question and item, e.g. '5.3'.
    title : str
    data : str
        Name of its data set.
    """

    id: str
    title: str
    data: str

    @property
    def question(self) -> int:
        """The number before the dot."""
        return int(self.id.split(".")[0])


@dataclass(frozen=True)
class Experiment(AssignmentItem):
    """An item that a network of ours answers: a search, then retraining.

    Attributes
    ----------
    build : function
        ``build(params, input_shape, rng)`` returns the network of a candidate.
    solver : function
        ``solver(params)`` returns the Solver's keywords but for epochs, rng and files.
    budgets : mapping
        Profile to Budget.
    """

    build: Callable[[Params, Sequence[int], np.random.Generator], Network]
    solver: Callable[[Params], Mapping[str, Any]]
    budgets: Mapping[str, Budget]


@dataclass(frozen=True)
class Ablation:
    """How much of question 6's table of single changes one profile does.

    Attributes
    ----------
    epochs : int
        Of every row of the table.
    changes : sequence of str, optional
        Names from ``handgrad.vgg.CHANGES``, in its order; all of them if None.
    train_rows : int, optional
        Use only the first so many training rows.
    """

    epochs: int
    changes: Sequence[str] | None = None
    train_rows: int | None = None


@dataclass(frozen=True)
class RecipeBudget:
    """How much of a question-6 experiment one profile does.

    Attributes
    ----------
    recipe : str
        Its name in ``handgrad.vgg.RECIPES``.
    seeds : int
        How many times it is trained.
    epochs : int, optional
        In place of the recipe's own.
    ablation : Ablation, optional
        Also train the table of single changes, judged on validation rows.
    train_rows : int, optional
        Use only the first so many training rows (smoke only).
    """

    recipe: str
    seeds: int
    epochs: int | None = None
    ablation: Ablation | None = None
    train_rows: int | None = None


@dataclass(frozen=True)
class RecipeExperiment(AssignmentItem):
    """An item of question 6: a named recipe for VGG11 in PyTorch; only names, so no torch here.

    ``reference`` is the id of the item that its recipe is told as a difference from.
    """

    budgets: Mapping[str, RecipeBudget]
    reference: str | None = None


def nesterov(rate: float, schedule: Schedule, batch_size: int) -> Mapping[str, Any]:
    """Give the Solver's settings of questions 2 to 5: they differ in these three alone."""
    return {
        "update_rule": "nesterov",
        "optim_config": {"learning_rate": rate, "momentum": 0.9},
        "schedule": schedule,
        "batch_size": batch_size,
    }

"""Question 6 as a stage: train recipes of handgrad.vgg in the workers; torch only where it runs."""

import dataclasses
import importlib.util
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handgrad.datasets import Dataset
from handgrad.experiments import EXPERIMENTS, RecipeBudget, RecipeExperiment
from handgrad.reproduce import conclusions, setup as setups
from handgrad.reproduce.folder import ANALYSIS, Folder
from handgrad.reproduce.stages import Stage
from handgrad.reproduce.tasks import DataRequest, Task, load
from handgrad.reproduce.training import Report
from handgrad.results import Epoch, ExperimentRecord, Setup, Spread, Trial

if TYPE_CHECKING:
    from handgrad.vgg import Recipe, RunResult

MISSING_TORCH = (
    "PyTorch is not installed; install it with `pip install 'handgrad[torch]'` and run the same "
    "command again"
)
# Judging the validation rows and augmenting cost about so much on top of the steps.
_OVERHEAD = 1.2
_THREADS = 1  # as every worker


def torch_is_installed() -> bool:
    """Whether question 6 can run."""
    return importlib.util.find_spec("torch") is not None


@dataclass(frozen=True)
class RecipeTask(Task):
    """Train the experiment's recipe with this task's seed, or with one change of the ablation."""

    change: str | None = None

    @property
    def out(self) -> Path:
        """The folder of this run."""
        runs = self.folder.runs(self.experiment_id)
        return runs / ("ablation" if self.change else f"seed-{self.seed}") / (self.change or "")

    def __call__(self, report: Report) -> "RunResult":
        """Do it."""
        from handgrad.vgg import run_recipe
        from handgrad.vgg.memory import keep_freed_memory

        keep_freed_memory()
        recipe, rows = recipe_of(self)
        data = _rows(load(self.data), rows)

        def progress(line: Epoch) -> None:
            report(min(1.0, line["epoch"] / _expected_epochs(recipe)))

        return run_recipe(
            recipe,
            data,
            seed=self.seed,
            out=self.out,
            evaluate_test=self.change is None,
            progress=progress,
            threads=_THREADS,
        )


def _rows(data: Dataset, train_rows: int | None) -> Dataset:
    """Keep the first so many training rows; of the others as many at most."""
    if train_rows is None:
        return data
    return dataclasses.replace(
        data,
        X_train=data.X_train[:train_rows],
        y_train=data.y_train[:train_rows],
        X_val=data.X_val[:train_rows],
        y_val=data.y_val[:train_rows],
        X_test=data.X_test[:train_rows],
        y_test=data.y_test[:train_rows],
    )


def recipe_of_budget(budget: RecipeBudget) -> "Recipe":
    """Give the recipe that a profile trains."""
    from handgrad.vgg import RECIPES

    recipe = RECIPES[budget.recipe]
    return recipe if budget.epochs is None else recipe.lasting(budget.epochs)


def recipe_of(task: RecipeTask) -> "tuple[Recipe, int | None]":
    """Give a task's recipe and how many training rows it may use (None: all)."""
    from handgrad.vgg import CHANGES

    budget = EXPERIMENTS[task.experiment_id].budgets[task.profile]
    assert isinstance(budget, RecipeBudget)
    if task.change is None:
        return recipe_of_budget(budget), budget.train_rows
    assert budget.ablation is not None
    change = next(change for change in CHANGES if change.name == task.change)
    return change.applied(budget.ablation.epochs), budget.ablation.train_rows


def _expected_epochs(recipe: "Recipe") -> int:
    """Epochs to plan for: with patience nobody knows when a training ends; say after a third."""
    return math.ceil(recipe.epochs / 3) if recipe.patience else recipe.epochs


def _epoch_seconds(recipe: "Recipe", rows: int) -> float:
    """Time three training steps on random pixels."""
    import torch

    from handgrad.vgg.optimizers import make_optimizers

    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    with torch.random.fork_rng(devices=[]):
        net = recipe.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizers = make_optimizers(net, recipe)
        images = torch.randn(recipe.batch_size, 3, 32, 32).to(memory_format=torch.channels_last)
        labels = torch.randint(10, (recipe.batch_size,))
        for step in range(4):
            if step == 1:  # the first one warms up
                started = time.perf_counter()
            torch.nn.functional.cross_entropy(net(images), labels).backward()  # type: ignore[no-untyped-call]
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    seconds = (time.perf_counter() - started) / 3
    torch.set_num_threads(threads)
    return seconds * (rows / recipe.batch_size) * _OVERHEAD


class RecipeStage(Stage):
    """Train one recipe with several seeds and, in the full profile, the table of single changes."""

    experiment: RecipeExperiment

    def __init__(
        self,
        experiment: RecipeExperiment,
        profile: str,
        first_seed: int,
        folder: Folder,
        request: DataRequest,
        data: Dataset,
    ) -> None:
        from handgrad.vgg import CHANGES, read_result

        self._profile, self._budget = profile, experiment.budgets[profile]
        super().__init__(folder, range(first_seed, first_seed + self._budget.seeds))
        self.experiment, self._data = experiment, data
        self._runs: dict[int, RunResult] = {}
        self._rows: dict[str, RunResult] = {}
        table = self._budget.ablation
        self._changes = {
            change.name: change
            for change in CHANGES
            if table is not None and (table.changes is None or change.name in table.changes)
        }

        planned = [
            RecipeTask(experiment.id, profile, request, folder, seed, 0.0, change)
            for seed, change in (
                *((seed, None) for seed in self._seeds),
                *((first_seed, change) for change in self._changes),
            )
        ]
        self._recipe = recipe_of(planned[0])[0]
        left: list[RecipeTask] = []
        for task in planned:
            result = read_result(task.out)
            # Without its analysis a retraining is judged again, from its last checkpoint.
            whole = task.change is not None or (task.out / ANALYSIS).exists()
            if result is not None and whole:
                self._take(task, result)
                continue
            recipe, rows = recipe_of(task)
            seconds = _epoch_seconds(recipe, rows or len(data.X_train)) * _expected_epochs(recipe)
            left.append(dataclasses.replace(task, expected_seconds=seconds))
        self._left = {(task.seed, task.change): task for task in left}
        self.waiting = list(left)
        self._count()

    @property
    def seconds_left(self) -> float:
        """Expected seconds of one worker."""
        return sum(task.expected_seconds for task in self._left.values())

    def received(self, task: Task, result: object) -> str | None:
        """Take a run."""
        from handgrad.vgg import RunResult

        assert isinstance(task, RecipeTask)
        assert isinstance(result, RunResult)
        del self._left[task.seed, task.change]
        self._take(task, result)
        self._count()
        return None

    def _take(self, task: "RecipeTask", result: "RunResult") -> None:
        if task.change is None:
            self._runs[task.seed] = result
        else:
            self._rows[task.change] = result

    def _count(self) -> None:
        self.finals_left = len(self._seeds) - len(self._runs)
        self.candidates_left = len(self._changes) - len(self._rows)
        if not self._left:
            self.record = self._make_record()

    def _setup(self) -> Setup:
        reference = None
        if self.experiment.reference is not None:
            other = EXPERIMENTS[self.experiment.reference].budgets[self._profile]
            assert isinstance(other, RecipeBudget)
            reference = (self.experiment.reference, recipe_of_budget(other))
        return setups.of_recipe(
            self._recipe,
            _rows(self._data, self._budget.train_rows),
            ablation=self._budget.ablation,
            reference=reference,
        )

    def _make_record(self) -> ExperimentRecord:
        runs = [self._runs[seed] for seed in self._seeds]
        plain = [run.test_accuracy for run in runs if run.test_accuracy is not None]
        mirrored = [run.test_accuracy_tta for run in runs if run.test_accuracy_tta is not None]
        assert len(plain) == len(mirrored) == len(runs)
        val, test = Spread.of([run.val_accuracy for run in runs]), Spread.of(plain)
        trials = tuple(
            Trial(
                {"group": change.group, "change": name, **json.loads(json.dumps(change.fields))},
                self._rows[name].val_accuracy,
                self._rows[name].seconds,
            )
            for name, change in self._changes.items()
        )
        setup = self._setup()
        epochs = max(len(run.history) for run in runs)
        return self.record_of(
            [run.seconds for run in runs],
            chosen={"recipe": self._recipe.name, "epochs": epochs},
            trials=trials,
            val_accuracy=val,
            test_accuracy=test,
            test_accuracy_mirrored=Spread.of(mirrored),
            parameters=runs[0].parameters,
            epochs=epochs,
            setup=setup,
            conclusions=(
                *conclusions.of_training(val, test, setup, [run.history for run in runs]),
                *(conclusions.of_changes(setup, trials) if trials else ()),
            ),
            edges=(),
        )

"""What was trained, as a record: read off the network, the solver and the recipe themselves."""

import inspect
import sys
from typing import TYPE_CHECKING, Any

from handgrad.datasets import Dataset
from handgrad.experiments import Ablation, Budget
from handgrad.network import Network
from handgrad.network_spec import layers_of
from handgrad.optim import Schedule
from handgrad.results import Difference, LayerRecord, Setup, settings_text
from handgrad.solver import Solver

if TYPE_CHECKING:
    import torch

    from handgrad.vgg import Recipe

_NO_NAMES = {"name", "summary"}  # of a recipe: what it is called, not what it does


def of_network(
    network: Network, solver: Solver, data: Dataset, budget: Budget, preprocessing: str
) -> Setup:
    """Describe a training of a ``Network`` by a ``Solver``, and the search it comes from.

    Parameters
    ----------
    network, solver, data
        The ones that trained.
    budget : Budget
    preprocessing : str
        What was done to the rows of ``data``.
    """
    settings = {
        "reg": network.reg,
        **solver.optim_config,
        "dtype": network.dtype.name,
    }
    shown = solver.num_train_samples
    of_rows = "all" if shown is None else f"at most {shown:,} evenly spaced"
    return Setup(
        input_shape=tuple(network.input_shape),
        layers=layers_of(network),
        train_rows=len(data.X_train),
        val_rows=len(data.X_val),
        test_rows=len(data.X_test),
        preprocessing=preprocessing,
        initialisation=_initialisation(network),
        loss=f"{network.loss_name} loss + 0.5 * reg * sum of squared weights",
        optimizer=solver.rule.__name__,
        schedule=schedule_text(solver.schedule),
        batch_size=solver.batch_size,
        fixed={name: value for name, value in settings.items() if name not in budget.space},
        validation_accuracy="the best epoch's, whose weights are kept and tested",
        training_accuracy=f"after the epoch, on {of_rows} training rows",
        searched={name: tuple(values) for name, values in budget.space.items()},
        control=budget.control,
        search_epochs=budget.search_epochs,
        search_rows=len(data.X_train),
        search_seeds=budget.repeats,
        finalists=budget.finalists,
        finalist_seeds=budget.finalist_seeds if budget.finalists else 0,
    )


def _initialisation(network: Network) -> str:
    scale = network.weight_scale
    deviation = "sqrt(2 / inputs of the unit) (He)" if scale == "he" else f"{scale}"
    return f"weights normal with mean 0 and deviation {deviation}, biases 0"


def schedule_text(schedule: Schedule) -> str:
    """Name a schedule of ``handgrad.optim`` and the settings it was made with.

    >>> from handgrad import optim
    >>> schedule_text(optim.one_cycle())
    'one_cycle: final 0.0001, start 0.04, warm_up 0.3'
    """
    name = schedule.__qualname__.partition(".")[0]
    settings = inspect.getclosurevars(schedule).nonlocals
    return f"{name}: {settings_text(dict(sorted(settings.items())))}" if settings else name


def of_recipe(
    recipe: "Recipe",
    data: Dataset,
    *,
    ablation: Ablation | None = None,
    reference: "tuple[str, Recipe] | None" = None,
) -> Setup:
    """Describe a training of a VGG11 by a recipe.

    Parameters
    ----------
    recipe : Recipe
        The one that trained.
    data : Dataset
        The rows it used.
    ablation : Ablation, optional
        How the single changes were trained.
    reference : (str, Recipe), optional
        The experiment and its recipe that the differences are from.
    """
    shown = _fields(recipe)
    batch_size, optimizer = shown.pop("batch_size"), shown.pop("optimizer")
    schedule, warmup = shown.pop("schedule"), shown.pop("warmup")
    kept = "best" if recipe.patience else "last"
    weights = "averaged weights" if recipe.ema_decay else "weights"
    return Setup(
        input_shape=tuple(data.X_train.shape[1:]),
        layers=modules_of(recipe),
        train_rows=len(data.X_train),
        val_rows=len(data.X_val),
        test_rows=len(data.X_test),
        preprocessing=_images_text(recipe),
        initialisation="PyTorch's default",
        loss=f"softmax cross-entropy, label smoothing {recipe.label_smoothing}",
        optimizer=optimizer,
        schedule=f"{schedule}: warmup {warmup}" if warmup else schedule,
        batch_size=batch_size,
        fixed=shown,
        validation_accuracy=f"the {kept} epoch's, of the {weights} that are tested",
        training_accuracy="while learning, on every training row as it was augmented",
        searched={},
        control={},
        search_epochs=ablation.epochs if ablation else 0,
        search_rows=min(len(data.X_train), ablation.train_rows or sys.maxsize) if ablation else 0,
        search_seeds=1 if ablation else 0,
        finalists=0,
        finalist_seeds=0,
        reference=reference[0] if reference else None,
        differences=differences(reference[1], recipe) if reference else (),
    )


def _fields(recipe: "Recipe") -> dict[str, Any]:
    fields = {name: v for name, v in recipe.to_dict().items() if name not in _NO_NAMES}
    return {**fields, "epochs": f"at most {recipe.epochs}"} if recipe.patience else fields


def differences(reference: "Recipe", recipe: "Recipe") -> tuple[Difference, ...]:
    """List the fields in which two recipes differ, in the recipes' order."""
    before, after = _fields(reference), _fields(recipe)
    return tuple(
        Difference(name, before[name], after[name])
        for name in before
        if before[name] != after[name]
    )


def _images_text(recipe: "Recipe") -> str:
    parts = [
        "each channel shifted and scaled to mean 0 and deviation 1 over the training rows"
        if recipe.normalize
        else "pixels scaled to [0, 1]"
    ]
    if recipe.crop_padding:
        parts.append(f"random crops of images padded by {recipe.crop_padding} reflected pixels")
    if recipe.flip != "none":
        parts.append(f"{recipe.flip} mirroring")
    if recipe.cutout:
        parts.append(f"cutout of {recipe.cutout} x {recipe.cutout} pixels")
    return "; ".join(parts) if len(parts) > 1 else f"{parts[0]}; no augmentation"


def modules_of(recipe: "Recipe") -> tuple[LayerRecord, ...]:
    """List the modules of a recipe's network, with the shapes an image takes on its way."""
    import torch

    found: list[LayerRecord] = []

    def note(module: "torch.nn.Module", _: Any, out: "torch.Tensor") -> None:
        count = sum(p.numel() for p in module.parameters())
        kind, settings = type(module).__name__, module.extra_repr()
        found.append(LayerRecord(kind, settings, tuple(out.shape[1:]), count))

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        net = recipe.network().eval()
        for module in net.modules():
            if not list(module.children()):
                module.register_forward_hook(note)
        net(torch.zeros(1, 3, 32, 32))
    return tuple(found)

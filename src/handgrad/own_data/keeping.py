"""The best net of a training, in its folder: only a better one replaces it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from handgrad.errors import ModelError, ResultsError
from handgrad.models import Model, load
from handgrad.own_data.baselines import Fitted
from handgrad.own_data.concluding import Found, model_of
from handgrad.own_data.fitting import Net, is_better
from handgrad.own_data.folder import Folder
from handgrad.own_data.reading import Ready
from handgrad.own_data.settings import from_record
from handgrad.training_record import EpochRecord, Metrics, TrainingRecord
from handgrad.typed_json import from_json

SO_FAR = "so far"
"""What a model's file keeps of a training that has not come to its end."""


def best_found(folder: Folder, ready: Ready, found: Found) -> Found:
    """Give what was found, or what lies in the folder where that net is better.

    "Better" is by the validation rows. The search's summary is the one given.
    """
    kept = _kept(folder, ready, found.fitted)
    if kept is None or not is_better(kept.net.best, found.net.best):
        return found
    return Found(kept.settings, kept.net, found.fitted, found.search)


def keep(folder: Folder, ready: Ready, found: Found) -> Found:
    """Write the model of what was found, unless a better one, or a record's, is in the folder.

    Its test rows have not been looked at. Returns what lies in the folder then.
    """
    best = best_found(folder, ready, found)
    if best is found and not folder.record.exists():
        history = [asdict(epoch) for epoch in found.net.history]
        more = {SO_FAR: {"history": history, "stopped": found.net.stopped}}
        metrics = {"validation": validation(ready, found)}
        model_of(ready, found, metrics, more).save(folder.model)
    return best


def validation(ready: Ready, found: Found) -> Mapping[str, Metrics]:
    """Measure the baselines and the net on the validation rows."""
    models = {each.name: each.predict for each in found.fitted} | {"net": found.net.predict}
    part = ready.problem.val
    return {name: ready.metrics(part, predict) for name, predict in models.items()}


def _kept(folder: Folder, ready: Ready, fitted: tuple[Fitted, ...]) -> Found | None:
    """Read the net that lies in the folder; None where there is none that fits this training."""
    try:
        model = load(folder.model)
        history, stopped = _history(folder, model)
        best = next(each for each in history if each.epoch == model.about["epoch"])
        settings = from_record(model.about["settings"])
    except (ModelError, ResultsError, KeyError, TypeError, StopIteration):
        return None
    problem, network = ready.problem, model.network
    if (network.input_shape, network.task) != (problem.input_shape, problem.task):
        return None
    return Found(settings, Net(problem.task, network, history, best, stopped), fitted, None)


def _history(folder: Folder, model: Model) -> tuple[tuple[EpochRecord, ...], str]:
    """Give the epochs of the kept net, and why its training ended."""
    if folder.record.exists():
        net = TrainingRecord.read(folder.record).net
        return net.history, net.stopped
    so_far: Mapping[str, Any] = model.about[SO_FAR]
    history = tuple(from_json(EpochRecord, epoch) for epoch in so_far["history"])
    return history, str(so_far["stopped"])

"""What a page shows of a model: a description in JSON, and arrays.

The description has

version : 1, of this description
handgrad : str, the version that made the page
title, model : str, what the page is about, and the model's file
task : 'classify', 'multilabel' or 'regress'
network : what `handgrad.network_spec.to_spec` gives
penalised : list of str, the weights that ``reg`` is on
outputs : list of str, the classes (of a binary loss both), labels or targets
target : {"names", "mean", "scale"}: of a regression, a prediction is score * scale + mean, a
    number each a target; of other tasks both are empty
inputs : what makes the network's inputs of raw values, as ``page/inputs.mjs`` takes it; its kind is
    image : channels, height, width, mean and deviation (levels 0 to 255, a number a channel), and
        drawn (whether it takes digits of 28 x 28 that can be drawn)
    numbers : columns, centre and deviation (numbers, or null), far (or null)
    table : columns, most (deviations), days (a cycle's name to its length)
    A column has kind ('number', 'category' or 'date') and name; what holds numbers, and dates as
    days since 1970, low and high (of a slider) and start; a category values and start; a table's
    column also features (the names of the inputs it makes) and its encoder's settings
rows : examples to choose from, or null: count, mistakes (the first so many are those that the
    model gets wrong, of a regression the largest errors), names (what each is called), source; of
    a table also values, a list a row of the columns' values (number, text, days, null if missing)
training : rows to train on, in a random order, or null: count, train (the first so many are for
    training, the others to validate), source, and values as above
mistakes : what `handgrad check` says of each mistake that can be planted: its name in check's
    tables to {"what", "cause", "sentence", "seen"}
theory : list of pages, each name (of `handgrad.theory.pages.ORDER`), slug, number, title, and
    formulas: label to {"number", "mathml"}
report : the address of the report beside the page, whose anchors are #theory-SLUG, or null
file : of the model file that `handgrad predict` reads, or null: header (with a place for the
    network's description) and arrays (name, dtype, shape); ``original`` of ``page/content.mjs``
    makes what ``page/model_file.mjs`` takes of it
rounding : {"bits", "scores"}: how many bits were rounded off the weights' mantissas so that the
    page stays small, and the largest change of a score of the examples that came of it
arrays : see `handgrad.show.packing.pack`

The arrays are the network's parameters and running statistics under their names, float32;
``rows/raw`` and ``training/raw`` of images (uint8, (N, C, H, W)) and numbers (float64, (N, D));
``rows/y`` and ``training/y`` (where there are labels) as the loss takes them: int32 (N,) or (N, L),
or float32 (N,) or (N, M); and those of ``file``, named ``file/...``.
"""

import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

import handgrad
from handgrad.arrays import Array
from handgrad.export.source import Source
from handgrad.network_spec import to_spec
from handgrad.show import describing, mistakes, model_file, theory
from handgrad.show.examples import Data, Examples, wrong_first
from handgrad.tables import Columns, Preprocessor

VERSION = 1
Description = dict[str, Any]
Arrays = dict[str, Array]

_MOST_WRONG, _MOST_SHOWN = 100, 250
_MOST_TRAINING, _MOST_VALIDATION = 400, 100
_ROOM = 600_000  # bytes of the page for all examples
_TRIED = 50  # examples whose size tells how many there is room for


@dataclass(frozen=True)
class Content:
    """A page's description and arrays, and the examples that are shown (for judging rounding)."""

    description: Description
    arrays: Arrays
    shown: Examples | None


def content_of(source: Source, data: Data | None, name: str, report: str | None) -> Content:
    """Describe a model and what is shown with it.

    Parameters
    ----------
    source : Source
    data : Data, or None
        Without it, inputs are drawn or set by sliders, and nothing can be trained.
    name : str
        Of the model's file.
    report : str or None
        The address of the report beside the page.
    """
    network = source.network
    rng = np.random.default_rng(0)
    shown = wrong = None
    description: Description = {"rows": None, "training": None}
    arrays: Arrays = {**network.params, **network.state}
    if data is not None:
        share = _share(source, data.shown, rng)
        shown, wrong = _shown(source, data.shown, share, rng)
        description["rows"], own = _described(source, shown, "rows", data.source)
        description["rows"]["mistakes"] = wrong
        arrays |= own
        description["training"], own = _training(source, data, share, rng)
        arrays |= own
    file, own = model_file.template(source)
    seen = [] if shown is None else _seen(source, shown)
    return Content(
        {
            "version": VERSION,
            "handgrad": handgrad.__version__,
            "title": _title(source, name),
            "model": name,
            "task": source.task,
            "network": to_spec(network),
            "penalised": list(network.penalised),
            "outputs": describing.output_names(source),
            "target": describing.of_target(source),
            "inputs": describing.of_inputs(source.inputs, network, seen),
            **description,
            "mistakes": mistakes.said(),
            "theory": theory.of_network(network),
            "report": report,
            "file": file,
        },
        arrays | own,
        shown,
    )


def _title(source: Source, name: str) -> str:
    about = source.about
    if "experiment" in about:
        return f"{about['experiment']} {about['title']}"
    names = ", ".join(describing.target_names(source))
    return f"{names} of {about['data']}" if "data" in about else name


def _share(source: Source, examples: Examples, rng: np.random.Generator) -> float:
    """Which part of the usual numbers of examples there is room for."""
    some = examples.take(rng.permutation(len(examples))[:_TRIED])
    described, arrays = _described(source, some, "rows", "")
    size = len(json.dumps(described)) + 4 / 3 * sum(
        len(zlib.compress(array.tobytes(), 9)) for array in arrays.values()
    )
    each = size / max(1, len(some))
    return min(1.0, _ROOM / each / (_MOST_SHOWN + _MOST_TRAINING + _MOST_VALIDATION))


def _some(most: int, share: float) -> int:
    return max(1, math.floor(most * share))


def _shown(
    source: Source, examples: Examples, share: float, rng: np.random.Generator
) -> tuple[Examples, int]:
    """Choose examples to show, mistakes first; and count those."""
    most = _some(_MOST_SHOWN, share)
    if examples.y is None:
        return examples.take(np.arange(min(most, len(examples)))), 0
    order, wrong = wrong_first(source, examples)
    first = order[: min(wrong, _some(_MOST_WRONG, share))]
    others = rng.permutation(order[wrong:])[: most - len(first)]
    return examples.take(np.concatenate([first, np.sort(others)])), len(first)


def _training(
    source: Source, data: Data, share: float, rng: np.random.Generator
) -> tuple[Description | None, Arrays]:
    """Choose rows to train on and to validate with, at random; none twice."""
    training, validation = data.training, data.validation
    if training is None or validation is None:
        return None, {}
    rows = rng.permutation(len(training))
    train = rows[: _some(_MOST_TRAINING, share)]
    if training is validation:
        held_out = max(1, len(rows) // 5)
        train, others = rows[held_out:][: len(train)], rows[:held_out]
    else:
        others = rng.permutation(len(validation))
    val = validation.take(others[: _some(_MOST_VALIDATION, share)])
    origin = data.training_source or data.source
    described, arrays = _described(source, training.take(train), "training", origin)
    more, beside = _described(source, val, "training", "")
    described["train"] = len(train)
    described["count"] += more["count"]
    if "values" in described:
        described["values"] += more["values"]
    del described["names"]
    return described, {name: np.concatenate([arrays[name], beside[name]]) for name in arrays}


def _described(
    source: Source, examples: Examples, name: str, origin: str
) -> tuple[Description, Arrays]:
    """Give examples as the page holds them: description, and arrays named after ``name``."""
    made: Description = {"count": len(examples), "names": examples.names, "source": origin}
    arrays: Arrays = {}
    if isinstance(examples.raw, Columns):
        columns = [plain(column) for column in _seen(source, examples)]
        made["values"] = [list(row) for row in zip(*columns, strict=True)]
    else:
        arrays[f"{name}/raw"] = examples.raw
    if examples.y is not None:
        kept = np.float32 if source.task == "regress" else np.int32
        arrays[f"{name}/y"] = examples.y.astype(kept)
    return made, arrays


def _seen(source: Source, examples: Examples) -> list[Array]:
    """Give each column's raw values; none of images."""
    if isinstance(source.inputs, Preprocessor):
        assert isinstance(examples.raw, Columns)
        return list(source.inputs.cells(examples.raw).values())
    assert not isinstance(examples.raw, Columns)
    return list(examples.raw.T) if examples.raw.ndim == 2 else []


def plain(column: Array) -> list[Any]:
    """Give a column's values as JSON has them; None where they are missing."""
    if column.dtype == object:
        return list(column.tolist())
    return [value if math.isfinite(value) else None for value in column.tolist()]

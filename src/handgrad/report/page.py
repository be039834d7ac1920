"""Gather what the page shows, draw its plots, and fill the template."""

import functools
import importlib.resources
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from markupsafe import Markup

from handgrad import theory
from handgrad.analysis import Analysis
from handgrad.pictures import Sheet
from handgrad.report import address_of_page, plots, records
from handgrad.report.assignment import QUESTIONS
from handgrad.report.formats import confusion_shades
from handgrad.report.records import Ref
from handgrad.report.svg import Plot
from handgrad.report.templating import fill
from handgrad.results import DataRecord, Epoch, ExperimentRecord, Study

T = TypeVar("T")

_PICTURE_WIDTH, _PICTURE_HEIGHT = 480, 200


@dataclass(frozen=True)
class ShownExperiment:
    """One experiment as the template needs it.

    ``curves`` etc. are None or empty where the folder lacks the record. ``shades`` tints the
    errors of the confusion matrix, ``scales`` enlarges the pictures: looks, not numbers to read.
    ``walk`` is the address of the page of `handgrad show` of the first seed's model.
    ``controls`` are the places of the trials that were not to be chosen.
    """

    record: Ref[ExperimentRecord]
    slug: str
    data: Ref[DataRecord]
    public: Ref[list[float]] | None
    ablation: bool
    controls: frozenset[int]
    candidates: Plot | None
    curves: tuple[Plot, ...]
    histories: tuple[Ref[list[Epoch]] | None, ...]
    analysis: Ref[Analysis] | None
    walk: str | None
    calibration: Plot | None
    histogram: Plot | None
    shades: tuple[tuple[str, ...], ...]
    scales: tuple[int, ...]


@dataclass(frozen=True)
class ShownStudy:
    """A recorded measurement behind a written answer."""

    record: Ref[Study]
    plot: Plot


def _slug(number: str) -> str:
    return "q" + number.replace(".", "-")


def _experiment(
    folder: Path, at: Path, data: Ref[Any], entry: Ref[ExperimentRecord], ranges: Ref[Any]
) -> ShownExperiment:
    record = entry.value
    slug, title = _slug(record.id), f"{record.id} {record.title}"
    histories = tuple(records.history(folder, name) for name in record.histories)
    kept = [(s, h.value) for s, h in zip(record.seeds, histories, strict=False) if h]
    found = filter(None, (records.analysis(folder, name) for name in record.analyses))
    analysis = next(found, None)
    trials = [trial for trial in record.trials if trial.val_accuracy is not None]
    ablation = any("change" in trial.params for trial in trials)
    draw = plots.ablation if ablation else plots.candidates
    calibration = histogram = None
    if analysis and analysis.value.calibration:
        bins = analysis.value.calibration.bins
        calibration = plots.calibration(f"{slug}-calibration", title, bins)
    if analysis and analysis.value.histogram:
        scores, classes = analysis.value.histogram, analysis.value.classes
        histogram = plots.histogram(f"{slug}-scores", title, scores, classes)
    return ShownExperiment(
        record=entry,
        slug=slug,
        data=data[record.data],
        public=ranges[record.id] if record.id in ranges.value else None,
        ablation=ablation,
        controls=frozenset(
            i for i, trial in enumerate(record.trials) if record.setup.is_control(trial.params)
        ),
        candidates=draw(f"{slug}-candidates", title, record) if trials else None,
        curves=(
            plots.loss_curves(f"{slug}-loss", title, kept),
            plots.accuracy_curves(f"{slug}-accuracy", title, kept),
        )
        if kept
        else (),
        histories=histories,
        analysis=analysis,
        walk=address_of_page(folder / record.models[0], at) if record.models else None,
        calibration=calibration,
        histogram=histogram,
        shades=confusion_shades(analysis.value.confusion) if analysis else (),
        scales=tuple(_scale(sheet) for sheet in analysis.value.sheets) if analysis else (),
    )


def _scale(sheet: Sheet) -> int:
    """Enlarge a picture so that its pixels can be seen."""
    across, down = _PICTURE_WIDTH // sheet.width, _PICTURE_HEIGHT // sheet.height
    return max(1, min(16, across, down if sheet.tiles == 1 else across))


def _theory_html(page: theory.Page) -> Markup:
    """Fit a theory page in: headings under its title, what is wide in boxes that scroll."""
    html = re.sub(r"(</?h)([3-5])\b", lambda m: f"{m[1]}{int(m[2]) + 1}", page.html)
    numbers = itertools.count(1)

    def box(_: re.Match[str]) -> str:
        label = Markup.escape(f"Table {next(numbers)} of {page.title}")
        return f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>'

    html = re.sub("<table>", box, html).replace("</table>", "</table></div>")
    # What scrolls must be reachable by the keyboard.
    html = re.sub(r'(<math [^>]*display="block")', r'\1 tabindex="0"', html)
    html = html.replace("<pre>", '<pre tabindex="0">')
    return Markup(html.replace("<th>", '<th scope="col">'))


@functools.cache
def public_solutions() -> Ref[Any]:
    """Give what public solutions state, as a record of its own."""
    file = importlib.resources.files("handgrad.report") / "public_solutions.json"
    return Ref("public_solutions.json#", json.loads(file.read_text(encoding="utf-8")))


def _by_question(items: Iterable[T], id_of: Callable[[T], str]) -> Mapping[int, list[T]]:
    found: dict[int, list[T]] = {question.number: [] for question in QUESTIONS}
    for item in items:
        found[int(id_of(item).split(".")[0])].append(item)
    return found


def render(folder: Path, at: Path) -> str:
    """Render the page of a results folder, to lie in the folder ``at``."""
    results = records.read(folder)
    public = public_solutions()
    data, ranges = results["data"], public["ranges"]
    experiments = [_experiment(folder, at, data, entry, ranges) for entry in results["experiments"]]
    studies: dict[str, list[ShownStudy]] = {}
    for number, record in enumerate(results["studies"]):
        plot = plots.study(f"study-{number}", record.value)
        studies.setdefault(record.value.id, []).append(ShownStudy(record, plot))
    pages = theory.pages()
    return fill(
        "page.html",
        results=results,
        experiments=experiments,
        questions=QUESTIONS,
        by_question=_by_question(experiments, lambda experiment: experiment.record.value.id),
        question_not_run=_by_question(results["not_run"], lambda missing: missing.value.id),
        before=[page for page in pages if not page.number.startswith("7")],
        after=[page for page in pages if page.number.startswith("7")],
        page_titles={page.slug: page.title for page in pages},
        studies=studies,
        public=public,
        theory_html=_theory_html,
    )

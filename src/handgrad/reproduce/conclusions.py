"""What a search, or a training without one, allows to conclude: sentences made from its numbers.

A difference counts as resolved if it exceeds half the width of the 95 % interval that the number
of validation rows leaves an accuracy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handgrad.results import Edge, Epoch, Interval, Setup, Spread, Trial, settings_text, value_text

# No value lies beyond: a penalty of 0, all units kept, one unit, one pixel.
_LIMITS: Mapping[str, tuple[float, float]] = {
    "reg": (0, math.inf),
    "keep": (0, 1),
    "hidden_dim": (1, math.inf),
    "filter_size": (1, math.inf),
}
_WORDS = {"hidden_dim": "hidden units", "keep": "share kept"}


def resolution(accuracy: float, rows: int) -> float:
    """Half the width of the 95 % interval of an accuracy on so many rows."""
    interval = Interval.wilson(accuracy, rows)
    return (interval.high - interval.low) / 2


@dataclass(frozen=True)
class Curve:
    """The best validation accuracy at each value of one hyperparameter; None where all diverged.

    Numbers are in rising order, other values in the grid's.
    """

    name: str
    values: tuple[Any, ...]
    best: tuple[float | None, ...]

    @classmethod
    def of(cls, name: str, values: Sequence[Any], trials: Sequence[Trial]) -> "Curve":
        """Take from each value's candidates the best."""
        ordered = sorted(values) if all(map(_is_number, values)) else list(values)
        best = [
            max(
                (
                    t.val_accuracy
                    for t in trials
                    if t.params[name] == value and t.val_accuracy is not None
                ),
                default=None,
            )
            for value in ordered
        ]
        return cls(name, tuple(ordered), tuple(best))

    @property
    def is_ordered(self) -> bool:
        """Whether its values are numbers."""
        return all(map(_is_number, self.values))

    @property
    def known(self) -> list[tuple[Any, float]]:
        """Values with their accuracy, but for those where all diverged."""
        pairs = zip(self.values, self.best, strict=True)
        return [(value, accuracy) for value, accuracy in pairs if accuracy is not None]

    @property
    def top(self) -> tuple[Any, float]:
        """The value of best accuracy, the first of equals."""
        return max(self.known, key=lambda pair: pair[1])

    def level(self, resolved: float) -> list[tuple[Any, float]]:
        """Values around the best that fall short of it by no more than is resolved.

        Of numbers those next to each other, of other values all.
        """
        value, best = self.top
        near = [best - accuracy <= resolved for _, accuracy in self.known]
        if not self.is_ordered:
            return [pair for pair, is_near in zip(self.known, near, strict=True) if is_near]
        first = last = [found for found, _ in self.known].index(value)
        while first and near[first - 1]:
            first -= 1
        while last + 1 < len(near) and near[last + 1]:
            last += 1
        return self.known[first : last + 1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def curves(setup: Setup, trials: Sequence[Trial]) -> list[Curve]:
    """Give the curve of each hyperparameter that takes several values; controls left out."""
    tried = [trial for trial in trials if not setup.is_control(trial.params)]
    found = []
    for name, values in setup.searched.items():
        kept = [value for value in values if setup.control.get(name) != value]
        curve = Curve.of(name, kept, tried)
        if len(kept) > 1 and curve.known:
            found.append(curve)
    return found


def of_search(setup: Setup, trials: Sequence[Trial], chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which values the validation rows cannot tell apart, and which they can.

    A third sentence compares the chosen candidate with the best control, where there is one.
    """
    accuracy = _accuracy(trials, chosen)
    resolved = resolution(accuracy, setup.val_rows)
    together, apart = [], []
    compared = curves(setup, trials)
    for curve in compared:
        level = curve.level(resolved)
        if len(level) > 1:
            reach = max(a for _, a in level) - min(a for _, a in level)
            together.append(f"{_several(curve, level)} lie within {_points(reach)}")
        apart += _behind(curve, resolved)
    rows = f"{setup.val_rows:,} rows resolve {_points(resolved)}"
    control = _of_control(setup, trials, accuracy, resolved)
    if not compared:
        return (f"No hyperparameter takes two values to compare; {rows}.", *control)
    first = (
        f"On validation, the best candidates of {_listed(together)}; {rows}."
        if together
        else f"On validation, no value lies within {_points(resolved)} of the best, which is what "
        f"{setup.val_rows:,} rows resolve."
    )
    second = (
        f"What these rows do tell apart: {'; '.join(apart)}."
        if apart
        else "No searched value falls behind by more than that: the choice is one of several that "
        "these rows cannot tell apart."
    )
    return (first, second, *control)


def _behind(curve: Curve, resolved: float) -> list[str]:
    """Say which values fall short of the best by more than is resolved, and by how much."""
    top, best = curve.top
    behind = [(value, best - found) for value, found in curve.known if best - found > resolved]
    if not behind:
        return []
    values = _listed([value_text(curve.name, value) for value, _ in behind])
    least, most = min(gap for _, gap in behind), max(gap for _, gap in behind)
    gaps = _points(most) if len(behind) == 1 else f"{100 * least:.2f} to {_points(most)}"
    verb = "is" if len(behind) == 1 else "are"
    return [f"{_word(curve.name)} {values} {verb} {gaps} below {value_text(curve.name, top)}"]


def _of_control(
    setup: Setup, trials: Sequence[Trial], accuracy: float, resolved: float
) -> tuple[str, ...]:
    controls = [
        trial.val_accuracy
        for trial in trials
        if setup.is_control(trial.params) and trial.val_accuracy is not None
    ]
    if not controls:
        return ()
    gap = accuracy - max(controls)
    side = "above" if gap >= 0 else "below"
    words = "less" if abs(gap) <= resolved else "more"
    return (
        f"In the search, the chosen candidate lies {_points(abs(gap))} {side} the best control "
        f"({settings_text(setup.control)}, never chosen), {words} than is resolved.",
    )


def edges(setup: Setup, trials: Sequence[Trial], chosen: Mapping[str, Any]) -> tuple[Edge, ...]:
    """Say of each chosen value that is the first or last of its grid whether that matters."""
    resolved = resolution(_accuracy(trials, chosen), setup.val_rows)
    found = []
    for name, grid in setup.searched.items():
        curve = Curve.of(name, grid, trials)
        value = chosen[name]
        ends = curve.values[:1] + curve.values[-1:]
        if len(curve.values) < 2 or not curve.is_ordered or value not in ends:
            continue
        where = _one(name, value)
        if value in _LIMITS.get(name, ()):
            found.append(Edge(name, "limit", f"{where}, and no value lies beyond it."))
            continue
        known = curve.known if value == curve.values[0] else curve.known[::-1]
        if len(known) < 2:
            text = f"{where}, and every other value diverged. A wider grid may do better."
            found.append(Edge(name, "open", text))
            continue
        (_, here), (neighbour, there) = known[0], known[1]
        compared = (
            f"{100 * here:.2f} % against {100 * there:.2f} % at {value_text(name, neighbour)}, "
            f"and {setup.val_rows:,} rows resolve {_points(resolved)}"
        )
        if here - there <= resolved:
            found.append(Edge(name, "flat", f"{where}, where the curve has flattened: {compared}."))
        else:
            text = f"{where}, where the curve still rises: {compared}. A wider grid may do better."
            found.append(Edge(name, "open", text))
    return tuple(found)


def of_training(
    val: Spread,
    test: Spread,
    setup: Setup,
    histories: Sequence[Sequence[Epoch]],
) -> tuple[str, ...]:
    """Say of trainings without a search how far seeds and splits agree, and where they peaked."""
    rows = f"{setup.val_rows:,} rows resolve {_points(resolution(val.mean, setup.val_rows))}"
    gap = val.mean - test.mean
    side = "above" if gap >= 0 else "below"
    beside = f"validation accuracy is {_points(abs(gap))} {side} test accuracy"
    reach = max(val.values) - min(val.values)
    if len(val.values) > 1:
        beside = f"validation accuracies of the seeds lie within {_points(reach)}, {beside}"
    first = f"{beside[0].upper()}{beside[1:]}; {rows}."
    peaks, last = [], 0
    for history in histories:
        judged = [line for line in history if line.get("val_accuracy") is not None]
        if judged:
            peaks.append(max(judged, key=lambda line: line["val_accuracy"])["epoch"])
            last = max(last, judged[-1]["epoch"])
    if not peaks:
        return (first,)
    when = f"{min(peaks)}" if min(peaks) == max(peaks) else f"{min(peaks)} to {max(peaks)}"
    ends = (
        "so longer training may do better"
        if min(peaks) == last
        else "so it had stopped rising in some run"
        if max(peaks) == last
        else "so it had stopped rising"
    )
    return (first, f"Validation accuracy was highest after epoch {when} of {last}, {ends}.")


def of_changes(setup: Setup, trials: Sequence[Trial]) -> tuple[str, ...]:
    """Say which single changes of an ablation the validation rows tell from no change."""
    reference = next((t.val_accuracy for t in trials if t.params["group"] == "none"), None)
    if reference is None:
        return ()
    resolved = resolution(reference, setup.val_rows)
    gaps = {
        t.params["change"]: t.val_accuracy - reference
        for t in trials
        if t.params["group"] != "none" and t.val_accuracy is not None
    }
    parts = []
    for word, sign in (("cost", -1), ("gain", 1)):
        beyond = sorted(
            (g for g in gaps.items() if sign * g[1] > resolved), key=lambda g: -sign * g[1]
        )
        if beyond:
            shown = _listed([f"{name} ({_points(abs(gap))})" for name, gap in beyond])
            parts.append(f"{len(beyond)} {word} more than that: {shown}")
    rest = sum(abs(gap) <= resolved for gap in gaps.values())
    parts.append(f"{rest} cannot be told from none")
    return (
        f"Of {len(gaps)} single changes on {setup.val_rows:,} validation rows, which resolve "
        f"{_points(resolved)}, {'; '.join(parts)}.",
    )


def _accuracy(trials: Sequence[Trial], chosen: Mapping[str, Any]) -> float:
    return next(t.val_accuracy or 0.0 for t in trials if dict(t.params) == dict(chosen))


def _points(accuracy: float) -> str:
    return f"{100 * accuracy:.2f} points"


def _word(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _one(name: str, value: Any) -> str:
    return f"{_word(name)} {value_text(name, value)}"


def _several(curve: Curve, level: Sequence[tuple[Any, float]]) -> str:
    if not curve.is_ordered:
        return f"{len(level)} of {len(curve.values)} values of {_word(curve.name)}"
    first, last = (value_text(curve.name, level[end][0]) for end in (0, -1))
    return f"{_word(curve.name)} {first} to {last}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

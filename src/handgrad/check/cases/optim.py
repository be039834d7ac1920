"""Cases of the update rules: several steps against their formulas, the state, the defaults."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, copied, ref
from handgrad.check.cases.in_turn import differs, same
from handgrad.check.verdict.hypotheses import as_numbers

READ = "the equations of the rule: python -m pydoc handgrad.optim.{rule}"
_STEPS = 4
Config = dict[str, Any]

_GIVEN: dict[str, Config] = {
    "sgd": {"learning_rate": 0.3},
    "sgd_momentum": {"learning_rate": 0.3, "momentum": 0.7},
    "rmsprop": {"learning_rate": 0.3, "decay_rate": 0.8, "epsilon": 1e-3},
    "adam": {"learning_rate": 0.3, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3},
}
_STATE: dict[str, tuple[str, ...]] = {
    "sgd": (), "sgd_momentum": ("velocity",), "rmsprop": ("cache",), "adam": ("m", "v", "t"),
}  # fmt: skip


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the update rules."""
    for rule in _GIVEN:
        yield _steps_case(setting, rule)
        yield _defaults_case(setting, rule)
        if _STATE[rule]:
            yield _state_case(setting, rule)
        yield _unmodified_case(setting, rule)
        yield _types_case(setting, rule)
        yield _in_turn_case(setting, rule)


def _case(rule: str, name: str, variants: Sequence[Variant], **more: Any) -> Case:
    return Case("optim", rule, name, variants, READ.format(rule=rule), "optim", **more)


def _rounds(rule: str, start: Any, steps: int) -> list[Step]:
    made: list[Step] = []
    for i in range(steps):
        config = start if i == 0 else ref("config")
        made.append(call(rule, [ref("w"), ref(f"dw{i}"), config], ["w", "config"], unit="optim"))
        made.append(copied("w", f"w after step {i + 1}"))
    return made


def _variant(
    rule: str, label: str, w: Array, gradients: Sequence[Array], given: Config | None,
    dtype: str = "any",
) -> Variant:  # fmt: skip
    inputs: dict[str, Any] = {"w": w, **{f"dw{i}": dw for i, dw in enumerate(gradients)}}
    start: Any = None
    if given is not None:
        inputs["config"], start = dict(given), ref("config")
    tolerance = 1e-7 if w.dtype == np.float64 else 2e-4
    wants = [Want(f"w after step {i + 1}", dtype, tolerance) for i in range(len(gradients))]
    return Variant(label, inputs, _rounds(rule, start, len(gradients)), wants)


def _draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, list[Array]]:
    """Weights as small as the steps, so that a wrong step shows."""
    w = rng.standard_normal(shape) * 0.01
    return w, [rng.standard_normal(shape) * 0.5 for _ in range(_STEPS)]


def _steps_case(setting: Setting, rule: str) -> Case:
    name = "four steps"
    rng = setting.rng(rule, name)
    variants = []
    for shape in ((4, 3), (5,)):
        w, gradients = _draw(rng, shape)
        label = f"w {'x'.join(map(str, shape))}, {_shown(_GIVEN[rule])}"
        variants.append(_variant(rule, label, w, gradients, _GIVEN[rule]))
    return _case(rule, name, variants)


def _shown(config: Config) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in config.items())


def _defaults_case(setting: Setting, rule: str) -> Case:
    """Without a config, and with one that gives the learning rate alone."""
    name = "four steps with the default hyperparameters"
    rng = setting.rng(rule, name)
    variants = []
    for label, given in (("no config", None), ("config with learning_rate 0.05", 0.05)):
        w, gradients = _draw(rng, (4, 3))
        config = None if given is None else {"learning_rate": given}
        variants.append(_variant(rule, label, w, gradients, config))
    return _case(rule, name, variants)


def _state_case(setting: Setting, rule: str) -> Case:
    """From a state given in config, and the state that comes back."""
    name = "goes on from the state in config"
    rng = setting.rng(rule, name)
    w, gradients = _draw(rng, (4, 3))
    state: Config = {
        key: 5 if key == "t" else rng.uniform(0.1, 0.4, (4, 3)) for key in _STATE[rule]
    }
    given = {**_GIVEN[rule], **state}
    variant = _variant(rule, "a given state", w, gradients[:2], given)
    return _case(rule, name, [variant])


def _unmodified_case(setting: Setting, rule: str) -> Case:
    name = "does not modify the gradient"
    w, gradients = _draw(setting.rng(rule, name), (4, 3))
    inputs = {"w": w, "dw0": gradients[0]}
    variant = Variant("", inputs, _rounds(rule, None, 1), unmodified=["dw0"])
    return _case(rule, name, [variant], counts_alone=False)


def _types_case(setting: Setting, rule: str) -> Case:
    name = "float32 stays float32"
    w, gradients = _draw(setting.rng(rule, name), (4, 3))
    variants = []
    for dtype in ("float32", "float64"):
        given = [dw.astype(dtype) for dw in gradients[:2]]
        variants.append(_variant(rule, dtype, w.astype(dtype), given, _GIVEN[rule], dtype))
    return _case(rule, name, variants)


def _in_turn_case(setting: Setting, rule: str) -> Case:
    """Two parameters of one shape, a step of each in turn: each walks as it does alone."""
    name = "two parameters in turn"
    rng = setting.rng(rule, name)
    drawn = dict(zip("AB", (_draw(rng, (4, 3)) for _ in range(2)), strict=True))
    inputs: dict[str, Any] = {f"{side} start": w for side, (w, _) in drawn.items()}
    inputs |= {f"{side} dw{i}": dw for side in "AB" for i, dw in enumerate(drawn[side][1])}
    variants = []
    for label, given in (("no config given", None), (_shown(_GIVEN[rule]), _GIVEN[rule])):

        def begin(side: str, given: Config | None = given) -> list[Step]:
            """Fresh weights, and hyperparameters in a dict of their own."""
            steps: list[Step] = [copied(f"{side} start", f"{side} w")]
            if given is not None:
                steps.append(copied("given", f"{side} config"))
            return steps

        def step(side: str, i: int, given: Config | None = given) -> Step:
            args = [f"{side} w", f"{side} dw{i}"]
            if given is not None or i > 0:
                args.append(f"{side} config")
            return call(rule, args, [f"{side} w", f"{side} config"], unit="optim")

        alone = [
            [*begin(side), *(step(side, i) for i in range(_STEPS)),
             copied(f"{side} w", f"{side} alone")]
            for side in "AB"
        ]  # fmt: skip
        turns = [step(side, i) for i in range(_STEPS) for side in "AB"]
        steps = [*alone[0], *alone[1], *begin("A"), *begin("B"), *turns]
        extra = [f"{side} {word}" for side in "AB" for word in ("alone", "w")]
        held = inputs if given is None else {**inputs, "given": dict(given)}
        variants.append(Variant(label, held, steps, judge=_judge_turns, extra=extra))
    return _case(rule, name, variants, counts_alone=False)


def _judge_turns(values: Mapping[str, Any]) -> Verdict:
    for side in "AB":
        alone, now = values.get(f"{side} alone"), values.get(f"{side} w")
        if as_numbers(alone) is None:
            return Verdict(False, None, "the weights are no array of numbers")
        if not same(alone, now):
            when = "another parameter is stepped in turn with it"
            return Verdict(False, "state-shared", differs("w", alone, now, when))
    return Verdict(True)

"""Cases of the update rules: several steps against their formulas, the state, the defaults."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, ref
from handgrad.check.cases.in_turn import differs, same
from handgrad.check.verdict.hypotheses import as_numbers

READ = "the equations of the rule: python -m pydoc handgrad.optim.{rule}"
_STEPS = 4
Config = dict[str, Any]
Walk = Callable[[Array, Sequence[Array], Config], list[Array]]
"""The weights after each step, from these weights, gradients and hyperparameters."""

_DEFAULTS: dict[str, Config] = {
    "sgd": {"learning_rate": 1e-2},
    "sgd_momentum": {"learning_rate": 1e-2, "momentum": 0.9},
    "rmsprop": {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8},
    "adam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}
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
    for rule in _DEFAULTS:
        yield _steps_case(setting, rule)
        yield _defaults_case(setting, rule)
        if _STATE[rule]:
            yield _state_case(setting, rule)
        yield _unmodified_case(setting, rule)
        yield _types_case(setting, rule)
        yield _in_turn_case(setting, rule)


def _case(rule: str, name: str, variants: Sequence[Variant], **more: Any) -> Case:
    read, needs = READ.format(rule=rule), [("optim", rule)]
    return Case("optim", rule, name, variants, read, needs, unit="optim", **more)


# -- the rules, and the ways to get them wrong --------------------------------------------------


def _start(w: Array, given: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {name: np.zeros_like(w) for name in ("velocity", "cache", "m", "v")}
    return {**state, "t": 0, **given}


def _sgd(w: Array, gradients: Sequence[Array], c: Config, wrong: str = "") -> list[Array]:
    walked, first = [], w
    for dw in gradients:
        before = first if wrong == "state-not-kept" else w
        w = before + (1 if wrong == "sign" else -1) * c["learning_rate"] * dw
        walked.append(w)
    return walked


def _momentum(w: Array, gradients: Sequence[Array], c: Config, wrong: str = "") -> list[Array]:
    s, walked = _start(w, c), []
    rate, mu, velocity = c["learning_rate"], c["momentum"], s["velocity"]
    for dw in gradients:
        if wrong == "state-not-kept":
            velocity = s["velocity"]
        before = velocity
        velocity = mu * velocity - rate * dw
        if wrong == "minus velocity":
            velocity = -mu * before - rate * dw
        elif wrong == "ascent":
            velocity = mu * before + rate * dw
        elif wrong == "decay-swapped":
            velocity = (1 - mu) * before - rate * dw
        elif wrong == "averaged":
            velocity = mu * before - (1 - mu) * rate * dw
        w = w - velocity if wrong == "subtracted" else w + velocity
        walked.append(w)
    return walked


def _square(dw: Array, wrong: str) -> Array:
    if wrong == "magnitude":
        return np.abs(dw)
    return dw if wrong == "moment-not-squared" else dw * dw


def _rmsprop(w: Array, gradients: Sequence[Array], c: Config, wrong: str = "") -> list[Array]:
    s, walked = _start(w, c), []
    rate, decay, eps, cache = c["learning_rate"], c["decay_rate"], c["epsilon"], s["cache"]
    for dw in gradients:
        if wrong == "state-not-kept":
            cache = s["cache"]
        a, b = (1 - decay, decay) if wrong == "decay-swapped" else (decay, 1 - decay)
        if wrong == "no decay":
            a, b = 1.0, 1.0
        before = cache
        cache = a * cache + b * _square(dw, wrong)
        used = before if wrong == "old cache" else cache
        with np.errstate(all="ignore"):
            root = used if wrong == "no-root" else np.sqrt(used)
            below = np.sqrt(used + eps) if wrong == "eps inside" else root + eps
            below = root if wrong == "eps-missing" else below
            step = rate * dw / below
        w = w + step if wrong == "sign" else w - step
        walked.append(w)
    return walked


def _adam(w: Array, gradients: Sequence[Array], c: Config, wrong: str = "") -> list[Array]:
    s, walked = _start(w, c), []
    rate, eps, b1, b2 = c["learning_rate"], c["epsilon"], c["beta1"], c["beta2"]
    m, v, t = s["m"], s["v"], s["t"]
    for dw in gradients:
        if wrong == "state-not-kept":
            m, v, t = s["m"], s["v"], s["t"]
        t += 1
        if wrong == "t stands":
            t = s["t"] + 1
        if wrong == "moments stand":
            m, v = s["m"], s["v"]
        keep1, keep2 = {
            "decay-swapped": (1 - b1, 1 - b2), "first swapped": (1 - b1, b2),
            "second swapped": (b1, 1 - b2), "both beta1": (b1, b1), "both beta2": (b2, b2),
            "betas exchanged": (b2, b1),
        }.get(wrong, (b1, b2))  # fmt: skip
        m = keep1 * m + (1 - keep1) * dw
        v = keep2 * v + (1 - keep2) * _square(dw, wrong)
        used = {"t later": t - 1, "t twice": t + 1}.get(wrong, t)
        with np.errstate(all="ignore"):
            first = 1.0 if wrong in ("none", "only second") else 1 - b1**used
            second = 1.0 if wrong in ("none", "only first") else 1 - b2**used
            if wrong == "swapped corrections":
                first, second = second, first
            m_hat, v_hat = m / first, v / second
            root = v_hat if wrong == "no-root" else np.sqrt(v_hat)
            below = np.sqrt(v_hat + eps) if wrong == "eps inside" else root + eps
            below = root if wrong == "eps-missing" else below
            step = rate * m_hat / below
        if wrong == "kept corrected":
            m, v = m_hat, v_hat
        w = w + step if wrong == "sign" else w - step
        walked.append(w)
    return walked


_MISTAKES: dict[str, tuple[Callable[..., list[Array]], dict[str, tuple[str, ...]]]] = {
    "sgd": (_sgd, {"sign": ("sign",), "state-not-kept": ("state-not-kept",)}),
    "sgd_momentum": (
        _momentum,
        {
            "state-not-kept": ("state-not-kept",),
            "momentum-sign": ("minus velocity", "subtracted"),
            "sign": ("ascent",),
            "decay-swapped": ("decay-swapped",),
            "factor-other": ("averaged",),
        },
    ),
    "rmsprop": (
        _rmsprop,
        {
            "state-not-kept": ("state-not-kept",),
            "decay-swapped": ("decay-swapped",),
            "moment-not-squared": ("moment-not-squared", "magnitude"),
            "no-root": ("no-root",),
            "eps-missing": ("eps-missing",),
            "eps-inside-root": ("eps inside",),
            "sign": ("sign",),
            "factor-other": ("no decay", "old cache"),
        },
    ),
    "adam": (
        _adam,
        {
            "bias-correction": (
                "none", "t later", "t twice", "t stands", "only first", "only second",
                "swapped corrections", "kept corrected",
            ),
            "state-not-kept": ("state-not-kept", "moments stand"),
            "decay-swapped": (
                "decay-swapped", "first swapped", "second swapped", "both beta1", "both beta2",
                "betas exchanged",
            ),
            "moment-not-squared": ("moment-not-squared", "magnitude"),
            "no-root": ("no-root",),
            "eps-missing": ("eps-missing",),
            "eps-inside-root": ("eps inside",),
            "sign": ("sign",),
        },
    ),
}  # fmt: skip
_OTHER_DEFAULTS: dict[str, tuple[float, ...]] = {
    "learning_rate": (1.0, 1e-1, 1e-2, 1e-3, 1e-4),
    "momentum": (0.0, 0.5, 0.8, 0.95, 0.99),
    "decay_rate": (0.9, 0.95, 0.999),
    "beta1": (0.5, 0.95, 0.99, 0.999),
    "beta2": (0.9, 0.95, 0.99, 0.9999),
}


def _walks(rule: str, w: Array, gradients: Sequence[Array], given: Config) -> dict[str, Any]:
    """'right' and each mistake to the weights after each step."""
    walk, mistakes = _MISTAKES[rule]
    full = {**_DEFAULTS[rule], **given}
    walks: dict[str, Any] = {"right": walk(w, gradients, full)}
    for cause, kinds in mistakes.items():
        for k, kind in enumerate(kinds):
            walks[cause + k * " "] = walk(w, gradients, full, kind)
    if given:
        ignored = {**full, **_DEFAULTS[rule]}
        walks["config-ignored"] = walk(w, gradients, ignored)
    for name, value in _DEFAULTS[rule].items():
        if given and given.get(name, value) != value:
            walks["config-ignored" + "  " * len(walks)] = walk(w, gradients, {**full, name: value})
    for name, others in _OTHER_DEFAULTS.items():
        if name in full and name not in given:
            for other in others:
                walks["default-wrong" + " " * len(walks)] = walk(
                    w, gradients, {**full, name: other}
                )
    return walks


# -- cases --------------------------------------------------------------------------------------


def _rounds(rule: str, start: Any, steps: int) -> list[Step]:
    made: list[Step] = []
    for i in range(steps):
        config = start if i == 0 else ref("config")
        made.append(call(rule, [ref("w"), ref(f"dw{i}"), config], ["w", "config"], unit="optim"))
        made.append({"op": "copy", "of": "w", "save": f"w after step {i + 1}"})
    return made


def _variant(
    rule: str, label: str, w: Array, gradients: Sequence[Array], given: Config | None,
    dtype: str = "any",
) -> Variant:  # fmt: skip
    walks = _walks(rule, w.astype(np.float64), gradients, given or {})
    inputs: dict[str, Any] = {"w": w, **{f"dw{i}": dw for i, dw in enumerate(gradients)}}
    start: Any = None
    if given is not None:
        inputs["config"], start = dict(given), ref("config")
    wants = [
        Want(
            f"w after step {i + 1}",
            walks["right"][i],
            dtype,
            1e-7 if w.dtype == np.float64 else 2e-4,
            {cause: walk[i] for cause, walk in walks.items() if cause != "right"},
        )
        for i in range(len(gradients))
    ]
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
            steps: list[Step] = [{"op": "copy", "of": f"{side} start", "save": f"{side} w"}]
            if given is not None:
                steps.append({"op": "copy", "of": "given", "save": f"{side} config"})
            return steps

        def step(side: str, i: int, given: Config | None = given) -> Step:
            args = [f"{side} w", f"{side} dw{i}"]
            if given is not None or i > 0:
                args.append(f"{side} config")
            return call(rule, args, [f"{side} w", f"{side} config"], unit="optim")

        alone = [
            [*begin(side), *(step(side, i) for i in range(_STEPS)),
             {"op": "copy", "of": f"{side} w", "save": f"{side} alone"}]
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

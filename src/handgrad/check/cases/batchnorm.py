"""Cases of batch normalisation: training, testing, running statistics, both gradients."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check import references as right
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, ref
from handgrad.check.cases.pairs import Pair, Sample, pair_cases, tolerance_of
from handgrad.check.verdict.hypotheses import as_numbers

READ = 'handgrad/theory/batch_normalisation.md, "1.4 Batch normalisation"'
_EPS = 1e-5


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of batch norm, of features and of channels."""
    specs = [(7, 4), (5, 1), (3, 6)]
    yield from pair_cases(setting, _pair("", specs, _training))
    yield from _modes(setting, "", (7, 4))
    images = [(3, 2, 4, 5), (2, 3, 3, 3), (5, 1, 2, 2)]
    yield from pair_cases(setting, _pair("spatial_", images, _training))
    yield from _modes(setting, "spatial_", (3, 2, 4, 5))


def _pair(prefix: str, specs: list[Any], make: Any) -> Pair:
    forward, backward = f"{prefix}batchnorm_forward", f"{prefix}batchnorm_backward"
    args = ["x", "gamma", "beta", {"mode": "train"}]
    optional = prefix != ""
    return Pair("batchnorm", forward, backward, READ, args, specs, make, optional=optional)


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> dict[str, Array]:
    """Features of different means and scales; one small enough for eps to show."""
    C = shape[1]
    wide = (1, C) + (1,) * (len(shape) - 2)
    scale = np.resize([1.5, 0.01, 0.7, 3.0, 0.02, 1.0], C).reshape(wide)
    x = rng.standard_normal(shape) * scale + rng.uniform(-1, 1, C).reshape(wide)
    return {
        "x": x.astype(dtype),
        "gamma": rng.uniform(0.5, 2, C).astype(dtype),
        "beta": rng.standard_normal(C).astype(dtype),
        "dout": rng.standard_normal(shape).astype(dtype),
    }


def _rows(x: Array) -> Array:
    """As rows of features, (N * H * W, C)."""
    return right.wide(x if x.ndim == 2 else right.per_channel(x))


def _back(rows: Array, like: Array) -> Array:
    """Rows of features in the shape of x."""
    return rows if like.ndim == 2 else right.as_images(rows, like.shape)


def _training(rng: np.random.Generator, shape: Any, dtype: str) -> Sample:
    inputs = draw(rng, shape, dtype)
    x, gamma, beta = _rows(inputs["x"]), right.wide(inputs["gamma"]), right.wide(inputs["beta"])
    dout = _rows(inputs["dout"])
    N = len(x)
    mean, var = x.mean(axis=0), x.var(axis=0)

    def out(mean: Array, var: Array, eps: float = _EPS) -> Array:
        return _back(right.batchnorm_forward(x, gamma, beta, mean, var, eps), inputs["x"])

    deviation, root = np.sqrt(var + _EPS), np.sqrt(var)
    wrong_out = {
        "unbiased-variance": out(mean, var * N / (N - 1)),
        "eps-outside-root": out(mean, (root + _EPS) ** 2, 0.0),
        "eps-missing": out(mean, var, 0.0),
        "variance-for-deviation": out(mean, (var + _EPS) ** 2, 0.0),
        "train-uses-running-statistics": out(np.zeros_like(mean), np.zeros_like(var)),
        "train-uses-running-statistics ": out(0.1 * mean, 0.1 * var),
        "wrong-axis ": out(np.full_like(mean, x.mean()), np.full_like(var, x.var())),
        "gamma-ignored": _back((x - mean) / deviation + beta, inputs["x"]),
        "bias-ignored": _back(gamma * (x - mean) / deviation, inputs["x"]),
    }
    if inputs["x"].ndim == 4:
        pixels = right.wide(inputs["x"])
        normal = (pixels - pixels.mean(axis=0)) / np.sqrt(pixels.var(axis=0) + _EPS)
        wrong_out["not-per-channel"] = gamma[:, None, None] * normal + beta[:, None, None]
        mixed = pixels.reshape(x.shape)  # channels never moved last
        wrong_out["not-per-channel "] = right.batchnorm_forward(
            mixed, gamma, beta, mixed.mean(axis=0), mixed.var(axis=0), _EPS
        ).reshape(pixels.shape)
    else:
        across = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + _EPS)
        wrong_out["wrong-axis"] = gamma * across + beta
    dx, dgamma, dbeta = right.batchnorm_backward(dout, x, gamma, _EPS)
    ones = right.batchnorm_backward(np.ones_like(dout), x, gamma, _EPS)
    d_hat, centred = dout * gamma, x - mean
    hat = centred / deviation
    through_variance = hat * (d_hat * hat).sum(axis=0) / N / deviation
    wrong_dx = {
        "batch-mean-gradient-missing": d_hat / deviation,
        "variance-gradient-missing": (d_hat - d_hat.mean(axis=0)) / deviation,
        "mean-gradient-missing": d_hat / deviation - through_variance,
        "gamma-ignored": right.batchnorm_backward(dout, x, np.ones_like(gamma), _EPS)[0],
        "upstream-ignored": ones[0],
        "unbiased-variance": _unbiased_dx(dout, x, gamma),
    }
    if N > 2:
        wrong_dx["averaged-not-summed"] = (
            d_hat - d_hat.mean(axis=0) / N - hat * (d_hat * hat).mean(axis=0) / N
        ) / deviation
    wrong_dgamma = {
        "upstream-ignored": ones[1],
        "averaged-not-summed": dgamma / N,
        "variance-for-deviation": (dout * centred / (var + _EPS)).sum(axis=0),
        "missing-mask": dbeta,
        "summed-over-wrong-index": (dout * x).sum(axis=0),
        "wrong-axis": (dout * hat).sum(axis=1),
        "gamma-ignored": (dout * gamma * hat).sum(axis=0),
    }
    wrong_dbeta = {
        "averaged-not-summed": dbeta / N,
        "upstream-ignored": ones[2],
        "wrong-axis": dout.sum(axis=1),
        "gamma-ignored": d_hat.sum(axis=0),
    }
    shape_shown = "x".join(map(str, shape))
    return Sample(
        label=f"x {shape_shown}, {dtype}",
        inputs=inputs,
        out=out(mean, var),
        gradients={"x": _back(dx, inputs["x"]), "gamma": dgamma, "beta": dbeta},
        numbers={"N": N, "C": shape[1]},
        wrong_out=wrong_out,
        wrong={
            "x": {cause: _back(value, inputs["x"]) for cause, value in wrong_dx.items()},
            "gamma": {k: v for k, v in wrong_dgamma.items() if k != "missing-mask"},
            "beta": wrong_dbeta,
        },
    )


def _unbiased_dx(dout: Array, x: Array, gamma: Array) -> Array:
    """The right gradient of the wrong forward: variance divided by N - 1."""
    N = len(x)
    centred = x - x.mean(axis=0)
    deviation = np.sqrt(x.var(axis=0) * N / (N - 1) + _EPS)
    d_hat = dout * gamma
    spread = (d_hat * centred).sum(axis=0) / ((N - 1) * deviation**2)
    result: Array = (d_hat - d_hat.mean(axis=0) - centred * spread) / deviation
    return result


def _modes(setting: Setting, prefix: str, shape: tuple[int, ...]) -> Iterator[Case]:
    """Running statistics, test mode, and the backward after it."""
    forward, backward = f"{prefix}batchnorm_forward", f"{prefix}batchnorm_backward"
    common = {"read": READ, "optional": prefix != ""}
    needs = [("layers", forward)]
    yield Case(
        "batchnorm", forward, "running statistics", _running(setting, forward, shape),
        needs=needs, **common,  # type: ignore[arg-type]
    )  # fmt: skip
    yield Case(
        "batchnorm", forward, "test mode",
        [*_test(setting, forward, backward, shape, False), _test_at_first(setting, forward, shape)],
        needs=needs, **common,  # type: ignore[arg-type]
    )  # fmt: skip
    yield Case(
        "batchnorm", forward, "test mode leaves the running statistics alone",
        [_test_keeps(setting, forward, shape)], needs=needs, counts_alone=False,
        **common,  # type: ignore[arg-type]
    )  # fmt: skip
    yield Case(
        "batchnorm", forward, "a constant feature gives beta",
        [_constant(setting, forward, shape)], needs=needs, **common,  # type: ignore[arg-type]
    )  # fmt: skip
    needs = [("layers", backward), ("layers", forward)]
    yield Case(
        "batchnorm", backward, "after a test-mode forward",
        _test(setting, forward, backward, shape, True), needs=needs, **common,  # type: ignore[arg-type]
    )  # fmt: skip


def _running(setting: Setting, forward: str, shape: tuple[int, ...]) -> list[Variant]:
    """Three training batches through one bn_param; then what it holds."""
    rng = setting.rng(forward, "running statistics")
    variants = []
    for label, start, momentum in (
        ("from nothing, momentum by default", None, None),
        ("from given statistics, momentum 0.75", 0.5, 0.75),
    ):
        batches = [draw(rng, shape, "float64") for _ in range(3)]
        C = shape[1]
        param: dict[str, Any] = {"mode": "train"}
        mean, var = np.zeros(C), np.zeros(C)
        if start is not None:
            mean, var = rng.standard_normal(C), rng.uniform(0.5, 2, C)
            param |= {"running_mean": mean.copy(), "running_var": var.copy()}
        if momentum is not None:
            param["momentum"] = momentum
        decay = 0.9 if momentum is None else momentum
        states = _statistics(batches, mean, var, decay)
        inputs: dict[str, Any] = {f"x{i}": batch["x"] for i, batch in enumerate(batches)}
        inputs |= {"gamma": batches[0]["gamma"], "beta": batches[0]["beta"], "param": param}
        steps: list[Step] = [
            call(forward, [f"x{i}", "gamma", "beta", ref("param")], ["out", "cache"])
            for i in range(3)
        ]
        wants = []
        for key in ("running_mean", "running_var"):
            steps.append({"op": "item", "on": "param", "key": key, "save": key})
            value = states["right"][key]
            wrong = {cause: state[key] for cause, state in states.items() if cause != "right"}
            wants.append(Want(key, value, "float64", wrong=wrong, label=f"bn_param['{key}']"))
        wants_given = {"N": batches[0]["x"].size // C}

        def kept(values: Mapping[str, Any]) -> Verdict | None:
            if values.get("running_mean") is None or values.get("running_var") is None:
                return Verdict(
                    False, "running-statistics-not-kept", "bn_param holds no running statistics"
                )
            return None

        variants.append(Variant(label, inputs, steps, wants, wants_given, judge=kept))
    return variants


def _statistics(
    batches: list[dict[str, Array]], mean: Array, var: Array, decay: float
) -> dict[str, dict[str, Array]]:
    """The running statistics after these batches, right and in well-known wrong ways."""
    rows = [_rows(batch["x"]) for batch in batches]
    N = len(rows[0])

    def moved(decay: float, spread: Any) -> dict[str, Array]:
        m, v = mean, var
        for x in rows:
            m = decay * m + (1 - decay) * x.mean(axis=0)
            v = decay * v + (1 - decay) * spread(x)
        return {"running_mean": m, "running_var": v}

    last = rows[-1]
    return {
        "right": moved(decay, lambda x: x.var(axis=0)),
        "running-momentum-swapped": moved(1 - decay, lambda x: x.var(axis=0)),
        "unbiased-variance": moved(decay, lambda x: x.var(axis=0) * N / (N - 1)),
        "variance-for-deviation": moved(decay, lambda x: np.sqrt(x.var(axis=0) + _EPS)),
        "variance-for-deviation ": moved(decay, lambda x: x.std(axis=0)),
        "running-statistics-not-kept": {"running_mean": mean, "running_var": var},
        "running-statistics-not-kept ": {
            "running_mean": decay * mean + (1 - decay) * last.mean(axis=0),
            "running_var": decay * var + (1 - decay) * last.var(axis=0),
        },
    }


def given(setting: Setting, forward: str, name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Inputs of a test-mode layer, with running statistics."""
    rng = setting.rng(forward, f"{name} {dtype}")
    inputs: dict[str, Any] = draw(rng, shape, dtype)
    mean = rng.standard_normal(shape[1]).astype(dtype)
    var = rng.uniform(0.2, 2, shape[1]).astype(dtype)
    var[-1] = 1e-4  # so that eps shows
    inputs["param"] = {"mode": "test", "running_mean": mean, "running_var": var}
    return inputs


def _test(
    setting: Setting, forward: str, backward: str, shape: tuple[int, ...], gradients: bool
) -> list[Variant]:
    variants = []
    for dtype in ("float64", "float32"):
        name = "after a test-mode forward" if gradients else "test mode"
        inputs = given(setting, forward, name, shape, dtype)
        x, gamma, beta = _rows(inputs["x"]), right.wide(inputs["gamma"]), inputs["beta"]
        dout = _rows(inputs["dout"])
        mean = right.wide(inputs["param"]["running_mean"])
        var = right.wide(inputs["param"]["running_var"])
        N = len(x)

        def out(
            m: Array, v: Array, eps: float = _EPS, *, x: Any = x, gamma: Any = gamma,
            beta: Any = beta, like: Any = inputs["x"],
        ) -> Array:  # fmt: skip
            return _back(right.batchnorm_forward(x, gamma, beta, m, v, eps), like)

        steps: list[Step] = [call(forward, ["x", "gamma", "beta", ref("param")], ["out", "cache"])]
        tolerance = tolerance_of(dtype)
        if not gradients:
            wrong = {
                "test-uses-batch-statistics": out(x.mean(axis=0), x.var(axis=0)),
                "variance-for-deviation": out(mean, (var + _EPS) ** 2, 0.0),
                "variance-for-deviation ": out(mean, var**2, 0.0),
                "eps-outside-root": out(mean, (np.sqrt(var) + _EPS) ** 2, 0.0),
                "eps-missing": out(mean, var, 0.0),
                "gamma-ignored": _back((x - mean) / np.sqrt(var + _EPS) + beta, inputs["x"]),
                "bias-ignored": _back(gamma * (x - mean) / np.sqrt(var + _EPS), inputs["x"]),
                "unbiased-variance": out(mean, var * N / (N - 1)),
                "running-statistics-not-kept": out(np.zeros_like(mean), np.zeros_like(var)),
            }
            wants = [Want("out", out(mean, var), dtype, tolerance, wrong)]
        else:
            steps.append(call(backward, ["dout", "cache"], ["dx", "dgamma", "dbeta"]))
            hat = (x - mean) / np.sqrt(var + _EPS)
            batch_dx, batch_dgamma, _ = right.batchnorm_backward(dout, x, gamma, _EPS)
            training = _back(batch_dx, inputs["x"])
            dx = _back(dout * gamma / np.sqrt(var + _EPS), inputs["x"])
            mixed = dout * gamma / np.sqrt(var + _EPS)
            mixed = mixed - mixed.mean(axis=0) - hat * (mixed * hat).mean(axis=0)
            wrong_dx = {
                "test-backward-wrong": training,
                "test-backward-wrong ": _back(mixed, inputs["x"]),
                "gamma-ignored": _back(dout / np.sqrt(var + _EPS), inputs["x"]),
                "test-uses-batch-statistics": _back(
                    dout * gamma / np.sqrt(x.var(axis=0) + _EPS), inputs["x"]
                ),
            }
            wants = [
                Want("dx", dx, dtype, tolerance, wrong_dx),
                Want("dgamma", (dout * hat).sum(axis=0), dtype, tolerance,
                     {"test-uses-batch-statistics": batch_dgamma}),
                Want("dbeta", dout.sum(axis=0), dtype, tolerance),
            ]  # fmt: skip
        shown = "x".join(map(str, shape))
        variants.append(Variant(f"x {shown}, {dtype}", inputs, steps, wants, {"N": N}))
    return variants


def _test_keeps(setting: Setting, forward: str, shape: tuple[int, ...]) -> Variant:
    inputs = given(setting, forward, "test keeps", shape, "float64")
    steps: list[Step] = [call(forward, ["x", "gamma", "beta", ref("param")], ["out", "cache"])]
    for key in ("running_mean", "running_var"):
        steps.append({"op": "item", "on": "param", "key": key, "save": key})

    def look(values: Mapping[str, Any]) -> Verdict:
        for key in ("running_mean", "running_var"):
            after = as_numbers(values.get(key))
            if after is None or not np.array_equal(after, inputs["param"][key]):
                return Verdict(
                    False, "test-moves-statistics", f"a test-mode pass moves bn_param['{key}']"
                )
        return Verdict(True)

    extra = ["running_mean", "running_var"]
    return Variant("float64", inputs, steps, judge=look, extra=extra)


def _test_at_first(setting: Setting, forward: str, shape: tuple[int, ...]) -> Variant:
    """Before any training the statistics are zeros, of x's dtype."""
    inputs: dict[str, Any] = draw(setting.rng(forward, "at first"), shape, "float32")
    inputs["param"] = {"mode": "test"}
    rows, gamma, beta = _rows(inputs["x"]), right.wide(inputs["gamma"]), inputs["beta"]
    zeros = np.zeros(shape[1])
    out = right.batchnorm_forward(rows, gamma, beta, zeros, zeros, _EPS)
    steps: list[Step] = [call(forward, ["x", "gamma", "beta", ref("param")], ["out", "cache"])]
    want = Want("out", _back(out, inputs["x"]), "float32", tolerance_of("float32"))
    return Variant("no running statistics yet, float32", inputs, steps, [want])


def _constant(setting: Setting, forward: str, shape: tuple[int, ...]) -> Variant:
    """Zero variance: eps alone stands under the root."""
    rng = setting.rng(forward, "constant")
    inputs: dict[str, Any] = draw(rng, shape, "float64")
    inputs["x"][:, 0] = 3.0
    rows, gamma, beta = _rows(inputs["x"]), inputs["gamma"], inputs["beta"]
    out = right.batchnorm_forward(rows, gamma, beta, rows.mean(axis=0), rows.var(axis=0), _EPS)
    steps: list[Step] = [call(forward, ["x", "gamma", "beta", {"mode": "train"}], ["out", "cache"])]
    no_eps = np.array(out)
    no_eps[:, 0] = np.nan
    wrong = {"eps-missing": _back(no_eps, inputs["x"])}
    want = Want("out", _back(out, inputs["x"]), "float64", 1e-6, wrong)
    return Variant("feature 0 is 3 everywhere", inputs, steps, [want])

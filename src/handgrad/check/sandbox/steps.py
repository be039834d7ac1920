"""A case's steps, carried out on the submission: calls, attributes, differences; no judging.

A request holds ``variants``: each has inputs (name to array), steps and the names to give back.
The modules that the steps use are imported before the first step: what an import does (seed a
generator, take its time) is no function's doing. An exception ends its variant, not the others.
Imports nothing of handgrad: the child loads this file by its path.
"""

import copy
import hashlib
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

try:
    import _check_failures as _failures  # type: ignore[import-not-found]
    import _check_probe as _probe  # type: ignore[import-not-found]
except ImportError:  # in the parent, which asks the reference
    from handgrad.check.sandbox import failures as _failures, probe as _probe


def run(request: dict[str, Any], ready: Callable[[], None]) -> dict[str, Any]:
    """Import the modules, call ``ready``, run every variant, and give back the wanted values."""
    if request.get("list"):
        found = {unit: _names(name) for unit, name in request["modules"].items()}
        ready()
        return {"modules": found}
    context = Context(request["modules"], request["aliases"])
    for unit in dict.fromkeys(_units([variant["steps"] for variant in request["variants"]])):
        context.load(unit)
    ready()
    return {"variants": [context.variant(variant) for variant in request["variants"]]}


def _units(steps: Any) -> Iterator[str]:
    """The modules that steps use, those of steps within steps, too."""
    if isinstance(steps, dict):
        if isinstance(steps.get("unit"), str):
            yield steps["unit"]
        steps = list(steps.values())
    if isinstance(steps, list | tuple):
        for step in steps:
            yield from _units(step)


def _names(module: str) -> dict[str, Any]:
    """What a module defines, or why it cannot be imported."""
    try:
        found = importlib.import_module(module)
        names = [name for name in dir(found) if callable(getattr(found, name, None))]
        return {"names": names[:2000]}
    except BaseException as error:
        return {"error": _failures.described(error)}


class Context:
    """The submission's modules; each is imported before any function of it is called."""

    def __init__(self, modules: Mapping[str, str], aliases: Mapping[str, list[str]]) -> None:
        self.modules, self.aliases = modules, aliases
        self.loaded: dict[str, ModuleType | BaseException] = {}

    def load(self, unit: str) -> None:
        """Import a module; what it raises is kept for the steps that use it."""
        if unit in self.modules:
            try:
                self.loaded[unit] = importlib.import_module(self.modules[unit])
            except BaseException as error:
                self.loaded[unit] = error

    def find(self, unit: str, name: str) -> Any:
        """Return the submission's function or class of this name, or of an alias of it."""
        module = self.loaded.get(unit)
        if module is None:
            raise _failures.Absent(f"there is no {unit}.py")
        if isinstance(module, BaseException):
            raise module
        for alias in self.aliases.get(name, [name]):
            if hasattr(module, alias):
                found = getattr(module, alias)
                if _failures.is_empty(found):
                    raise _failures.Unwritten(f"{name} is an empty class")
                return found
        raise _failures.Absent(f"{unit}.py has no {name}")

    def variant(self, variant: dict[str, Any]) -> dict[str, Any]:
        """Run one variant; on an exception, give it and what there was by then."""
        error, env = self.carry_out(variant)
        values = {name: env[name] for name in variant["returns"] if name in env}
        return {"error": error, "values": values}

    def carry_out(self, variant: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Carry out a variant's steps: (the exception that ended them, all values by name)."""
        env: dict[str, Any] = dict(variant["inputs"])
        for number, step in enumerate(variant["steps"]):
            try:
                with np.errstate(all="ignore"):
                    self.step(step, env)
            except BaseException as error:
                doing = _doing(step)
                return {**_failures.described(error), "step": number, "doing": doing}, env
        return None, env

    def step(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Carry out one step."""
        getattr(self, "do_" + step["op"])(step, env)

    def do_call(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Call a function of the submission."""
        function = self.find(step["unit"], step["name"])
        result = function(*_values(step, env), **_keywords(step, env))
        if not step.get("stateless"):
            result = _failures.constructed(function, result)
        self._keep(step, env, result)

    def do_method(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Call a method of an object of the submission's."""
        owner, name = env[step["on"]], step["name"]
        if not hasattr(owner, name):
            raise _failures.Absent(f"{type(owner).__name__} has no {name}")
        self._keep(
            step, env, getattr(owner, name)(*_values(step, env), **_keywords(step, env))
        )  # fmt: skip

    def _keep(self, step: dict[str, Any], env: dict[str, Any], result: Any) -> None:
        names = step.get("save")
        if names:
            _failures.written(step["name"], names, result)
        if isinstance(names, str):
            env[names] = result
        elif names:
            if not isinstance(result, tuple | list) or len(result) != len(names):
                got = type(result).__name__
                if isinstance(result, tuple | list):
                    got += f" of {len(result)}"
                raise _failures.Surprise(
                    f"{step['name']} should return ({', '.join(names)}); got a {got}"
                )
            env.update(zip(names, result, strict=True))

    def do_attribute(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Read an attribute; lists are copied."""
        env[step["save"]] = copy.deepcopy(getattr(env[step["on"]], step["name"]))

    def do_parameters(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Give a model these parameters, in the dtype that its own have."""
        params = env[step["on"]].params
        for name, value in step["values"].items():
            params[name] = value.astype(params[name].dtype) if name in params else value

    def do_copy(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Keep a value as it is now."""
        env[step["save"]] = copy.deepcopy(env[step["of"]])

    def do_item(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Take an item out of a dict; None where it is absent."""
        env[step["save"]] = copy.deepcopy(env[step["on"]].get(step["key"]))

    def do_let(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Make a value: a dict or list of others, a number, text."""
        env[step["save"]] = _value(step["value"], env)

    def do_set(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Set what a path of attributes and keys leads to."""
        *above, (kind, last) = step["path"]
        owner = env[step["on"]]
        for how, name in above:
            owner = getattr(owner, name) if how == "attribute" else owner[name]
        value = _value(step["value"], env)
        if kind == "attribute":
            setattr(owner, last, value)
        else:
            owner[last] = value

    def do_seed(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Seed NumPy's global generator."""
        np.random.seed(step["value"])  # noqa: NPY002 (the course's generator)

    def do_global_state(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Give a fingerprint of NumPy's global generator."""
        state: Any = np.random.get_state()  # noqa: NPY002
        digest = hashlib.sha256(state[1].tobytes()).hexdigest()
        env[step["save"]] = f"{digest[:16]} {state[2]}"

    def do_differences(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Central differences of sum(of * upstream) by an input, through the submission's steps."""
        start, h = env[step["by"]], step["h"]
        upstream = env[step["upstream"]] if step["upstream"] else 1.0
        gradient = np.zeros(start.size)
        for i in range(start.size):
            sides = []
            for delta in (h, -h):
                moved = start.copy()
                moved.reshape(-1)[i] += delta
                inner = {**env, step["by"]: moved}
                for inside in step["steps"]:
                    self.step(inside, inner)
                sides.append(float(np.sum(inner[step["of"]] * upstream)))
            gradient[i] = (sides[0] - sides[1]) / (2 * h)
        env[step["save"]] = gradient.reshape(start.shape)

    def do_make(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Make an object with the first of several sets of keywords that its class takes."""
        function = self.find(step["unit"], step["name"])
        for number, keywords in enumerate(step["choices"]):
            try:
                made = function(**_value(step["kwargs"], env), **keywords)
            except (TypeError, ValueError, AttributeError, KeyError, NameError):
                if number == len(step["choices"]) - 1:
                    raise
                continue
            made = _failures.constructed(function, made)
            env[step["save"]], env[step["save"] + " choice"] = made, number
            return

    def do_refuse(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Carry out a step that should raise an exception; keep its type and text."""
        try:
            self.step(step["step"], env)
        except (NotImplementedError, _failures.Absent, ImportError):
            raise  # not written yet, or a package is not there: that is no refusal
        except Exception as error:
            env[step["save"]] = {"type": type(error).__name__, "text": str(error)[:500]}
        else:
            env[step["save"]] = None

    def do_model_differences(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """A model's gradients, and central differences of its own loss at some entries.

        Each evaluation is on a copy of the model after the same seed: the same dropout masks.
        """
        model, X, y, h = env[step["on"]], env[step["X"]], env[step["y"]], step["h"]

        def evaluate(name: str | None = None, index: int = 0, delta: float = 0.0) -> Any:
            other = copy.deepcopy(model)
            if name is not None:
                moved = np.array(other.params[name], order="C")
                moved.reshape(-1)[index] += delta
                other.params[name] = moved
            np.random.seed(step["seed"])  # noqa: NPY002
            return _failures.written("loss", ["loss", "grads"], other.loss(X, y))

        _, grads = evaluate()
        found: dict[str, Any] = {}
        for name in sorted(model.params):
            size = np.size(model.params[name])
            chosen = np.unique(np.linspace(0, size - 1, min(size, step["samples"])).astype(int))
            numeric = [
                (float(evaluate(name, i, h)[0]) - float(evaluate(name, i, -h)[0])) / (2 * h)
                for i in chosen.tolist()
            ]
            given = grads.get(name)
            found[name] = {
                "index": chosen,
                "numeric": np.array(numeric),
                "analytic": None if given is None else np.asarray(given).reshape(-1)[chosen],
                "same shape": given is not None and np.shape(given) == np.shape(model.params[name]),
            }
        env[step["save"]] = found

    def do_record(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Keep scores and parameters at every test-mode pass of a model over these rows."""
        model, X = env[step["on"]], env[step["X"]]
        inner, kept = model.loss, env.setdefault(step["save"], [])

        def loss(given: Any, y: Any = None) -> Any:
            result = inner(given) if y is None else inner(given, y)
            _failures.written("loss", "scores" if y is None else ["loss", "grads"], result)
            if y is None and np.shape(given) == X.shape and np.array_equal(given, X):
                kept.append({"scores": np.array(result), "params": copy.deepcopy(model.params)})
            return result

        model.loss = loss

    def do_probe(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Make the recording model."""
        env[step["save"]] = _probe.Probe(
            step["classes"], step["plan"], step["steps"], step.get("second", False)
        )  # fmt: skip

    def do_timed(self, step: dict[str, Any], env: dict[str, Any]) -> None:
        """Time some steps, in seconds; where a trial says that it takes long, estimate them.

        A trial carries the steps out on two numbers of rows of some inputs, and what a row more
        takes is taken for all rows. Its values are left then, and the number of rows in 'tried'.
        """
        trial = step.get("trial")
        if trial is not None:
            inner, spans = env, []
            for count in trial["counts"]:
                inner = {**env, **{name: env[name][:count] for name in trial["of"]}}
                spans.append(self._seconds(step["steps"], inner))
            few, many = trial["counts"]
            each = max(0.0, spans[1] - spans[0]) / (many - few)
            estimate = spans[1] + each * (trial["all"] - many)
            if estimate > trial["enough"]:
                env.update({name: inner[name] for name in inner if name not in trial["of"]})
                env[step["save"]], env["tried"] = estimate, many
                return
        env[step["save"]] = self._seconds(step["steps"], env)

    def _seconds(self, steps: list[dict[str, Any]], env: dict[str, Any]) -> float:
        """Of the processor: what else runs on this computer is no fault of the submission."""
        started = time.process_time()
        for inside in steps:
            self.step(inside, env)
        return time.process_time() - started


def _doing(step: dict[str, Any]) -> str:
    return str(step.get("name") or next((_doing(s) for s in step.get("steps", [])), step["op"]))


def _value(value: Any, env: dict[str, Any]) -> Any:
    """Replace {'$': name} by the value of that name, {'dtype': 'float32'} by numpy.float32."""
    if isinstance(value, dict):
        if set(value) == {"$"}:
            return env[value["$"]]
        if set(value) == {"dtype"}:
            return {"float32": np.float32, "float64": np.float64}[value["dtype"]]
        return {key: _value(item, env) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_value(item, env) for item in value)
    return value


def _values(step: dict[str, Any], env: dict[str, Any]) -> list[Any]:
    return [_value(item, env) for item in step.get("args", [])]


def _keywords(step: dict[str, Any], env: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(item, env) for name, item in step.get("kwargs", {}).items()}

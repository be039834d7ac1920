"""The page's arithmetic in Node: cases in, answers out, and what a case is made of."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from node import NODE, PAGE, version

from handgrad import network_spec
from handgrad.descriptions import Context
from handgrad.network_losses import LOSSES

SCRIPT = Path(__file__).parents[1] / "show" / "arithmetic.mjs"

needs_node = pytest.mark.skipif(version() < 18, reason="Node.js 18 or newer is not installed")


def answers(cases):
    """Run cases in one process; an error in one is an error here."""
    lines = "".join(json.dumps(case, default=_plain) + "\n" for case in cases)
    run = subprocess.run(
        [NODE, str(SCRIPT), str(PAGE)], input=lines, capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(found) == len(cases), run.stderr
    return found


def answer(run, **case):
    """Run one case."""
    (found,) = answers([{"run": run, **case}])
    return found


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    return np.asarray(value).tolist()


def array(found):
    """Give an array of an answer as NumPy has it."""
    return np.array([float(value) for value in found["data"]]).reshape(found["shape"])


def described(network):
    """Give what the page needs of a network: its description and its arrays."""
    arrays = {**network.params, **network.state}
    return {
        "description": network_spec.to_spec(network),
        "arrays": {name: each.ravel().tolist() for name, each in arrays.items()},
    }


def traced(network, X, y, mode):
    """Give what `Network.loss` computes on the way: outputs, loss, gradients of all arrays."""
    context = Context(mode, network.rng)
    out, outs, caches = network.examples(X), [], []
    for layer, names in network.named_layers:
        out, cache = layer.forward(network.cast(out), network.arrays_of(names), context)
        outs.append(out)
        caches.append(cache)
        network.keep_moved(names, context)
    loss, dx = LOSSES[network.loss_name].function(out, y, **network.loss_options)
    scores, params, inputs = dx, {}, []
    for (layer, names), cache in zip(reversed(network.named_layers), reversed(caches), strict=True):
        dx, own = layer.backward(network.cast(dx), cache, need_dx=True)
        params |= {names[key]: gradient for key, gradient in own.items()}
        inputs.insert(0, dx)
    for name in network.penalised if network.reg else ():
        w = network.params[name]
        loss += 0.5 * network.reg * float(np.square(w, dtype=np.float64).sum())
        params[name] = params[name] + network.reg * w
    return {"outs": outs, "loss": loss, "params": params, "inputs": inputs, "scores": scores}


def close(found, expected, tolerance=1e-5, scale=None):
    """Hold an answer's array to another: to a share of its largest entry, or of a larger scale."""
    expected = np.asarray(expected, np.float64)
    found = array(found)
    assert found.shape == expected.shape
    scale = max(1e-3, np.abs(expected).max(initial=0)) if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)

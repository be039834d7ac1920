"""Ours against PyTorch's numbers, to 1e-10: frozen in a fixture, and live where torch is installed.

The fixture is written by tools/make_torch_fixture.py, which also defines every case.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from handgrad import layers, optim

ROOT = Path(__file__).resolve().parents[2]


def frozen_cases():
    return json.loads((ROOT / "tests" / "fixtures" / "torch_numbers.json").read_text())["cases"]


def live_cases():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: pip install -e '.[torch]' to compare live")
    path = ROOT / "tools" / "make_torch_fixture.py"
    spec = importlib.util.spec_from_file_location("make_torch_fixture", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.compute()


@pytest.fixture(scope="module", params=["frozen", "live"])
def cases(request):
    return frozen_cases() if request.param == "frozen" else live_cases()


def layer(name, inputs, *arguments, **options):
    """Run the pair `name`_forward and `name`_backward; return {"out": ..., "dx": ..., ...}."""
    forward, backward = getattr(layers, f"{name}_forward"), getattr(layers, f"{name}_backward")
    arrays = [np.array(inputs[argument]) for argument in arguments]
    out, cache = forward(*arrays, *options.pop("parameters", ()), **options)
    gradients = backward(np.array(inputs["dout"]), cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    named = {f"d{argument}": g for argument, g in zip(arguments, gradients, strict=True)}
    return {"out": out, **named}


def conv(inputs):
    return layer("conv", inputs, "x", "w", stride=inputs["stride"], padding=inputs["padding"])


def max_pool(inputs):
    param = {key: inputs[key] for key in ("pool_height", "pool_width", "stride")}
    return layer("max_pool", inputs, "x", parameters=[param])


def avg_pool(inputs):
    param = {key: inputs[key] for key in ("pool_height", "pool_width", "stride")}
    return layer("avg_pool", inputs, "x", parameters=[param])


def layernorm(inputs):
    return layer("layernorm", inputs, "x", "gamma", "beta", parameters=[{"eps": inputs["eps"]}])


def batchnorm(name, inputs):
    param = {key: inputs[key] for key in ("mode", "eps", "momentum")}
    param |= {key: np.array(inputs[key]) for key in ("running_mean", "running_var")}
    results = layer(name, inputs, "x", "gamma", "beta", parameters=[param])
    return {**results, "running_mean": param["running_mean"]}


def loss(name, inputs):
    function = getattr(layers, f"{name}_loss")
    given = {key: np.array(value) for key, value in inputs.items()}
    value, dx = function(given.pop("x"), given.pop("y"), **given)
    return {"loss": value, "dx": dx}


def rule(name, inputs):
    w, config, path = np.array(inputs["w"]), None, []
    for dw in np.array(inputs["gradients"]):
        w, config = getattr(optim, name)(w, dw, config)
        path.append(w)
    return {"path": np.array(path)}


OURS = {
    "fc": lambda inputs: layer("fc", inputs, "x", "w", "b"),
    "relu": lambda inputs: layer("relu", inputs, "x"),
    "sigmoid": lambda inputs: layer("sigmoid", inputs, "x"),
    "conv": conv,
    "conv_1x1": conv,
    "conv_full_image": conv,
    "conv_stride_padding": conv,
    "max_pool": max_pool,
    "max_pool_overlap_border": max_pool,
    "max_pool_ties": max_pool,
    "batchnorm_train": lambda inputs: batchnorm("batchnorm", inputs),
    "batchnorm_test": lambda inputs: batchnorm("batchnorm", inputs),
    "spatial_batchnorm_train": lambda inputs: batchnorm("spatial_batchnorm", inputs),
    "spatial_batchnorm_test": lambda inputs: batchnorm("spatial_batchnorm", inputs),
    "logistic": lambda inputs: loss("logistic", inputs),
    "logistic_extreme": lambda inputs: loss("logistic", inputs),
    "svm": lambda inputs: loss("svm", inputs),
    "svm_extreme": lambda inputs: loss("svm", inputs),
    "softmax": lambda inputs: loss("softmax", inputs),
    "softmax_extreme": lambda inputs: loss("softmax", inputs),
    "tanh": lambda inputs: layer("tanh", inputs, "x"),
    "leaky_relu": lambda inputs: layer("leaky_relu", inputs, "x", slope=inputs["slope"]),
    "gelu": lambda inputs: layer("gelu", inputs, "x"),
    "gelu_tanh": lambda inputs: layer("gelu", inputs, "x", approximate=True),
    "silu": lambda inputs: layer("silu", inputs, "x"),
    "avg_pool": avg_pool,
    "avg_pool_overlap_border": avg_pool,
    "global_avg_pool": lambda inputs: layer("global_avg_pool", inputs, "x"),
    "layernorm": layernorm,
    "layernorm_images": layernorm,
    "mse": lambda inputs: loss("mse", inputs),
    "mse_columns": lambda inputs: loss("mse", inputs),
    "mae": lambda inputs: loss("mae", inputs),
    "huber": lambda inputs: loss("huber", inputs),
    "huber_extreme": lambda inputs: loss("huber", inputs),
    "multilabel": lambda inputs: loss("multilabel", inputs),
    "softmax_smoothed": lambda inputs: loss("softmax", inputs),
    "softmax_weighted": lambda inputs: loss("softmax", inputs),
    "softmax_smoothed_weighted": lambda inputs: loss("softmax", inputs),
    "logistic_weighted": lambda inputs: loss("logistic", inputs),
    "multilabel_weighted": lambda inputs: loss("multilabel", inputs),
    "mse_weighted": lambda inputs: loss("mse", inputs),
    "sgd": lambda inputs: rule("sgd", inputs),
    "sgd_momentum": lambda inputs: rule("sgd_momentum", inputs),  # the same at a constant rate
    "nesterov": lambda inputs: rule("nesterov", inputs),
    "rmsprop": lambda inputs: rule("rmsprop", inputs),
    "adam": lambda inputs: rule("adam", inputs),
    "adamw": lambda inputs: rule("adamw", inputs),
}


@pytest.mark.parametrize("name", OURS)
def test_we_agree_with_torch(name, cases):
    ours, torchs = OURS[name](cases[name]["inputs"]), cases[name]["outputs"]
    assert ours.keys() == torchs.keys()
    for quantity, wanted in torchs.items():
        assert np.shape(ours[quantity]) == np.shape(wanted)
        np.testing.assert_allclose(
            ours[quantity], wanted, rtol=1e-10, atol=1e-12, err_msg=f"{name}: {quantity}"
        )


def test_every_case_is_compared(cases):
    assert cases.keys() == OURS.keys()


def test_the_frozen_numbers_are_those_of_the_installed_torch():
    frozen, live = frozen_cases(), live_cases()
    assert frozen.keys() == live.keys()
    for name, case in live.items():
        for half in ("inputs", "outputs"):
            assert frozen[name][half].keys() == case[half].keys()
            for key, value in case[half].items():
                if isinstance(value, str):
                    assert frozen[name][half][key] == value
                else:
                    np.testing.assert_allclose(
                        frozen[name][half][key], value, rtol=1e-9, atol=1e-12, err_msg=name
                    )

"""A net of question 6, exported: what `handgrad.vgg` trained, without PyTorch."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import safetensors.torch
from c_programs import compiled, needs_a_compiler, predictions
from vgg_generated import generated, run, tiny

from handgrad.analysis import CLASS_NAMES
from handgrad.errors import ExportError
from handgrad.export import export
from handgrad.export.c_source import write_c
from handgrad.export.source import source_of
from handgrad.vgg import VGG
from handgrad.vgg.images import Normalizer


def judged(recipe, data, weights, images):
    """What PyTorch makes of pictures by the weights that a run left."""
    net = recipe.network()
    net.load_state_dict(weights)
    with torch.no_grad():
        pixels = torch.tensor(images).permute(0, 2, 3, 1)
        return net.eval()(Normalizer(data.X_train, recipe, torch.device("cpu"))(pixels)).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch_norm": False, "pool_first": False, "normalize": False},
        {"activation": "leaky_relu", "pooling": "average", "head": ()},
        {"activation": "silu", "pool_first": False, "kernel_sizes": (5, 3, 3, 1, 3, 3, 3, 3)},
        {"activation": "gelu", "head": (5, 4)},
    ],
)
def test_the_scores_are_pytorchs(tmp_path, changes):
    data, recipe = generated(), tiny(**changes)
    run(data, tmp_path / "run", recipe)
    weights = safetensors.torch.load_file(tmp_path / "run" / "model.safetensors")
    wanted = judged(recipe, data, weights, data.X_test)
    source = source_of(tmp_path / "run")
    assert source.labels.tolist() == list(CLASS_NAMES["cifar10"])
    scores = source.network.loss(source.inputs.transform(data.X_test))
    np.testing.assert_allclose(scores, wanted, atol=1e-5 * np.abs(wanted).max())


@needs_a_compiler
def test_all_three_formats(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    data, recipe = generated(), tiny()
    run(data, folder := tmp_path / "run", recipe)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    wanted = judged(recipe, data, weights, data.X_test)
    pytest.importorskip("onnx")
    session = onnxruntime.InferenceSession(
        export(folder, "onnx", tmp_path / "net.onnx", logits=True),
        providers=["CPUExecutionProvider"],
    )
    label, _, logits = session.run(None, {"images": data.X_test})
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    assert label.tolist() == [CLASS_NAMES["cifar10"][c] for c in wanted.argmax(axis=1)]
    assert export(folder, "torch", tmp_path / "net_torch.py").exists()
    library = compiled(write_c(folder, tmp_path / "net.c").path)
    np.testing.assert_allclose(predictions(library, data.X_test, 10), wanted, atol=1e-5)


def test_what_cannot_be_built_again(tmp_path):
    def saved(**changes):
        net = VGG(widths=(2,) * 8, **changes.pop("net", {}))
        about = {
            "architecture": {"convolutions_per_block": [1, 1, 2, 2, 2], **net.architecture},
            "mean": [1.0, 2.0, 3.0], "deviation": [1.0, 1.0, 1.0], "classes": ["cat"] * 10,
        } | changes  # fmt: skip
        path = tmp_path / "model.safetensors"
        metadata = {"vgg": json.dumps(about)}
        path.write_bytes(safetensors.torch.save(net.state_dict(), metadata))
        return path

    assert source_of(saved()).network.output_shape == (10,)
    with pytest.raises(ExportError, match="the activation elu, which handgrad's networks lack"):
        source_of(saved(net={"activation": "elu"}))
    with pytest.raises(ExportError, match="is damaged, or of another version"):
        source_of(saved(mean=[1.0]))
    with pytest.raises(ExportError, match="is damaged, or of another version"):
        source_of(saved(architecture={}))

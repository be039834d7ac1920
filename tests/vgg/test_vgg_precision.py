"""Which products are made in which format, on a CPU that multiplies bfloat16 and on others."""

import pytest

torch = pytest.importorskip("torch")

from vgg_generated import generated, tiny

from handgrad.vgg import optimizers, run_recipe, training
from handgrad.vgg.checkpoint import load_checkpoint
from handgrad.vgg.distributed import World
from handgrad.vgg.loops import arithmetic


def test_reduced_precision_only_where_the_hardware_has_it(monkeypatch):
    cpu = torch.device("cpu")
    assert arithmetic("float32", cpu) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert arithmetic("auto", cpu) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert arithmetic("auto", cpu) == torch.bfloat16


@pytest.mark.parametrize(
    ("precision", "scores"), [("float32", torch.float32), ("auto", torch.bfloat16)]
)
def test_only_the_networks_products_are_bfloat16_and_only_where_asked(
    tmp_path, monkeypatch, precision, scores
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    seen = {"scores": set(), "muon": set()}
    orthogonalize = optimizers.orthogonalize

    def recorded(matrix):
        seen["muon"].update({matrix.dtype, orthogonalize(matrix).dtype})
        return orthogonalize(matrix)

    monkeypatch.setattr(optimizers, "orthogonalize", recorded)
    recipe = tiny(precision=precision, optimizer="muon")
    alone = training._Run(recipe, generated(), 0, tmp_path, World(0, 1, torch.device("cpu")))

    def note(net, images, made):
        if net.training:
            seen["scores"].add(made.dtype)

    alone.net.register_forward_hook(note)
    alone.train_epoch()
    assert seen == {"scores": {scores}, "muon": {torch.float32}}


def test_a_run_in_bfloat16_keeps_float32_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    recipe = tiny(epochs=1, precision="auto")
    run_recipe(recipe, generated(), seed=0, out=tmp_path, threads=1)
    averaged = load_checkpoint(tmp_path / "checkpoint.pt")["averaged"]
    floats = [value for value in averaged.values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float32}

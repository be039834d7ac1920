"""Weights of PyTorch's and Keras' files in a network: equal predictions, and what does not fit."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from handgrad.errors import ExportError, MissingExtraError
from handgrad.export import from_keras, from_torch
from handgrad.network import (
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    MaxPool,
    Network,
    ReLU,
    Tanh,
)

FIXTURES = Path(__file__).parent.parent / "fixtures"


def net(layers, shape, **options):
    return Network(layers, shape, rng=np.random.default_rng(0), **options)


def two_dense(**options):
    return net([Dense(4), ReLU(), Dense(3)], (5,), **options)


def arrays(**shapes):
    """Give random float32 arrays by tensor name; a double underscore stands for a dot."""
    rng = np.random.default_rng(1)
    return {
        name.replace("__", "."): rng.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def saved(tmp_path, tensors, **options):
    save_file(tensors, tmp_path / "weights.safetensors", **options)
    return tmp_path / "weights.safetensors"


MLP = arrays(fc1__weight=(4, 5), fc1__bias=(4,), fc2__weight=(3, 4), fc2__bias=(3,))


# PyTorch --------------------------------------------------------------------------------------


def test_torch_modules_predict_the_same(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch makes the file and judges it")
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(), nn.Dropout(0.2),
        nn.AvgPool2d(2), nn.Conv2d(4, 3, 2, bias=False), nn.LayerNorm([3, 2, 2]), nn.Tanh(),
        nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(12), nn.Linear(12, 6, bias=False), nn.Tanh(),
        nn.Linear(6, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for tensor in (*module.parameters(), *(b for b in module.buffers() if b.ndim)):
            tensor.copy_(torch.rand_like(tensor) + 0.2)
    layers = [
        Conv(4, 3, padding=1, bias=True), BatchNorm(eps=1e-3), ReLU(), Dropout(0.8), AvgPool(2),
        Conv(3, 2), LayerNorm(), Tanh(), Flatten(), Dropout(0.5), BatchNorm(), Dense(6), Tanh(),
        Dense(3),
    ]  # fmt: skip
    X = np.random.default_rng(0).normal(size=(6, 2, 6, 6))
    expected = module.eval()(torch.from_numpy(X)).detach().numpy()
    plain, inside = tmp_path / "plain.pt", tmp_path / "checkpoint.pt"
    torch.save(module.state_dict(), plain)
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, inside)
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    for path in (plain, inside, saved(tmp_path, state)):
        network = net(layers, (2, 6, 6))
        report = from_torch(path, network)
        np.testing.assert_allclose(network.loss(X), expected, rtol=1e-10, err_msg=path.name)
        text = str(report)
        assert "0.weight         ->  W1 (4, 2, 3, 3)\n" in text
        assert "W2 (3, 4, 2, 2), times 1.25 for the Dropout before" in text
        assert "(11 has none)    ->  b3 (6,)" in text
        assert "note: a state_dict does not hold eps; the network's norms have 0.001, 1e-05" in text


def test_linear_is_transposed_and_layers_are_counted_by_their_numbers(tmp_path):
    tensors = {f"net.{i}.weight": np.full((2, 2), i, np.float32) for i in (0, 2, 4, 10)}
    network = net([Dense(2), Dense(2), Dense(2), Dense(2)], (2,))
    from_torch(saved(tmp_path, tensors), network)
    assert [network.params[f"W{i}"][0, 0] for i in (1, 2, 3, 4)] == [0, 2, 4, 10]
    from_torch(saved(tmp_path, MLP), mlp := two_dense())
    np.testing.assert_array_equal(mlp.params["W1"], MLP["fc1.weight"].T)
    assert mlp.params["W1"].dtype == np.float64


def test_names_without_an_order(tmp_path):
    tensors = arrays(hidden__weight=(4, 5), answer__weight=(3, 4))
    from_torch(saved(tmp_path, tensors), network := two_dense())
    np.testing.assert_array_equal(network.params["W2"], tensors["answer.weight"].T)
    square = arrays(inner__weight=(4, 4), deep__weight=(4, 4))
    network, path = net([Dense(4), Dense(4)], (4,)), saved(tmp_path, square)
    with pytest.raises(ExportError, match=r"do not tell .* each of these fits: deep .*, inner"):
        from_torch(path, network)
    from_torch(path, network, layers=["inner", "deep"])
    np.testing.assert_array_equal(network.params["W1"], square["inner.weight"].T)
    with pytest.raises(ExportError, match=r"layers must name, once .* got inner, inner"):
        from_torch(path, network, layers=["inner", "inner"])


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        (MLP | arrays(fc2__weight=(3, 9)),
         r"fc2.weight does not fit layer 2, Dense\(units=3\): wanted \(3, 4\), found \(3, 9\)"),
        (MLP | arrays(fc3__weight=(3, 3)),
         r"the network has 2 Dense layers, the file has 3 \(fc1, fc2, fc3\)"),
        (MLP | arrays(bn__weight=(4,), bn__running_mean=(4,)),
         r"has 0 BatchNorm layers, the file has 1 \(bn\)"),
        (MLP | {"fc1.bias": np.full(4, np.nan, np.float32)}, "fc1.bias has a value that is not"),
        (MLP | arrays(rnn__weight_hh=(4, 4)), r"rnn.weight_hh \(4, 4\) is no weight"),
        (MLP | arrays(conv__weight=(4, 4, 3)), r"such weights: conv.weight \(4, 4, 3\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, tensors, text):
    network = two_dense()
    before = {name: array.copy() for name, array in network.params.items()}
    with pytest.raises(ExportError, match=text):
        from_torch(saved(tmp_path, tensors), network)
    for name, array in before.items():
        np.testing.assert_array_equal(network.params[name], array)


def test_a_bias_that_the_network_lacks(tmp_path):
    path = saved(tmp_path, arrays(c__weight=(4, 2, 3, 3), c__bias=(4,)))
    with pytest.raises(ExportError, match=r"no parameter for c\.bias; give it bias=True"):
        from_torch(path, net([Conv(4, 3), GlobalAvgPool()], (2, 6, 6)))


@pytest.mark.parametrize(
    ("behind", "where"), [([Tanh(), Dense(3)], "layer 2, Tanh"), ([], "the end")]
)
def test_a_dropout_that_nothing_can_make_up_for(tmp_path, behind, where):
    layers = [Dense(3), Dropout(0.5), *behind]
    tensors = arrays(**{f"{i}__weight": (3, 3) for i in range(1 + len(behind) // 2)})
    with pytest.raises(ExportError, match=f"a Dropout before {where}.* multiplies by 0.5"):
        from_torch(saved(tmp_path, tensors), net(layers, (3,)))


def test_files_that_are_no_state_dict(tmp_path):
    network = two_dense()
    with pytest.raises(ExportError, match=r"cannot be read .No such file"):
        from_torch(tmp_path / "none.pt", network)
    (tmp_path / "text").write_text("no weights, but some text")
    with pytest.raises(ExportError, match="no safetensors file"):
        from_torch(tmp_path / "text", network)


def test_a_pickle_is_data_or_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch writes the files")
    torch.save({"module": torch.nn.ReLU()}, tmp_path / "module.pt")
    with pytest.raises(ExportError, match="holds no plain state_dict"):
        from_torch(tmp_path / "module.pt", two_dense())
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ExportError, match="holds no state_dict"):
        from_torch(tmp_path / "list.pt", two_dense())
    half = {name: torch.from_numpy(array).bfloat16() for name, array in MLP.items()}
    torch.save(half, tmp_path / "half.pt")
    from_torch(tmp_path / "half.pt", network := two_dense())
    np.testing.assert_allclose(network.params["b2"], MLP["fc2.bias"], rtol=2**-8)


# Keras ----------------------------------------------------------------------------------------


def keras_layers():
    return [
        Conv(3, 3, padding=1, bias=True), BatchNorm(eps=1e-3), ReLU(), MaxPool(2), Conv(4, 1),
        LayerNorm(eps=1e-3), ReLU(), Flatten(), BatchNorm(eps=1e-3), Dropout(0.75), Dense(6),
        LayerNorm(eps=1e-3), Tanh(), Dense(3),
    ]  # fmt: skip


def test_a_file_of_keras_predicts_the_same():
    pytest.importorskip("h5py", reason="h5py reads Keras' weights")
    answers = json.loads((FIXTURES / "keras_3.json").read_text())
    network = net(keras_layers(), (2, 5, 4))
    report = from_keras(FIXTURES / "keras_3.keras", network)
    X = np.array(answers["X"]).transpose(0, 3, 1, 2)
    # Keras computed in float32.
    np.testing.assert_allclose(network.loss(X), answers["scores"], atol=2e-6)
    text = str(report)
    assert "layers/conv2d/vars/0                 ->  W1 (3, 2, 3, 3)\n" in text
    assert "W3 (16, 6), rows reordered to (C, H, W), times 1.33333 for the Dropout" in text
    assert "note: the weights do not hold epsilon; the network has 0.001, Keras 0.001" in text


def written(path, groups):
    """Write variables as Keras 3 lays them out."""
    h5py = pytest.importorskip("h5py", reason="h5py reads Keras' weights")
    with h5py.File(path, "w") as file:
        for layer, variables in groups.items():
            group = file.create_group(f"{layer}/vars")
            for index, array in enumerate(variables):
                group[str(index)] = array
    return path


def test_layers_of_keras_are_counted_and_what_is_no_weight_is_left(tmp_path):
    groups = {f"layers/dense_{i}": [np.full((2, 2), float(i))] for i in (2, 10, 1)}
    groups |= {"layers/dense": [np.zeros((2, 2))], "optimizer": [np.zeros(3)]}
    groups |= {"layers/dropout/seed_generator": [np.zeros(2)]}
    path = written(tmp_path / "w.weights.h5", groups)
    network = net([Dense(2), Dense(2), Dense(2), Dense(2)], (2,))
    from_keras(path, network)
    assert [network.params[f"W{i}"][0, 0] for i in (1, 2, 3, 4)] == [0, 1, 2, 10]


def test_what_does_not_fit_of_keras(tmp_path):
    path = written(tmp_path / "w.weights.h5", {"layers/conv2d": [np.zeros((3, 3, 2, 4))]})
    conv = net([Conv(5, 3), GlobalAvgPool()], (2, 6, 6))
    with pytest.raises(
        ExportError, match=r"conv2d/vars/0 does not fit layer 0.*wanted \(3, 3, 2, 5\)"
    ):
        from_keras(path, conv)
    norm = {"layers/batch_normalization": [np.zeros(3)] * 3}
    with pytest.raises(
        ExportError, match=r"no layer of handgrad has such weights: .*vars/0 \(3,\)"
    ):
        from_keras(written(tmp_path / "n.h5", norm), conv)
    (tmp_path / "no.h5").write_text("text")
    with pytest.raises(ExportError, match=r"no \.weights\.h5 or \.keras file of Keras 3"):
        from_keras(tmp_path / "no.h5", conv)
    with pytest.raises(ExportError, match="has no variables as Keras 3 writes"):
        from_keras(written(tmp_path / "e.h5", {}), conv)
    flat = {"layers/layer_normalization": [np.zeros(8)] * 2}
    with pytest.raises(ExportError, match="no Dense follows"):
        from_keras(written(tmp_path / "f.h5", flat), net([Flatten(), LayerNorm()], (2, 2, 2)))
    assert conv.params["W1"].any()


def test_padding_that_keras_puts_elsewhere_is_said(tmp_path):
    path = written(tmp_path / "w.weights.h5", {"layers/conv2d": [np.zeros((3, 3, 2, 4))]})
    layers = [Conv(4, 3, stride=2, padding=1), GlobalAvgPool()]
    report = from_keras(path, net(layers, (2, 6, 6)))
    assert any("pads more at the bottom" in note for note in report.notes)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"handgrad\[keras\]"):
        from_keras(tmp_path / "w.weights.h5", two_dense())

"""The two halves agree: compact VGG11 by hand and in PyTorch, same weights, same images."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from vgg_generated import generated

from handgrad.network import BatchNorm, Conv, Dense, Flatten, MaxPool, Network, ReLU
from handgrad.vgg import VGG


def by_hand(net):
    """Describe a VGG layer by layer and copy its weights: names of ours to tensors of theirs."""
    layers, tensors, counts = [], {}, {"weights": 0, "norm": 0}
    for module in [*net.features, nn.Flatten(), *net.classifier]:
        match module:
            case nn.Conv2d():
                counts["weights"] += 1
                bias = module.bias is not None
                layers.append(Conv(module.out_channels, size=3, padding=1, bias=bias))
                tensors[f"W{counts['weights']}"] = module.weight
                if bias:
                    tensors[f"b{counts['weights']}"] = module.bias
            case nn.Linear():
                counts["weights"] += 1
                layers.append(Dense(module.out_features))
                tensors[f"W{counts['weights']}"] = module.weight
                tensors[f"b{counts['weights']}"] = module.bias
            case nn.BatchNorm2d():
                counts["norm"] += 1
                layers.append(BatchNorm())
                tensors[f"gamma{counts['norm']}"] = module.weight
                tensors[f"beta{counts['norm']}"] = module.bias
            case nn.ReLU():
                layers.append(ReLU())
            case nn.MaxPool2d():
                layers.append(MaxPool(2))
            case nn.Flatten():
                layers.append(Flatten())
    network = Network(layers, input_shape=(3, 32, 32), rng=np.random.default_rng(0))
    assert network.params.keys() == tensors.keys()
    for name, tensor in tensors.items():
        # a dense layer's matrix is (D, M) in the assignment and (M, D) in PyTorch
        network.params[name] = ours(tensor.detach(), name, network).copy()
    return network, tensors


def ours(tensor, name, network):
    array = tensor.numpy()
    return array.T if name.startswith("W") and network.params[name].ndim == 2 else array


@pytest.mark.parametrize("batch_norm", [False, True])
def test_scores_and_gradients_are_the_same(batch_norm):
    torch.manual_seed(0)
    net = VGG(batch_norm=batch_norm).double()
    network, tensors = by_hand(net)
    data = generated(train=8)
    images, labels = data.X_train / 127.5 - 1, data.y_train

    scores = net(torch.tensor(images))
    theirs = nn.functional.cross_entropy(scores, torch.tensor(labels))
    theirs.backward()
    loss, grads = network.loss(images, labels)
    assert loss == pytest.approx(theirs.item(), rel=1e-9)
    for name, tensor in tensors.items():
        expected = ours(tensor.grad, name, network)
        np.testing.assert_allclose(grads[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)
    if not batch_norm:
        np.testing.assert_allclose(network.loss(images), scores.detach(), rtol=1e-9, atol=1e-9)

"""The network: its size, its order of layers, its norm, its errors."""

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from handgrad.vgg import COMPACT_WIDTHS, PAPER_WIDTHS, VGG
from handgrad.vgg.net import ACTIVATIONS, BatchNorm, parameter_count


def test_compact_has_the_assignments_parameters():
    # 3x3 kernels and biases of 3-8-16-32-32-64-64-64-64, then 64-64-10
    channels = (3, *COMPACT_WIDTHS)
    kernels = sum(9 * a * b + b for a, b in pairwise(channels))
    assert kernels + (64 * 64 + 64) + (64 * 10 + 10) == 149_370
    assert parameter_count(VGG()) == 149_370


def test_batch_norm_swaps_344_biases_for_688_gains_and_shifts():
    assert parameter_count(VGG(batch_norm=True)) == 149_370 - 344 + 688


def test_paper_widths_give_vgg11():
    # torchvision's vgg11 has 9,220,480 parameters in its convolutions
    assert parameter_count(VGG(widths=PAPER_WIDTHS).features) == 9_220_480


@pytest.mark.parametrize("pool_first", [False, True])
def test_eight_convolutions_five_pools_two_dense_layers(pool_first):
    modules = list(VGG(batch_norm=True, pool_first=pool_first).modules())
    counts = [
        sum(isinstance(module, kind) for module in modules)
        for kind in (nn.Conv2d, nn.MaxPool2d, nn.Linear)
    ]
    assert counts == [8, 5, 2]


def test_pool_first_computes_the_same_function_without_batch_norm():
    torch.manual_seed(0)
    late, early = VGG(), VGG(pool_first=True)
    names = list(early.state_dict())
    early.load_state_dict(dict(zip(names, late.state_dict().values(), strict=True)))
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(early(images), late(images))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_every_choice_gives_ten_finite_scores(activation, pooling):
    net = VGG(widths=(4,) * 8, activation=activation, pooling=pooling, batch_norm=True, head=())
    scores = net(torch.randn(3, 3, 32, 32))
    assert scores.shape == (3, 10)
    assert scores.isfinite().all()


def test_head_lists_the_hidden_dense_layers():
    net = VGG(head=(32, 16))
    dense = [layer for layer in net.classifier if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in dense] == [32, 16, 10]


def test_batch_norm_agrees_with_pytorchs_in_values_gradients_and_statistics():
    torch.manual_seed(0)
    images = torch.randn(6, 8, 4, 4).to(memory_format=torch.channels_last)
    upstream = torch.randn(6, 8, 4, 4)
    ours, theirs = BatchNorm(8), nn.BatchNorm2d(8)
    gradients = []
    for norm in (ours, theirs):
        x = images.clone().requires_grad_()
        norm(x).backward(upstream)
        gradients.append((x.grad, norm.weight.grad, norm.bias.grad))
    torch.testing.assert_close(ours(images), theirs(images))
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    assert ours(images).is_contiguous(memory_format=torch.channels_last)


def test_kernel_sizes_keep_every_shape():
    net = VGG(kernel_sizes=(5, 3, 1, 3, 3, 7, 3, 3))
    sides = [layer.kernel_size for layer in net.features if isinstance(layer, nn.Conv2d)]
    assert sides == [(side, side) for side in (5, 3, 1, 3, 3, 7, 3, 3)]
    assert parameter_count(VGG(kernel_sizes=(5, *(3,) * 7))) == 149_370 + 8 * 3 * (25 - 9)
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert net.features(torch.randn(2, 3, 32, 32)).shape == (2, 64, 1, 1)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kernel_sizes": (3,) * 7}, r"kernel_sizes must be eight odd numbers; got \(3, 3,"),
        ({"kernel_sizes": (4,) * 8}, "kernel_sizes must be eight odd numbers"),
        ({"widths": (8, 16)}, r"widths must be eight positive numbers; got \(8, 16\)"),
        ({"widths": (0,) * 8}, "widths must be eight positive numbers"),
        ({"activation": "tan"}, "activation must be one of relu, .*; got 'tan'"),
        ({"pooling": "median"}, "pooling must be one of max, average; got 'median'"),
    ],
)
def test_impossible_networks_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        VGG(**fields)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"shape \(N, 3, 32, 32\); got \(2, 1, 28, 28\)"):
        VGG()(torch.zeros(2, 1, 28, 28))

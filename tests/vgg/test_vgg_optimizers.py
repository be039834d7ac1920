"""Update rules: Muon's step, what decays, and the learning rate over a run."""

import copy

import pytest

torch = pytest.importorskip("torch")

from vgg_generated import tiny

from handgrad.vgg.optimizers import Average, Muon, Together, make_optimizers, orthogonalize


@pytest.mark.parametrize("shape", [(8, 27), (32, 96), (64, 9)])
def test_orthogonalize_brings_singular_values_near_1_and_keeps_their_vectors(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonalize(matrix) @ vh.T  # diagonal if the singular vectors are kept
    values = inner.diagonal()
    assert values.min() > 0.3
    assert values.max() < 1.3
    assert (inner - values.diag()).abs().max() < 1e-3


def test_orthogonalize_keeps_zeros_and_its_argument():
    assert orthogonalize(torch.zeros(3, 4)).abs().max() == 0
    matrix = torch.ones(2, 3)
    orthogonalize(matrix)
    assert torch.equal(matrix, torch.ones(2, 3))


def test_orthogonalize_makes_up_to_500_times_as_much_of_a_small_difference():
    """Of a singular value near 0 it makes 3.4445 times as much in each of five rounds: 485 times.

    So rounding in a gradient that lacks a direction (a dead unit is a row of zeros) is large in
    the step, and two orders of one sum soon lead to different weights.
    """
    matrix = torch.zeros(3, 5, dtype=torch.float64)
    matrix[0, 0] = matrix[1, 1] = 1
    other = matrix.clone()
    other[2, 2] = 1e-6
    difference = orthogonalize(other) - orthogonalize(matrix)
    expected = 3.4445**5 * 1e-6 / 2**0.5  # the matrix is divided by its length first
    assert abs(float(difference[2, 2]) / expected - 1) < 1e-3
    difference[2, 2] = 0
    assert difference.abs().max() < 1e-8


def test_muon_steps_by_the_learning_rate_whatever_the_gradients_length():
    steps = []
    for scale in (1e-3, 1e3):
        kernel = torch.zeros(4, 2, 3, 3, requires_grad=True)
        kernel.grad = scale * torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
        Muon([kernel], lr=0.1).step()
        steps.append(kernel.detach().clone())
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-5)
    assert 0.05 < float(torch.linalg.svdvals(steps[0].view(4, 18)).max()) < 0.13


def test_muon_decay_is_decoupled():
    kernel = torch.ones(4, 2, 3, 3, requires_grad=True)
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel], lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(kernel.detach(), torch.full((4, 2, 3, 3), 0.95))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "muon"])
def test_only_kernels_and_matrices_decay_and_nothing_is_forgotten(optimizer):
    recipe = tiny(optimizer=optimizer, weight_decay=0.1, muon_weight_decay=0.1)
    net = recipe.network()
    optimizers = make_optimizers(net, recipe)
    decay = {
        id(parameter): group["weight_decay"]
        for each in optimizers
        for group in each.param_groups
        for parameter in group["params"]
    }
    assert {name: decay[id(p)] for name, p in net.named_parameters()} == {
        name: 0.1 if p.ndim > 1 else 0.0 for name, p in net.named_parameters()
    }


def test_together_optimizers_step_each_at_its_share_of_its_own_peak():
    recipe = tiny(
        optimizer="muon", learning_rate=0.2, muon_learning_rate=0.04, schedule="linear", warmup=0.0
    )
    net = recipe.network()
    optimizers, averaged = make_optimizers(net, recipe), copy.deepcopy(net)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    together = Together(optimizers, recipe, 4, scaler=scaler, average=Average(net, averaged, 0.0))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for share in (1, 0.75, 0.5):
        together.zero_grad()
        assert all(p.grad is None for p in net.parameters())
        rates = [group["lr"] for each in optimizers for group in each.param_groups]
        assert rates == pytest.approx([0.04 * share, 0.2 * share, 0.2 * share])
        assert together.param_groups[0]["lr"] == pytest.approx(0.2 * share)
        together.backward(net(torch.randn(20, 3, 32, 32)).square().sum())
        together.step()
        assert all(map(torch.equal, averaged.parameters(), net.parameters()))  # decay 0 copies
    assert together.taken == 3
    moved = {name for name, p in net.named_parameters() if not torch.equal(before[name], p)}
    assert moved == set(before)


@pytest.mark.parametrize(
    ("schedule", "warmup", "shares"),
    [
        ("constant", 0.0, [1, 1, 1, 1, 1, 1, 1, 1]),
        ("linear", 0.0, [1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("linear", 0.5, [1 / 4, 2 / 4, 3 / 4, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
        ("steps", 0.0, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        # (1 + cos(pi q)) / 2 at q = 0, 1/4, 1/2, 3/4
        ("cosine", 0.5, [1 / 4, 2 / 4, 3 / 4, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_the_learning_rate_over_eight_steps(schedule, warmup, shares):
    recipe = tiny(schedule=schedule, warmup=warmup)
    assert [recipe.rate(step, 8) for step in range(8)] == pytest.approx(shares, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of adam, adamw, sgd, muon; got 'lion'"),
        ({"schedule": "none"}, "schedule must be one of"),
        ({"flip": True}, "flip must be one of none, random, alternating; got True"),
        ({"precision": "int8"}, "precision must be one of float32, auto"),
        ({"patience": -1}, "patience must be at least 0; got -1"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\); got 1.0"),
        ({"crop_padding": 32}, r"crop_padding must be in \[0, 32\); got 32"),
    ],
)
def test_impossible_recipes_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        tiny(**fields)

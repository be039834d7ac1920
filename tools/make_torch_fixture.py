"""Write tests/fixtures/torch_numbers.json: PyTorch's outputs and gradients on small inputs.

Run it with torch installed: ``python tools/make_torch_fixture.py``. The file lets the parity
tests hold handgrad against PyTorch where torch is not installed; where it is, they call
``compute()`` as well, and a change of this file without a new fixture is a red test.

All in float64. Inputs have two decimals: the file stays small and says exactly what went in.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "torch_numbers.json"
Case = dict[str, dict[str, Any]]  # "inputs" (what went in) and "outputs" (what torch said)


def layer(
    forward: Callable[..., torch.Tensor], seed: int, options: dict[str, Any], **arrays: Any
) -> Case:
    """Run ``forward`` and its gradients by every array, on a random upstream gradient."""
    arrays = {name: np.round(array, 2) for name, array in arrays.items()}
    tensors = {
        name: torch.tensor(array, dtype=torch.float64, requires_grad=True)
        for name, array in arrays.items()
    }
    out = forward(*tensors.values())
    dout = np.round(np.random.default_rng(seed).standard_normal(tuple(out.shape)), 2)
    gradients = torch.autograd.grad(out, list(tensors.values()), torch.from_numpy(dout))
    outputs = {"out": out, **{f"d{name}": g for name, g in zip(arrays, gradients, strict=True)}}
    return {
        "inputs": {**arrays, "dout": dout, **options},
        "outputs": {name: value.detach().numpy() for name, value in outputs.items()},
    }


def loss(
    function: Callable[..., torch.Tensor], x: np.ndarray, y: np.ndarray, **options: Any
) -> Case:
    """Run a loss and its gradient by the logits.

    With ``sample_weight`` the function must give each example's loss: torch has no weights of
    examples, and their weighted mean is taken by its own arithmetic.
    """
    logits = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    value = function(logits, torch.tensor(y))
    if "sample_weight" in options:
        weights = torch.tensor(options["sample_weight"])
        value = (weights * value).sum() / weights.sum()
    (dx,) = torch.autograd.grad(value, logits)
    return {
        "inputs": {"x": x, "y": y, **options},
        "outputs": {"loss": value.detach().numpy(), "dx": dx.numpy()},
    }


def conv(seed: int, x_shape: tuple, w_shape: tuple, stride: int = 1, padding: int = 0) -> Case:
    """Run torch's convolution."""
    rng = np.random.default_rng(seed)
    return layer(
        lambda x, w: F.conv2d(x, w, stride=stride, padding=padding),
        seed,
        {"stride": stride, "padding": padding},
        x=rng.standard_normal(x_shape),
        w=rng.standard_normal(w_shape),
    )


def pool(seed: int, x: np.ndarray, height: int, width: int, stride: int) -> Case:
    """Run torch's max pooling, which like ours pays the first pixel of a tie."""
    options = {"pool_height": height, "pool_width": width, "stride": stride}
    return layer(lambda x: F.max_pool2d(x, (height, width), stride), seed, options, x=x)


def avg_pool(seed: int, x: np.ndarray, height: int, width: int, stride: int) -> Case:
    """Run torch's average pooling."""
    options = {"pool_height": height, "pool_width": width, "stride": stride}
    return layer(lambda x: F.avg_pool2d(x, (height, width), stride), seed, options, x=x)


def layernorm(seed: int, shape: tuple[int, ...]) -> Case:
    """Run torch's layer norm over all axes but the first."""
    rng, one = np.random.default_rng(seed), shape[1:]
    return layer(
        lambda x, gamma, beta: F.layer_norm(x, one, gamma, beta, eps=1e-3),
        seed,
        {"eps": 1e-3},
        x=rng.normal(1, 2, shape),
        gamma=rng.standard_normal(one),
        beta=rng.standard_normal(one),
    )


def batchnorm(seed: int, shape: tuple[int, ...], training: bool) -> Case:
    """Run torch's batch norm. It accumulates the unbiased variance, so only the mean is kept.

    torch's momentum is the weight of the new batch: 0.2 there is 0.8 here.
    """
    rng, C = np.random.default_rng(seed), shape[1]
    mean, variance = np.round(rng.standard_normal(C), 2), np.round(rng.uniform(0.5, 2, C), 2)
    running = torch.tensor(mean), torch.tensor(variance)
    case = layer(
        lambda x, gamma, beta: F.batch_norm(
            x, *running, gamma, beta, training=training, momentum=0.2, eps=1e-3
        ),
        seed,
        {"running_mean": mean, "running_var": variance, "momentum": 0.8, "eps": 1e-3},
        x=rng.normal(1, 2, shape),
        gamma=rng.standard_normal(C),
        beta=rng.standard_normal(C),
    )
    case["inputs"]["mode"] = "train" if training else "test"
    case["outputs"]["running_mean"] = running[0].numpy()
    return case


def optimizer(name: str, seed: int, **settings: Any) -> Case:
    """Take five steps with fixed gradients and keep the whole path of the weights."""
    rng = np.random.default_rng(seed)
    w = np.round(rng.standard_normal((2, 3)), 2)
    gradients = np.round(rng.standard_normal((5, 2, 3)), 2)
    parameter = torch.nn.Parameter(torch.tensor(w))
    rule = getattr(torch.optim, name)([parameter], **settings)
    path = []
    for dw in gradients:
        parameter.grad = torch.tensor(dw)
        rule.step()
        path.append(parameter.detach().numpy().copy())
    return {"inputs": {"w": w, "gradients": gradients}, "outputs": {"path": np.array(path)}}


def tables() -> dict[str, Case]:
    """Return the cases that tables of one's own brought: smooth layers, weights, regression."""
    rng = np.random.default_rng(100)
    x = np.array([[-30.0, -4.0, -1.0, -0.25], [0.0, 0.5, 2.0, 40.0]])
    images = np.round(rng.standard_normal((2, 2, 5, 6)), 2)
    scores, labels = np.round(rng.normal(0, 3, (5, 4)), 2), np.array([0, 3, 1, 1, 2])
    several = rng.integers(0, 2, (5, 4))
    targets = np.round(rng.normal(0, 3, (5, 4)), 2)
    targets[0, 0], targets[1, 1] = scores[0, 0], scores[1, 1] + 1.5  # on the kinks of mae and huber

    def whole(x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, 1).flatten(1)

    weights = np.array([0.5, 0.0, 2.0, 1.25, 3.0])
    far = np.array([[1e8, -1e8, 0.0], [1e-8, -3.0, 1e4]])

    def binary(x: torch.Tensor, y: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(x, y.double(), reduction=reduction)

    def huber(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.huber_loss(x, y, delta=1.5)

    def smoothed(x: torch.Tensor, y: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        return F.cross_entropy(x, y, label_smoothing=0.1, reduction=reduction)

    def of_each(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """Give the mean over an example's outputs, if it has several."""
        return lambda x, y: function(x, y, reduction="none").reshape(len(x), -1).mean(dim=1)

    weighted = {"sample_weight": weights}
    return {
        "tanh": layer(torch.tanh, 21, {}, x=x),
        "leaky_relu": layer(lambda x: F.leaky_relu(x, 0.1), 22, {"slope": 0.1}, x=x),
        "gelu": layer(F.gelu, 23, {}, x=x),
        "gelu_tanh": layer(lambda x: F.gelu(x, approximate="tanh"), 24, {}, x=x),
        "silu": layer(F.silu, 25, {}, x=x),
        "avg_pool": avg_pool(26, images, 2, 2, 2),
        "avg_pool_overlap_border": avg_pool(27, images, 3, 2, 2),
        "global_avg_pool": layer(
            lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), 28, {}, x=images
        ),
        "layernorm": layernorm(29, (4, 5)),
        "layernorm_images": layernorm(30, (3, 2, 2, 3)),
        "mse": loss(F.mse_loss, scores[:, 0], targets[:, 0]),
        "mse_columns": loss(F.mse_loss, scores, targets),
        "mae": loss(F.l1_loss, scores, targets),
        "huber": loss(huber, scores, targets, delta=1.5),
        "huber_extreme": loss(huber, far, np.zeros((2, 3)), delta=1.5),
        "multilabel": loss(binary, scores, several),
        "softmax_smoothed": loss(smoothed, scores, labels, label_smoothing=0.1),
        "softmax_weighted": loss(of_each(F.cross_entropy), scores, labels, **weighted),
        "softmax_smoothed_weighted": loss(
            of_each(smoothed), scores, labels, label_smoothing=0.1, **weighted
        ),
        "logistic_weighted": loss(of_each(binary), scores[:, 1], several[:, 1], **weighted),
        "multilabel_weighted": loss(of_each(binary), scores, several, **weighted),
        "mse_weighted": loss(of_each(F.mse_loss), scores, targets, **weighted),
    }


def compute() -> dict[str, Case]:
    """Return every case with what the installed torch says."""
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(0, 3, 7), 2)
    scores[0], scores[1] = 1.0, -1.0  # with labels 1 and 0: exactly on the SVM's kink
    binary = np.array([1, 0, 0, 1, 1, 0, 1])
    extreme = np.array([1e4, -1e4, 1e4, -1e4, 30.0, -30.0, 0.0])
    logits = np.round(rng.normal(0, 3, (5, 4)), 2)
    steep = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [700.0, 710.0, 720.0]])

    def logistic(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(x, y.double())

    def hinge(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.relu(1 - (2 * y - 1) * x).mean()

    normal = rng.standard_normal
    adam = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
    return {
        "fc": layer(
            lambda x, w, b: x.flatten(1) @ w + b,
            1,
            {},
            x=normal((3, 2, 3)),
            w=normal((6, 4)),
            b=normal(4),
        ),
        "relu": layer(F.relu, 2, {}, x=np.array([[-1.5, -0.0, 0.0], [0.01, -0.01, 2.0]])),
        "sigmoid": layer(torch.sigmoid, 20, {}, x=np.array([[-800.0, -2.5, 0.0], [0.3, 4, 800]])),
        "conv": conv(3, (2, 3, 5, 4), (2, 3, 3, 2)),
        "conv_1x1": conv(4, (2, 3, 2, 3), (4, 3, 1, 1)),
        "conv_full_image": conv(5, (2, 2, 3, 4), (3, 2, 3, 4)),
        "conv_stride_padding": conv(6, (2, 2, 6, 5), (3, 2, 3, 2), stride=2, padding=1),
        "max_pool": pool(7, rng.permutation(96).reshape(2, 2, 4, 6) / 10, 2, 2, 2),
        "max_pool_overlap_border": pool(8, rng.permutation(80).reshape(2, 1, 5, 8) / 10, 3, 2, 2),
        "max_pool_ties": pool(9, rng.integers(0, 2, (2, 2, 5, 5)).astype(float), 2, 2, 1),
        "batchnorm_train": batchnorm(10, (5, 3), training=True),
        "batchnorm_test": batchnorm(11, (4, 3), training=False),
        "spatial_batchnorm_train": batchnorm(12, (2, 3, 2, 3), training=True),
        "spatial_batchnorm_test": batchnorm(13, (2, 3, 2, 2), training=False),
        "logistic": loss(logistic, scores, binary),
        "logistic_extreme": loss(logistic, extreme, binary),
        "svm": loss(hinge, scores, binary),
        "svm_extreme": loss(hinge, extreme, binary),
        "softmax": loss(F.cross_entropy, logits, np.array([0, 3, 1, 1, 2])),
        "softmax_extreme": loss(F.cross_entropy, steep, np.array([0, 1, 1])),
        **tables(),
        "sgd": optimizer("SGD", 14, lr=1e-2),
        "sgd_momentum": optimizer("SGD", 15, lr=1e-2, momentum=0.9),
        "nesterov": optimizer("SGD", 16, lr=1e-2, momentum=0.9, nesterov=True),
        "rmsprop": optimizer("RMSprop", 17, lr=1e-2, alpha=0.99, eps=1e-8),
        "adam": optimizer("Adam", 18, **adam),
        "adamw": optimizer("AdamW", 19, **adam, weight_decay=1e-2),
    }


def main() -> None:
    """Write the fixture, one line a case."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(case, default=np.ndarray.tolist)}"
        for name, case in compute().items()
    ]
    text = f'{{"torch": "{torch.__version__}", "cases": {{\n' + ",\n".join(lines) + "\n}}\n"
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    temporary = FIXTURE.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(FIXTURE)
    print(f"{FIXTURE}: {len(lines)} cases, {len(text):,} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()

"""One rule for rng: a numpy.random.Generator or None; anything else is refused at the start."""

import numpy as np
import pytest

from handgrad import gradcheck, layers
from handgrad.cnn import ConvNet
from handgrad.logistic import LogisticClassifier
from handgrad.network import Dense, Network
from handgrad.randomness import default_rng, require_generator
from handgrad.softmax import SoftmaxClassifier
from handgrad.solver import Solver
from handgrad.svm import SVM

X, Y = np.random.default_rng(0).standard_normal((6, 4)), np.arange(6) % 3
ROWS = {"X_train": X, "y_train": Y, "X_val": X, "y_val": Y}


def net():
    return Network([Dense(3)], (4,), rng=np.random.default_rng(0))


def dropout(rng, mode="train"):
    return layers.dropout_forward(X, {"p": 0.5, "mode": mode, "rng": rng})


TAKERS = {
    "Network": lambda rng: Network([Dense(3)], (4,), rng=rng),
    "LogisticClassifier": lambda rng: LogisticClassifier(4, rng=rng),
    "SVM": lambda rng: SVM(4, rng=rng),
    "SoftmaxClassifier": lambda rng: SoftmaxClassifier(4, 3, rng=rng),
    "ConvNet": lambda rng: ConvNet((1, 8, 8), 2, 3, 3, 2, rng=rng),
    "Solver": lambda rng: Solver(net(), ROWS, rng=rng),
    "dropout_forward": dropout,
    "dropout_forward in test mode": lambda rng: dropout(rng, "test"),
    "check_gradients": lambda rng: gradcheck.check_gradients(
        layers.relu_forward, layers.relu_backward, [X], rng=rng
    ),
    "check_model": lambda rng: gradcheck.check_model(net(), X, Y, rng=rng),
}
NO_GENERATORS = {
    "a number": 0,
    "a NumPy number": np.int64(3),
    "True": True,
    "a RandomState": np.random.RandomState(0),
    "a SeedSequence": np.random.SeedSequence(0),
    "a BitGenerator": np.random.PCG64(0),
    "the module": np.random,
    "the class": np.random.Generator,
}


@pytest.mark.parametrize("what", NO_GENERATORS)
@pytest.mark.parametrize("taker", TAKERS)
def test_what_is_no_generator_is_refused_at_the_start(taker, what):
    with pytest.raises(ValueError, match=r"rng.* must be a numpy\.random\.Generator") as raised:
        TAKERS[taker](NO_GENERATORS[what])
    text = str(raised.value)
    assert "numpy.random.default_rng(0)" in text
    assert text.endswith("; got " + " ".join(repr(NO_GENERATORS[what]).split()))
    assert "\n" not in text


@pytest.mark.parametrize("taker", TAKERS)
def test_every_generator_is_taken(taker):
    for bits in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        assert TAKERS[taker](np.random.Generator(bits(0))) is not None


@pytest.mark.parametrize("taker", ["check_gradients", "check_model"])
def test_a_gradient_check_needs_one(taker):
    with pytest.raises(ValueError, match=r"rng must be a numpy\.random\.Generator.*; got None"):
        TAKERS[taker](None)


def test_the_generator_itself_is_kept():
    rng = np.random.default_rng(0)
    assert require_generator(rng, "f") is rng
    assert default_rng(rng, "f") is rng
    with pytest.raises(ValueError, match=r"^f: rng must .* got 0$"):
        default_rng(0, "f")
    with pytest.raises(ValueError, match=r"^f: param\['rng'\] must "):
        require_generator(0, "f", "param['rng']")


def test_without_one_numpys_global_seed_decides():
    draws = []
    for seed in (1, 1, 2):
        np.random.seed(seed)  # noqa: NPY002 (as the course's scripts do)
        draws.append(default_rng(None, "f").random())
    assert draws[0] == draws[1] != draws[2]

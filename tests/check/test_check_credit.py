"""A function that gets no value right earns nothing, under either kind of credit."""

import pytest
from check_reports import case

from handgrad.check import check_submission
from handgrad.check.cases import GROUPS
from handgrad.check.classroom.rubric import Item, Rubric
from handgrad.check.formats.output import render

LAYERS = """
import numpy as np

def fc_forward(x, w, b):
    return np.zeros((len(x), w.shape[1]), x.dtype), (x, w, b)

def fc_backward(dout, cache):
    return tuple(np.zeros_like(array) for array in cache)

def relu_forward(x, *_):
    return np.zeros_like(x), x

def relu_backward(dout, cache):
    return np.zeros_like(cache)

def batchnorm_forward(x, gamma, beta, bn_param):
    return np.zeros_like(x), (x, gamma, beta)

def conv_forward(x, w):
    H, W = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    return np.zeros((len(x), len(w), H, W), x.dtype), (x, w)

def max_pool_forward(x, p):
    H, W = x.shape[2] - p["pool_height"], x.shape[3] - p["pool_width"]
    return np.zeros((*x.shape[:2], H // p["stride"] + 1, W // p["stride"] + 1), x.dtype), x

def filter_valid(a, b):
    return np.zeros((a.shape[0] - b.shape[0] + 1, a.shape[1] - b.shape[1] + 1))

def convolve_full(a, b):
    return np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1))

def logistic_loss(x, y):
    return 0.0, np.zeros_like(x)

dropout_forward, spatial_batchnorm_forward = relu_forward, batchnorm_forward
dropout_backward = max_pool_backward = relu_backward
batchnorm_backward = spatial_batchnorm_backward = conv_backward = fc_backward
svm_loss = softmax_loss = logistic_loss
"""
OPTIM = """
import numpy as np

def sgd(w, dw, config=None):
    return np.zeros_like(w), dict(config or {})

sgd_momentum = rmsprop = adam = sgd
"""
MODELS = """
import numpy as np

class Model:
    def __init__(self, input_dim=4, hidden_dim=None, num_classes=1, weight_scale=1, reg=0.0,
                 num_filters=1, filter_size=3, dtype=np.float64):
        h, c = hidden_dim, num_classes
        if isinstance(input_dim, tuple):
            C, H, W = input_dim
            k = filter_size
            flat = num_filters * ((H - k + 1) // 2) * ((W - k + 1) // 2)
            shapes = {"W1": (num_filters, C, k, k), "W2": (flat, h), "b2": (h,), "W3": (h, c),
                      "b3": (c,)}
        else:
            shapes = {"W1": (input_dim, h or c), "b1": (h or c,)}
            shapes |= {"W2": (h, c), "b2": (c,)} if h else {}
        self.classes, self.dtype = c, dtype
        self.params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}

    def loss(self, X, y=None):
        if y is None:
            return np.zeros((len(X), self.classes)[: 1 + (self.classes > 1)], self.dtype)
        return 0.0, {name: np.zeros_like(value) for name, value in self.params.items()}

LogisticClassifier = SVM = SoftmaxClassifier = ConvNet = Model
"""
SOLVER = """
class Solver:
    def __init__(self, model, data, update_rule="sgd", optim_config=None, lr_decay=1.0,
                 batch_size=100, num_epochs=10, print_every=1, verbose=True):
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.best_val_acc, self.best_params = 0, {}

    def train(self):
        pass

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        return 0.0
"""


@pytest.mark.parametrize("credit", ["share", "all"])
def test_zeros_for_every_function_earn_nothing(tmp_path, credit):
    files = {"layers": LAYERS, "optim": OPTIM, "solver": SOLVER, "logistic": MODELS, "svm": MODELS,
             "softmax": MODELS, "cnn": MODELS}  # fmt: skip
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    report = check_submission(tmp_path, timeout=60)
    passed = [c for c in report.cases if c.status == "passed"]
    assert len(passed) > 50  # zeros modify nothing, and agree with zeros' differences
    assert [(c.function, c.name) for c in passed if c.counts_alone] == []
    rubric = Rubric("", tuple(Item(g, g, (), 7.0, credit=credit) for g in GROUPS))
    grades = rubric.grade(report.cases)
    assert [(grade.name, grade.score) for grade in grades.items if grade.score] == []
    said = render("gradescope", report, rubric)
    assert "Nothing earned, for no value is right: fc_forward, fc_backward" in said


def test_conduct_counts_beside_a_right_value():
    conduct = case("fc_forward", "modifies no argument", counts_alone=False)
    value, wrong = case("fc_forward", "value"), case("fc_forward", "float32", "failed")
    other = case("fc_backward", "modifies no argument", counts_alone=False)
    rubric = Rubric("", (Item("fc", "fc", (), 12.0, credit="share"),))
    assert rubric.grade([conduct, value, wrong]).score == 8
    # Another function's right value does not speak for this one.
    grades = rubric.grade([conduct, value, wrong, other])
    assert grades.score == 6
    assert grades.items[0].nothing_right == ("fc_backward",)
    assert rubric.grade([conduct]).score == 0
    strict = Rubric("", (Item("fc", "fc", (), 12.0),))
    assert strict.grade([conduct, value]).score == 12
    assert strict.grade([conduct]).score == 0
    assert not strict.grade([conduct]).items[0].passed

"""A backward written out in statements: the first wrong one is found, and nobody else is blamed.

The network is a small language model of characters: embedding, a dense layer, batch norm, tanh, a
dense layer and the softmax loss, its forward in single steps and its backward step by step.
"""

import numpy as np
import pytest

from handgrad.gradcheck import first_wrong

FORWARD = """
emb = C[Xb]
embcat = emb.reshape(emb.shape[0], -1)
hprebn = embcat @ W1 + b1
bnmeani = hprebn.sum(axis=0, keepdims=True) / n
bndiff = hprebn - bnmeani
bndiff2 = bndiff ** 2
bnvar = bndiff2.sum(axis=0, keepdims=True) / (n - 1)
bnvar_inv = (bnvar + 1e-5) ** -0.5
bnraw = bndiff * bnvar_inv
hpreact = bngain * bnraw + bnbias
h = np.tanh(hpreact)
logits = h @ W2 + b2
logit_maxes = logits.max(axis=1, keepdims=True)
norm_logits = logits - logit_maxes
counts = np.exp(norm_logits)
counts_sum = counts.sum(axis=1, keepdims=True)
counts_sum_inv = counts_sum ** -1
probs = counts * counts_sum_inv
logprobs = np.log(probs)
loss = -logprobs[np.arange(n), Yb].mean()
"""
BACKWARD = """
dlogprobs = np.zeros_like(logprobs)
dlogprobs[np.arange(n), Yb] = -1 / n
dprobs = dlogprobs / probs
dcounts_sum_inv = (counts * dprobs).sum(axis=1, keepdims=True)
dcounts = counts_sum_inv * dprobs
dcounts_sum = -counts_sum ** -2 * dcounts_sum_inv
dcounts += np.ones_like(counts) * dcounts_sum
dnorm_logits = counts * dcounts
dlogit_maxes = -dnorm_logits.sum(axis=1, keepdims=True)
dlogits = dnorm_logits.copy()
dlogits[np.arange(n), logits.argmax(axis=1)] += dlogit_maxes[:, 0]
dh = dlogits @ W2.T
dW2 = h.T @ dlogits
db2 = dlogits.sum(axis=0)
dhpreact = (1 - h ** 2) * dh
dbngain = (bnraw * dhpreact).sum(axis=0, keepdims=True)
dbnbias = dhpreact.sum(axis=0, keepdims=True)
dbnraw = bngain * dhpreact
dbndiff = bnvar_inv * dbnraw
dbnvar_inv = (bndiff * dbnraw).sum(axis=0, keepdims=True)
dbnvar = -0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv
dbndiff2 = np.ones_like(bndiff2) * dbnvar / (n - 1)
dbndiff += 2 * bndiff * dbndiff2
dhprebn = dbndiff.copy()
dbnmeani = -dbndiff.sum(axis=0, keepdims=True)
dhprebn += np.ones_like(hprebn) * dbnmeani / n
dembcat = dhprebn @ W1.T
dW1 = embcat.T @ dhprebn
db1 = dhprebn.sum(axis=0)
demb = dembcat.reshape(emb.shape)
dC = np.zeros_like(C)
np.add.at(dC, Xb, demb)
"""
GRADIENTS = [
    *("dlogprobs", "dprobs", "dcounts_sum_inv", "dcounts_sum", "dcounts", "dnorm_logits"),
    *("dlogit_maxes", "dlogits", "db2", "dW2", "dh", "dhpreact", "dbnbias", "dbngain", "dbnraw"),
    *("dbnvar_inv", "dbnvar", "dbndiff2", "dbndiff", "dbnmeani", "dhprebn", "db1", "dW1"),
    *("dembcat", "demb", "dC"),
]


def values(n=5, letters=6, block=2, width=3, hidden=4):
    rng = np.random.default_rng(0)
    return {
        "n": n,
        "Xb": rng.integers(0, letters, (n, block)),
        "Yb": rng.integers(0, letters, n),
        "C": rng.standard_normal((letters, width)),
        "W1": 0.3 * rng.standard_normal((block * width, hidden)),
        "b1": 0.1 * rng.standard_normal(hidden),
        "W2": 0.5 * rng.standard_normal((hidden, letters)),
        "b2": 0.1 * rng.standard_normal(letters),
        "bngain": 1 + 0.3 * rng.standard_normal((1, hidden)),
        "bnbias": 0.3 * rng.standard_normal((1, hidden)),
    }


def spoilt(right, wrong):
    assert BACKWARD.count(right) == 1, right
    return BACKWARD.replace(right, wrong)


def test_the_right_chain_passes_in_the_order_of_the_chain_rule():
    found = first_wrong(FORWARD, BACKWARD, values())
    assert not found
    assert found.first is None
    assert set(found.right) == set(GRADIENTS)
    order = [found.right.index(name) for name in ("dlogprobs", "dprobs", "dcounts", "dh", "dC")]
    assert order == sorted(order)
    assert str(found).startswith("Right: dlogprobs, dprobs, ")


# What is in BACKWARD, what stands there instead, whose gradient is then wrong, what is said of it.
PLANTED = [
    ("= -1 / n", "= -1", "dlogprobs", "missing: `-1 / n`"),
    ("= -1 / n", "= 1 / n", "dlogprobs", "a sign is wrong"),
    ("dprobs = dlogprobs / probs", "dprobs = dlogprobs * probs", "dprobs", "operation"),
    ("(counts * dprobs).sum(axis=1, keep", "(counts * dprobs).sum(axis=0, keep",
     "dcounts_sum_inv", "wrong axis"),
    ("dcounts_sum_inv = (counts * dprobs).sum(axis=1, keepdims=True)",
     "dcounts_sum_inv = counts * dprobs", "dcounts_sum_inv",
     "counts_sum_inv of shape (5, 1) was broadcast to (5, 6)"),
    ("counts_sum ** -2", "counts_sum ** -1", "dcounts_sum", "a number is wrong"),
    ("dcounts += np.ones_like(counts) * dcounts_sum", "pass", "dcounts",
     "through `counts_sum = counts.sum(axis=1, keepdims=True)` (forward, line 17) is missing"),
    ("dcounts += np", "dcounts = np", "dcounts", "overwritten"),
    ("dnorm_logits = counts * dcounts", "dnorm_logits = dcounts.copy()", "dnorm_logits",
     "the derivative of `counts = np.exp(norm_logits)` (forward, line 16) is left out"),
    ("dlogit_maxes = -dnorm_logits.sum(axis=1, keepdims=True)\n",
     "dlogit_maxes = -dnorm_logits.sum(axis=1)[:, None, None]\n", "dlogit_maxes", "shape"),
    ("dlogits = dnorm_logits.copy()", "dlogits = dnorm_logits / n", "dlogits", "too much"),
    ("dW2 = h.T @ dlogits", "dW2 = dlogits.T @ h", "dW2", "transposed"),
    ("db2 = dlogits.sum(axis=0)", "db2 = dlogits.sum(axis=1)", "db2",
     "`dlogits.sum(axis=0)` in place of `dlogits.sum(axis=1)`"),
    ("db2 = dlogits.sum(axis=0)", "db2 = dlogits.mean(axis=0)", "db2", "a sum and a mean"),
    ("dhpreact = (1 - h ** 2) * dh", "dhpreact = (1 - h) * dh", "dhpreact", "h ** 2"),
    ("dhpreact = (1 - h ** 2) * dh", "dhpreact = (1 - hpreact ** 2) * dh", "dhpreact",
     "`h` in place of `hpreact`"),
    ("(bnraw * dhpreact).sum(axis=0, keepdims=True)", "(bnraw * dhpreact).sum(axis=0)",
     "dbngain", "only the shape is not"),
    ("dbnbias = dhpreact.sum(axis=0, keepdims=True)", "dbnbias = dhpreact.sum()", "dbnbias",
     "wrong axis"),
    ("dbnraw = bngain * dhpreact", "dbnraw = dhpreact.copy()", "dbnraw", "left out"),
    ("dbndiff += 2 * bndiff * dbndiff2", "pass", "dbndiff",
     "`bndiff2 = bndiff ** 2` (forward, line 7) is missing"),
    ("(bndiff * dbnraw)", "(bnraw * dbnraw)", "dbnvar_inv", "`bndiff` in place of `bnraw`"),
    ("dbnvar = -0.5", "dbnvar = 0.5", "dbnvar", "sign"),
    ("** -1.5", "** -0.5", "dbnvar", "number"),
    ("dbnvar / (n - 1)", "dbnvar / n", "dbndiff2", ""),
    ("dbndiff += 2 * bndiff", "dbndiff += bndiff", "dbndiff", "a factor is missing"),
    ("dhprebn += np.ones_like(hprebn) * dbnmeani / n", "pass", "dhprebn", "bnmeani"),
    ("dbnmeani = -dbndiff", "dbnmeani = dbndiff", "dbnmeani", ""),
    ("dW1 = embcat.T @ dhprebn", "dW1 = embcat.T @ dhprebn / n", "dW1", "too much"),
    ("demb = dembcat.reshape(emb.shape)", "demb = np.zeros_like(emb)", "demb", "zero"),
    ("demb = dembcat.reshape(emb.shape)", "demb = dembcat.T.reshape(emb.shape)", "demb",
     "transposed"),
    ("np.add.at(dC, Xb, demb)", "dC[Xb] += demb", "dC", "an index occurs more than once"),
    ("np.add.at(dC, Xb, demb)", "dC[Xb] = demb", "dC", "an index occurs more than once"),
    ("dhprebn = dbndiff.copy()", "dhprebn = dbndiff", "dbndiff", "two names are of one array"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "name", "cause"), PLANTED)
def test_one_wrong_line_is_found_and_nobody_below_it_is_blamed(right, wrong, name, cause):
    found = first_wrong(FORWARD, spoilt(right, wrong), values())
    assert found
    assert found.first is not None
    assert found.first.name == name, found
    assert cause in found.first.cause, found
    assert len(found.wrong) == 1, found
    assert set(found.right) == set(GRADIENTS) - {name}


def test_many_places_are_planted():
    assert len({name for _, _, name, _ in PLANTED}) >= 15


# The forms that statements come in ------------------------------------------------------------


def small():
    rng = np.random.default_rng(1)
    return {
        "x": rng.standard_normal((4, 3)),
        "W": rng.standard_normal((3, 2)),
        "b": rng.standard_normal(2),
        "t": rng.standard_normal((4, 2)),
    }


def test_functions_are_taken_by_their_bodies():
    def forward(x, W, b, t):
        """Two layers in one."""
        h = x @ W + b
        a = np.maximum(h, 0)
        loss = ((a - t) ** 2).sum()
        return loss

    def backward(a, h, t, x):
        da = 2 * (a - t)
        dh = da * (h >= 1)
        dW = x.T @ dh
        return dW

    found = first_wrong(forward, backward, small())
    assert found.first is not None
    assert found.first.name == "dh"
    (statement,) = found.first.statements
    assert statement.endswith("dh = da * (h >= 1)")
    assert found.right == ("da", "dW")


def test_lists_of_statements_and_other_names():
    forward = ["h = x @ W + b", "total = (h * t).sum()"]
    backward = ["g_h = t.copy()", "g_W = x.T @ g_h", "g_b = g_h.sum(0)"]
    found = first_wrong(forward, backward, small(), loss="total", named="g_{}")
    assert found.right == ("g_h", "g_W", "g_b")
    assert not found


def test_a_name_bound_twice_has_a_gradient_at_each():
    forward = "h = x @ W\nh += b\nh = np.tanh(h)\nloss = (h * t).sum()"
    right = "dh = t.copy()\ndh = dh * (1 - h ** 2)\ndW = x.T @ dh\ndb = dh.sum(0)"
    assert not first_wrong(forward, right, small())
    wrong = right.replace("dh = dh * (1 - h ** 2)", "dh = dh * (1 + h ** 2)")
    found = first_wrong(forward, wrong, small())
    assert [finding.name for finding in found.wrong] == ["dh"]
    assert "sign" in found.first.cause
    missing = right.replace("dh = dh * (1 - h ** 2)\n", "")
    found = first_wrong(forward, missing, small())
    assert found.first.name == "dh"


def test_a_forward_in_place_is_run_again_from_what_it_was():
    forward = "h = x @ W\nh[h < 0] *= 0.1\nh += b\nloss = (h * t).sum()"
    backward = "dh = t.copy()\ndb = dh.sum(0)\ndh[h - b < 0] *= 0.1\ndW = x.T @ dh"
    values = small()
    kept = {name: value.copy() for name, value in values.items()}
    assert not first_wrong(forward, backward, values)
    for name, value in values.items():
        np.testing.assert_array_equal(value, kept[name])


def test_loops_and_integer_indices():
    forward = "e = C[ix]\nloss = (e * t).sum()"
    backward = "de = t\ndC = 0 * C\nfor k in range(len(ix)):\n    dC[ix[k]] = dC[ix[k]] + de[k]\n"
    values = {"C": np.arange(6.0).reshape(3, 2), "ix": np.array([0, 2, 0, 1]), **small()}
    assert not first_wrong(forward, backward, values)
    found = first_wrong(forward, backward.replace("+ de[k]", "- de[k]"), values)
    assert found.first.name == "dC"
    assert "sign" in found.first.cause


def test_a_gradient_used_before_it_is_complete():
    early = BACKWARD.replace("dnorm_logits = counts * dcounts\n", "").replace(
        "dcounts_sum = -counts", "dnorm_logits = counts * dcounts\ndcounts_sum = -counts"
    )
    found = first_wrong(FORWARD, early, values())
    assert found.first.name == "dnorm_logits"
    assert "uses dcounts before line 9" in found.first.cause
    assert len(found.wrong) == 1


def test_two_mistakes_are_both_found():
    both = spoilt("dprobs = dlogprobs / probs", "dprobs = dlogprobs * probs")
    both = both.replace("dbnraw = bngain * dhpreact", "dbnraw = dhpreact")
    found = first_wrong(FORWARD, both, values())
    assert [finding.name for finding in found.wrong] == ["dprobs", "dbnraw"]
    assert "Wrong of themselves, too: dbnraw." in str(found)


def test_a_statement_that_raises_ends_the_backward_and_is_said():
    found = first_wrong(FORWARD, spoilt("dh = dlogits @ W2.T", "dh = dlogits @ W2"), values())
    assert found
    assert found.wrong == ()
    assert "line 13: dh = dlogits @ W2, which raised ValueError: matmul" in found.stopped
    assert "dlogits" in found.right
    assert "dh" in found.not_judged
    assert "The backward ends at line 13" in str(found)


def test_what_is_not_written_yet_is_not_asked_for():
    half = BACKWARD[: BACKWARD.index("dhpreact")]
    found = first_wrong(FORWARD, half, values())
    assert not found
    assert "dhpreact" not in found.right


def test_entries_at_a_kink_are_no_mistakes():
    forward = "a = np.maximum(h, 0)\nloss = (a * t).sum()"
    given = {"h": np.array([-1.0, 0.0, 2.0]), "t": np.array([1.0, 2.0, 3.0])}
    assert not first_wrong(forward, "da = t\ndh = da * (h > 0)", given)
    assert first_wrong(forward, "da = t\ndh = da", given)


def test_some_entries_of_each():
    found = first_wrong(FORWARD, spoilt("** -1.5", "** -0.5"), values(), samples=2)
    assert found.first.name == "dbnvar"
    assert found.first.entries == 2


def test_a_notebooks_names_may_all_be_given():
    given = {**values(), "loss": "of an earlier cell", "emb": np.ones(3), "np": np, "_": print}
    assert not first_wrong(FORWARD, BACKWARD, given)


def test_print_is_left_out(capsys):
    first_wrong("print('x')\nloss = (x * x).sum()", "dx = 2 * x\nprint(dx)", small())
    assert capsys.readouterr().out == ""


class FromElsewhere:
    """An array of another library, as far as its name."""


FromElsewhere.__module__ = "torch"


@pytest.mark.parametrize(
    ("forward", "backward", "more", "said"),
    [
        (
            "loss = (x * q).sum()",
            "dx = q",
            {},
            r"line 1: loss .*raised NameError.*among the values",
        ),
        ("loss = (x *", "dx = 1", {}, r"line 1 of the forward is no Python"),
        ("loss = x.sum()", "if dx", {}, r"line 1 of the backward is no Python"),
        ("loss = x", "dx = 1", {}, r"one finite number; got an array of shape \(4, 3\)"),
        ("loss = np.log(-1.0 - (x * x).sum())", "dx = 1", {}, "one finite number; got nan"),
        ("total = x.sum()", "dx = 1", {}, "sets no loss; name its last number"),
        ("loss = (x * np.random.rand()).sum()", "dx = 1", {}, "another at every run"),
        ("loss = x.sum()", "grad = 1", {}, "no gradient of anything in the forward"),
        ("loss = x.sum()", "", {}, "the backward has no statement"),
        ("h = x.astype('float32')\nloss = float((h * h).sum())", "dh = 2 * h", {}, "h is float32"),
        ("loss = x.sum(1, keepdim=True).sum()", "dx = 1", {}, "must be NumPy's"),
        ("loss = x.sum()", "dx = 1", {"x": FromElsewhere()}, "x is torch's; give a NumPy array"),
        ("loss = x.sum()", "dx = 1", {"named": "grad"}, "named must be like"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_judged_is_refused_in_one_sentence(forward, backward, more, said):
    options = {name: more[name] for name in more if name == "named"}
    given = {**small(), **{name: more[name] for name in more if name != "named"}}
    with pytest.raises(ValueError, match=rf"(?s)^first_wrong: .*{said}"):
        first_wrong(forward, backward, given, **options)

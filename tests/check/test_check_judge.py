"""The checker's inside: its reference, hypotheses, judge, child process and wire."""

import ast
import os
import pydoc
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from handgrad.check import cases as check_cases
from handgrad.check.case import Setting, Want, call
from handgrad.check.cases import all_cases
from handgrad.check.conventions import parse
from handgrad.check.reference import reference
from handgrad.check.sandbox import wire
from handgrad.check.sandbox.runner import Runner
from handgrad.check.verdict.compare import compare
from handgrad.check.verdict.diagnosis import CAUSES
from handgrad.check.verdict.hypotheses import explain
from handgrad.check.verdict.judge import causes_of, judge

import references as loops  # isort: skip  (tests/support/references.py)

ROOT = Path(__file__).parents[2]


# -- the reference against naive loops ----------------------------------------------------------

PLAIN, CS231N = reference(parse("handgrad")), reference(parse("cs231n"))


def _answer(of, forward, *args, dout=None):
    """The reference's output, and its gradients where dout is given."""
    out, cache = of.function(forward)(*args)
    if dout is None:
        return out
    return out, of.function(forward.replace("forward", "backward"))(dout, cache)


def test_the_reference_s_images_are_the_naive_loops():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((2, 3, 3, 2))
    b = rng.standard_normal(2)
    for stride, padding in ((1, 0), (2, 1)):
        out = loops.conv_forward_loops(x, w, stride, padding)
        dout = rng.standard_normal(out.shape)
        dx, dw = loops.conv_backward_loops(dout, x, w, stride, padding)
        param = {"stride": stride, "pad": padding}
        got, (got_dx, got_dw, db) = _answer(CS231N, "conv_forward", x, w, b, param, dout=dout)
        np.testing.assert_allclose(got, out + b[:, None, None], rtol=1e-12)
        np.testing.assert_allclose(got_dx, dx, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(got_dw, dw, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(db, dout.sum(axis=(0, 2, 3)), rtol=1e-12)
        if stride == 1:
            plain, (plain_dx, plain_dw) = _answer(PLAIN, "conv_forward", x, w, dout=dout)
            np.testing.assert_allclose(plain, out, rtol=1e-12)
            np.testing.assert_allclose(plain_dx, dx, rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(plain_dw, dw, rtol=1e-12, atol=1e-13)
    flipped = reference(parse("flipped-convolution"))
    turned = np.ascontiguousarray(w[..., ::-1, ::-1])
    out = loops.conv_forward_loops(x, turned, 1, 0)
    dout = rng.standard_normal(out.shape)
    dx, dw = loops.conv_backward_loops(dout, x, turned, 1, 0)
    got, (got_dx, got_dw) = _answer(flipped, "conv_forward", x, w, dout=dout)
    np.testing.assert_allclose(got, out, rtol=1e-12)
    np.testing.assert_allclose(got_dx, dx, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(got_dw, dw[..., ::-1, ::-1], rtol=1e-12, atol=1e-13)
    tied = rng.integers(0, 3, (2, 2, 5, 6)).astype(float)
    out = loops.max_pool_forward_loops(tied, 3, 2, 2)
    dout = rng.standard_normal(out.shape)
    param = {"pool_height": 3, "pool_width": 2, "stride": 2}
    got, got_dx = _answer(PLAIN, "max_pool_forward", tied, param, dout=dout)
    np.testing.assert_array_equal(got, out)
    np.testing.assert_allclose(got_dx, loops.max_pool_backward_loops(dout, tied, 3, 2, 2))
    a, b = x[0, 0], w[0, 0]
    full = loops.convolve_full_loops(a, b)
    for of in (PLAIN, CS231N, flipped):
        np.testing.assert_allclose(of.function("convolve_full")(a, b), full, rtol=1e-12, atol=1e-14)


def test_the_reference_s_losses_are_the_exact_ones():
    rng = np.random.default_rng(1)
    scores = np.array([1e4, -1e4, 0.3, 2.0, -0.7, 40.0])
    positive = np.array([True, True, False, True, False, False])
    for name, exact in (
        ("logistic_loss", loops.logistic_loss_exact),
        ("svm_loss", loops.svm_loss_exact),
    ):
        loss, dx = PLAIN.function(name)(scores, positive.astype(int))
        want_loss, want_dx = exact(scores, positive)
        assert loss == pytest.approx(want_loss, rel=1e-14)
        np.testing.assert_allclose(dx, want_dx, rtol=1e-12, atol=1e-300)
    x, y = rng.standard_normal((4, 3)) * 100, np.array([0, 2, 1, 1])
    loss, dx = PLAIN.function("softmax_loss")(x, y)
    want_loss, want_dx = loops.softmax_loss_exact(x, y)
    assert loss == pytest.approx(want_loss, rel=1e-14)
    # p[y] - 1 is rounded as numbers near 1 are, to 2.2e-16.
    np.testing.assert_allclose(dx, want_dx, rtol=1e-10, atol=2.3e-16)
    loss, dx = CS231N.function("svm_loss")(x, y)
    slack = [[1 + x[n, j] - x[n, y[n]] for j in range(3)] for n in range(4)]
    pairs = [(n, j) for n in range(4) for j in range(3) if j != y[n] and slack[n][j] > 0]
    assert loss == pytest.approx(sum(slack[n][j] for n, j in pairs) / 4, rel=1e-14)
    want_dx = np.zeros((4, 3))
    for n, j in pairs:
        want_dx[n, j] += 1 / 4
        want_dx[n, y[n]] -= 1 / 4
    np.testing.assert_allclose(dx, want_dx, rtol=1e-14)


def test_the_reference_s_gradients_are_their_own_differences():
    """Of batch norm in training; dropout and the dense layers are lines of one product."""
    rng = np.random.default_rng(2)
    x, gamma = rng.standard_normal((5, 3)), rng.uniform(0.5, 2, 3)
    dout = rng.standard_normal((5, 3))

    def scalar(x, gamma):
        return (
            _answer(PLAIN, "batchnorm_forward", x, gamma, gamma, {"mode": "train"}) * dout
        ).sum()

    _, (dx, dgamma, dbeta) = _answer(
        PLAIN, "batchnorm_forward", x, gamma, gamma, {"mode": "train"}, dout=dout
    )
    h = 1e-6
    for array, gradient in ((x, dx), (gamma, dgamma + dbeta)):
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + h
            above = scalar(x, gamma)
            array[index] = kept - h
            below = scalar(x, gamma)
            array[index] = kept
            assert gradient[index] == pytest.approx((above - below) / (2 * h), abs=1e-7)


def test_the_reference_is_not_disturbed_and_disturbs_nothing():
    """Its modules import each other and are nobody else's; NumPy's generator stays where it was."""
    steps = [{"op": "seed", "value": 3}, call("fc_forward", ["x", "w", "b"], ["out", "cache"])]
    inputs = {"x": np.ones((2, 3), np.float32), "w": np.ones((3, 1)), "b": np.zeros(1)}
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    out = PLAIN.values(inputs, steps)["out"]
    assert out.dtype == np.float64
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert not {"layers", "optim", "softmax"} & set(sys.modules)


# -- judging ------------------------------------------------------------------------------------


VALUE = np.array([[0.5, -1.25, 2.0], [3.5, 0.75, -4.5]])


@pytest.mark.parametrize(
    ("got", "cause"),
    [
        (-VALUE, "sign"),
        (VALUE * 7, "factor-n"),
        (VALUE / 7, "factor-one-over-n"),
        (VALUE * 0.3, "factor-p"),
        (VALUE / 0.3, "factor-one-over-p"),
        (VALUE * 2, "factor-two"),
        (VALUE / 2, "factor-half"),
        (VALUE * 1.7, "factor-other"),
        (VALUE.T, "transposed"),
        (np.zeros_like(VALUE), "gradient-zero"),
        (np.trunc(VALUE), "integer-division"),
        (np.stack([VALUE / 2, VALUE / 2]), "not-summed"),
        (VALUE.reshape(6), "wrong-shape"),
        (VALUE + 1, "sample-mistake"),
    ],
)
def test_hypothesis_fits(got, cause):
    assert cause in _causes(np.asarray(got), {"N": 7, "keep": 0.3})


def _causes(got, numbers, value=VALUE):
    mistaken = [("sample-mistake", value + 1)]
    return [item.cause for item in explain(got, value, Want("dx"), numbers, mistaken)]


def test_hypothesis_must_fit_tightly():
    for wrong in (-VALUE, VALUE * 2, VALUE.T.reshape(2, 3), VALUE + 1):
        nearly = np.array(wrong)
        nearly[0, 0] += 1e-4
        assert _causes(nearly, {"N": 7}) == []


def test_a_mistake_that_gives_the_very_numbers_outweighs_those_that_come_near():
    value, want = np.array([1.0, 2.0, -3.0]), Want("dx")
    near, same = value * 1.1, value * 1.1 + 1e-7
    found = explain(same, value, want, {}, [("near", near), ("same", same)])
    assert found[0].cause == "same"
    assert "near" not in [item.cause for item in found]
    # A mistake may change the answer by less than the tight fit of a hypothesis leaves.
    found = explain(value + 1e-8, value, want, {}, [("small", value + 1e-8)])
    assert found[0].cause == "small"


def test_an_infinity_fits_nothing_but_itself():
    value, want = np.array([1.0, 2.0]), Want("dx")
    wrong = [("other-sign", np.array([-np.inf, 2.0])), ("same", np.array([np.inf, 2.0]))]
    found = explain(np.array([np.inf, 2.0]), value, want, {}, wrong)
    assert [item.cause for item in found] == ["same"]


def test_float32_in_float64_s_clothes():
    value = np.random.default_rng(0).standard_normal((4, 5))
    want = Want("out", "float64")
    got = value.astype(np.float32).astype(np.float64)
    assert [item.cause for item in explain(got, value, want, {})] == ["float32-forced"]
    difference = compare(want, value, value.astype(np.float32))
    assert difference is not None
    assert [c.cause for c in causes_of(difference, want, {}, ())] == ["float32-forced"]


STRANGE = [
    None, 1, 0, -1.5, float("nan"), float("inf"), True, "x", wire.Foreign("Tensor"), [], {}, (),
    [1, 2], [0.4, 0.8], [[1]], (1, "a"), {"W": 1}, {"W": np.zeros(1)}, {"W": None}, {"W1": 3},
    [{"scores": np.zeros((24, 4)), "params": {}}] * 7, [3] * 9, np.zeros(0), np.zeros((0, 5)),
    np.zeros((2, 3), bool), np.ones(5, bool), np.zeros((3, 4)), np.full((3, 4), np.nan),
    np.arange(6, dtype=np.uint8), np.float32(2), np.zeros((2,) * 10), np.ones((5, 1)),
]  # fmt: skip


@pytest.mark.parametrize("convention", ["handgrad", "cs231n"])
def test_no_reply_makes_the_judge_itself_fail(convention):
    """Whatever a child sends back, right answers among it, is judged; and wrong is not passed."""
    rng, right = np.random.default_rng(0), reference(parse(convention))
    for case in all_cases(Setting(parse(convention), 0)):
        for _ in range(6):
            results, strange = [], 0
            for variant in case.variants:
                rights = right.right(variant)
                values = {}
                for name in variant.returns():
                    if name in rights and rng.random() < 0.3:
                        values[name] = rights[name]
                    else:
                        values[name] = STRANGE[rng.integers(len(STRANGE))]
                        strange += name in rights
                results.append({"error": None, "values": values})
            judgement = judge(case, results, right)
            assert judgement.status == "failed" or strange < 2
            if case.recognise is not None:
                case.recognise([result["values"] for result in results])


@pytest.mark.parametrize("got", [None, "text", wire.Foreign("Tensor"), [], {}, (1, "a")])
def test_what_is_no_array_is_said(got):
    difference = compare(Want("dx"), VALUE, got)
    assert difference is not None
    assert difference.seen.said.startswith("dx should be an array of shape (2, 3); got ")


def test_every_cause_has_its_sentence():
    """Those of known mistakes, and those that the cases' own judges name."""
    for convention in ("handgrad", "cs231n", "flipped-convolution", "inverted-dropout"):
        for case in all_cases(Setting(parse(convention), 0)):
            for variant in case.variants:
                for want in variant.wants:
                    assert set(want.places) <= set(CAUSES), case.name
    named = set()
    for file in Path(check_cases.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            is_verdict = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Verdict"
            if is_verdict and len(node.args) > 1:
                parts = [part for part in ast.walk(node.args[1]) if isinstance(part, ast.Constant)]
                named |= {part.value for part in parts if isinstance(part.value, str)}
    assert len(named) > 15
    assert named - {",", "whole"} <= set(CAUSES)


def test_what_to_read_is_there():
    """The sections of the derivations, and the names that pydoc is to show."""
    for case in all_cases(Setting(parse("handgrad"), 0)):
        section = re.search(r'^(handgrad/theory/\w+\.md), "(.*)"', case.read)
        if section:
            theory = (ROOT / "src" / section[1]).read_text(encoding="utf-8")
            assert theory.startswith(f"# {section[2]}\n"), case.read
        else:
            name = re.search(r"pydoc (handgrad[.\w]*)", case.read)
            assert name is not None, case.read
            assert pydoc.locate(name[1]) is not None, case.read


# -- the child process --------------------------------------------------------------------------


def test_a_child_that_dies_between_cases_is_started_again():
    with Runner() as runner:
        request = {
            "list": True, "modules": {"layers": "json"}, "aliases": {}, "sources": {}, "path": [],
            "trusted": False,
        }  # fmt: skip
        assert runner.run(request, 5).ending == "replied"
        os.kill(runner.pid, signal.SIGKILL)
        assert runner.run(request, 5).ending == "replied"


# -- the wire -----------------------------------------------------------------------------------


def test_wire_gives_back_what_it_took():
    value = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [1, -2.5, True, None, "x"],
        "c": (np.float64(0.1), float("inf"), np.zeros((0, 3), dtype=bool)), "d": {"e": {}},
        "f": np.asfortranarray(np.arange(6).reshape(2, 3)), "g": np.uint8(200),
    }  # fmt: skip
    back = wire.decode(wire.encode(value))
    assert back["b"] == value["b"]
    assert isinstance(back["c"], tuple)
    np.testing.assert_array_equal(back["a"], value["a"])
    np.testing.assert_array_equal(back["f"], value["f"])
    assert back["a"].dtype == np.float32
    assert back["c"][0] == 0.1
    assert back["c"][2].shape == (0, 3)
    assert back["g"].dtype == np.uint8
    assert np.isnan(wire.decode(wire.encode(float("nan"))))
    assert wire.decode(wire.encode(object())) == "object"


def test_wire_refuses_nonsense():
    good = wire.encode({"a": np.arange(3.0)})
    rng = np.random.default_rng(0)
    for size in range(len(good)):
        with pytest.raises(wire.WireError):
            wire.decode(good[:size])
    with pytest.raises(wire.WireError):
        wire.decode(good + b"x")
    for header in (
        b'{"a": ["<f8", [-1]]}', b'{"a": ["O", [1]]}', b'{"a": ["<f8", [9999999999]]}', b"[1]",
        b'{"z": 1}', b'{"l": 5}', b'{"d": [[1]]}', b"{", b'{"a": 1, "l": []}',
        b'{"l": [' * 9000 + b"]}" * 9000, b'{"a": ["<f8", 3]}',
    ):  # fmt: skip
        with pytest.raises(wire.WireError):
            wire.decode(len(header).to_bytes(8, "little") + header)
    for _ in range(300):
        broken = bytearray(good)
        broken[rng.integers(8, len(good))] = rng.integers(256)
        try:
            wire.decode(bytes(broken))
        except wire.WireError:
            continue

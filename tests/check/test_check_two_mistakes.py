"""Two mistakes in one function: where a single one does not explain the numbers, both are named."""

import pytest

from handgrad.check.case import Setting
from handgrad.check.cases import all_cases
from handgrad.check.conventions import parse
from handgrad.check.courses import load
from handgrad.check.formats.findings import findings
from handgrad.check.proof import replies
from handgrad.check.records import CaseResult
from handgrad.check.reference import reference
from handgrad.check.verdict.judge import judge

CONVENTION = parse("handgrad")
KNOWN = {mistake.name: mistake for mistake in load().mistakes}


def judged(function, *names):
    """Judge all cases of a function with these mistakes planted in it."""
    right = reference(CONVENTION)
    sources = dict(right.sources)
    for name in names:
        sources |= next(KNOWN[name].planted(sources))
    group = KNOWN[names[0]].group
    found = []
    for case in all_cases(Setting(CONVENTION, 0), frozenset([group])):
        if case.function == function:
            answer = judge(case, replies(case, right.context(sources)), right)
            facts = (answer.status, answer.cause, answer.remark, answer.second, answer.seen)
            found.append(CaseResult(case.group, case.function, case.name, *facts))
    return [case for case in found if case.status != "passed"]


PAIRS = [
    ("softmax_loss", "softmax-sum", "softmax-overflow"),
    ("softmax_loss", "softmax-dx-sum", "softmax-overflow"),
    ("logistic_loss", "logistic-dx-sum", "logistic-gradient-overflow"),
    ("logistic_loss", "logistic-dx-sign", "logistic-gradient-overflow"),
    ("fc_backward", "fc-dw-over-n", "fc-dx-sign"),
    ("conv_backward", "conv-dw-over-n", "conv-dw-flipped"),
    ("conv_backward", "conv-dx-sign", "conv-dx-kernel"),
    ("batchnorm_forward", "bn-unbiased", "bn-eps-outside"),
    ("batchnorm_backward", "bn-no-gamma", "bn-no-mean-term"),
    ("dropout_forward", "dropout-keep-drop", "dropout-no-test-scaling"),
]


@pytest.mark.parametrize(("function", "one", "other"), PAIRS)
def test_both_are_named(function, one, other):
    bad = judged(function, one, other)
    stated = {cause for case in bad for cause in (case.diagnosis, case.second)}
    assert KNOWN[one].causes[0] in stated
    assert KNOWN[other].causes[0] in stated
    shown = {f.case.diagnosis for f in findings(bad)} | {f.case.second for f in findings(bad)}
    assert {KNOWN[one].causes[0], KNOWN[other].causes[0]} <= shown


def test_the_words_say_that_there_are_two():
    bad = judged("conv_backward", "conv-dw-over-n", "conv-dw-flipped")
    both = next(case for case in bad if case.second is not None)
    assert "Likely two mistakes at once: first, " in both.detail
    assert "divided by the number of examples N" in both.detail
    assert "the kernel is flipped where it should not be" in both.detail


ALONE = [
    ("softmax_loss", "softmax-sum"),
    ("softmax_loss", "softmax-overflow"),
    ("conv_backward", "conv-dw-flipped"),
    ("batchnorm_forward", "bn-unbiased"),
]


@pytest.mark.parametrize(("function", "name"), ALONE)
def test_one_alone_stays_one(function, name):
    bad = judged(function, name)
    assert bad
    assert all(case.second is None for case in bad)

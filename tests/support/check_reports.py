"""A report made by hand, with every kind of case in it."""

from handgrad.check.records import CaseResult, CheckReport, Observation


def case(function, name, status="passed", diagnosis=None, said="", group=None, counts_alone=True):
    group = group or function.split("_")[0]
    repeat = "" if status == "passed" else f'handgrad check layers.py --case "{name}"'
    return CaseResult(
        group, function, name, status, diagnosis, seen=Observation(said=said), read="derivations",
        repeat=repeat, counts_alone=counts_alone,
    )  # fmt: skip


CASES = (
    case("fc_forward", "values"),
    case("conv_backward", "gradient of x"),
    case(
        "conv_backward",
        "gradient of w",
        "failed",
        "factor-n",
        "dw is wrong at 9 of 9 entries.",
    ),
    case("conv_backward", "even filter", "failed", "factor-n", "dw is wrong."),
    case("conv_backward", "random upstream", "failed", None, "dw is wrong."),
    case("conv_backward", "own forward", "failed", "backward-of-another-forward", "dw is wrong."),
    case("pool_forward", "big stride", "error", "raises", "IndexError: <b>&\x1b[31m\udc80\nline 2"),
    case("adam", "first step", "missing", "not-written", "not written yet", group="optim"),
    case("ConvNet", "gradient of W1", "failed", None, "W1 is wrong.", group="models"),
    case("SVM", "regularisation", "failed", "reg-missing", "loss is wrong.", group="models"),
)


def report(cases=CASES):
    return CheckReport(
        "layers.py",
        "ab" * 32,
        7,
        "handgrad",
        {"dropout": "inverted, p keeps"},
        {"handgrad": "0.1.0", "python": "3.11"},
        tuple(cases),
        {"fc_forward: values": 0.25},
    )

"""A notebook is judged as a file of the same code is, and nothing but its definitions is run."""

import json

import pytest
from check_runs import FAST, GOOD, called, ran, spoilt
from notebooks import SGD, TRAINING, code, found, functions, notebook, text, write

from handgrad.check import SubmissionError, check_submission
from handgrad.check.sandbox.submission import find_submission

CELLS = functions(GOOD)


def outcomes(report):
    return [(c.function, c.name, c.status, c.diagnosis, c.seen.received) for c in report.cases]


def refused(place, *cells, **options):
    with pytest.raises(SubmissionError) as caught:
        find_submission(write(place, *cells, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{place / 'homework.ipynb'}: ")


# the same code, the same verdict -----------------------------------------------------------------


@pytest.mark.parametrize("mistakes", [(), (0,), (0, 1, 2)])
def test_the_same_verdict_and_hash_as_a_file(tmp_path, mistakes):
    from check_runs import PLANTED

    source = spoilt(*(PLANTED[number] for number in mistakes))
    (tmp_path / "py").mkdir()
    (tmp_path / "py/layers.py").write_text(source)
    file = check_submission(tmp_path / "py/layers.py", only=["fc", "relu"])
    other = check_submission(
        write(tmp_path, text("# Homework"), *functions(source), *TRAINING),
        only=["fc", "relu"],
    )
    assert outcomes(other) == outcomes(file)
    assert other.sha256 == file.sha256
    assert other.passed == (not mistakes)


def test_the_hash_is_of_the_code_that_is_judged(tmp_path):
    """Comments between functions, a main block and what nothing uses are not in it; code is."""
    plain = found(tmp_path, *CELLS).sha256
    file = tmp_path / "layers.py"
    for more, same in [
        ("\n# a remark\n", True),
        ("\nif __name__ == '__main__':\n    print(fc_forward)\n", True),
        ("\nimport os\n\ndef plot(history):\n    return os.fspath(history)\n", True),
        ("\nfc_forward.__doc__ = 'changed'\n", False),
        ("\nnp.seterr(all='raise')\n", False),
        ("\ndef relu_forward(x):\n    return x * (x > 0), x\n", False),
    ]:
        file.write_text(GOOD + more)
        assert (find_submission(file).sha256 == plain) == same, more
    file.write_text(GOOD.replace("\n", "\r\n"))
    assert find_submission(file).sha256 == plain
    file.write_text(GOOD.replace("axis=0", "axis=1"))
    assert find_submission(file).sha256 != plain


@pytest.mark.parametrize(
    "source", ["from {} import *\n", "from {} import __getattr__\n", "import {}.sub as s\ns.go()\n"]
)
def test_what_makes_functions_for_a_file_is_in_its_hash(tmp_path, source):
    hashes = set()
    for helper in ("first", "second"):
        (tmp_path / "layers.py").write_text(source.format(helper))
        hashes.add(find_submission(tmp_path / "layers.py").sha256)
    assert len(hashes) == 2


def test_a_file_that_looks_names_up_is_hashed_whole(tmp_path):
    file = tmp_path / "layers.py"
    dynamic = GOOD.replace("return np.maximum(x, 0), x", "return globals()['hidden'](x), x")
    hashes = set()
    for body in ("np.maximum(x, 0)", "np.maximum(x, 1)"):
        file.write_text(f"{dynamic}\ndef hidden(x):\n    return {body}\n")
        hashes.add(find_submission(file).sha256)
    assert len(hashes) == 2


def test_outputs_and_numbers_of_runs_are_not_in_the_hash(tmp_path):
    first = found(tmp_path, *CELLS).sha256
    outputs = [{"output_type": "stream", "name": "stdout", "text": ["x"]}]
    ran_again = [code(cell, 7 + n, outputs=outputs) for n, cell in enumerate(CELLS)]
    assert found(tmp_path, *ran_again).sha256 == first
    as_lists = [code(cell.splitlines(keepends=True)) for cell in CELLS]
    assert found(tmp_path, *as_lists).sha256 == first
    assert found(tmp_path, *[cell.replace("\n", "\r\n") for cell in CELLS]).sha256 == first


def test_statements_on_one_line_and_on_two_have_the_same_hash(tmp_path):
    uses = "def relu_forward(x):\n    return np.maximum(x, ZERO), x"
    one = found(tmp_path, "import numpy as np; ZERO = 'é' and 0; OTHER = 1  # one", uses)
    two = found(tmp_path, "import numpy as np\n# two\nZERO = 'é' and 0", "OTHER = 1", uses)
    assert one.sha256 == two.sha256


def test_marks_of_the_byte_order_and_unknown_fields_do_no_harm(tmp_path):
    record = json.loads(notebook(*CELLS))
    record["metadata"] = None
    record["cells"][0]["execution_count"] = "x"
    (tmp_path / "bom.ipynb").write_bytes(b"\xef\xbb\xbf" + json.dumps(record).encode())
    assert find_submission(tmp_path / "bom.ipynb").sha256 == found(tmp_path, *CELLS).sha256


def test_format_3(tmp_path):
    cells = [
        {"cell_type": "code", "input": cell.splitlines(keepends=True), "prompt_number": n,
         "language": "python", "outputs": []}
        for n, cell in enumerate(CELLS)
    ]  # fmt: skip
    record = {"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}
    (tmp_path / "old.ipynb").write_text(json.dumps(record))
    old = find_submission(tmp_path / "old.ipynb")
    assert old.sha256 == found(tmp_path, *CELLS).sha256
    assert check_submission(old, only=["fc"]).passed


def test_the_command(tmp_path):
    write(tmp_path, text("# one"), *CELLS, *TRAINING)
    said = called(tmp_path, "homework.ipynb", *FAST).stdout
    assert "4 functions: 4 passed." in said
    assert "Cell 7: %matplotlib, !pip left out: not Python." in said
    assert "matplotlib, which is neither" not in said


# what is taken -----------------------------------------------------------------------------------


def test_one_notebook_holds_several_modules(tmp_path):
    """Names resolve across them, also by the modules' own names."""
    solver = (
        "from layers import *\nimport optim\nfrom optim import sgd\n"
        "class Solver:\n    def __init__(self, model, data, **kwargs):\n"
        "        self.rule = getattr(optim, 'sgd')\n        self.forward = fc_forward"
    )
    submission = found(tmp_path, solver, "RATE = 1e-2", SGD, *CELLS)
    assert list(submission.modules) == ["layers", "optim", "solver"]
    report = check_submission(submission, only=["fc", "sgd"])
    assert {c.status for c in report.cases} == {"passed"}
    made = check_submission(submission, only=["solver"])
    assert not [c for c in made.cases if "Module" in c.detail or "NameError" in c.detail]


def test_an_import_of_what_the_notebook_does_not_define_is_not_written_yet(tmp_path):
    submission = found(tmp_path, CELLS[0], "from layers import fc_forward, relu_forward", CELLS[3])
    report = check_submission(submission, only=["fc_forward", "relu_forward"], case="value")
    assert [(c.function, c.status) for c in report.cases] == [
        ("fc_forward", "missing"), ("relu_forward", "passed"),
    ]  # fmt: skip


@pytest.mark.parametrize("library", ["torch.optim", "sklearn.svm"])
def test_a_library_is_no_module_of_the_course(tmp_path, library):
    """A module of the course's name in it is not the notebook itself."""
    root = library.partition(".")[0]
    using = CELLS[3].replace("np.maximum(x, 0)", f"{root}.maximum(x, 0)")
    cells = [f"import {library}\nfrom {library} import nothing_of_ours", f"import {root}", using]
    submission = found(tmp_path, CELLS[0], *cells)
    content = submission.sources[f"parent/{tmp_path.name}/notebook_homework.py"]
    assert b"'own': []" in content
    assert refused(tmp_path, *cells[:1]).endswith("(affine_backward, affine_forward, ...)")


@pytest.mark.parametrize(
    "constant",
    [
        "RATE = 1e-2",
        "TEN = 10; RATE = 1 / TEN ** 2",
        "RATE: float = float(np.float64(0.01))",
        "RATE, OTHER = 1e-2, [1, 2]",
        "from collections import namedtuple\nR = namedtuple('R', 'rate')\nRATE = R(1e-2).rate",
        "try:\n    import no_such_package\n    RATE = 5\nexcept ImportError:\n    RATE = 1e-2",
        "rates = {'sgd': 1e-2}\nRATE = rates['sgd']",
        "half = lambda x: x / 2\ndef RATE_():\n    return half(0.02)\nRATE = np.array([0.01])[0]",
    ],
)
def test_a_constant_that_a_function_uses_is_taken(tmp_path, constant):
    if "R(1e-2)" in constant:  # a call of one's own is no constant
        constant = constant.replace("R(1e-2).rate", "1e-2\nMade = R")
    assert check_submission(
        found(tmp_path, "import numpy as np", SGD, constant), only=["sgd"]
    ).passed


@pytest.mark.parametrize("value", ["load()", "np.load('rate.npy')", "np.random.rand()", "x.y()"])
def test_what_is_computed_by_a_cell_that_is_not_run_is_said(tmp_path, value):
    submission = found(tmp_path, "def load():\n    return 1e-2", f"RATE = {value}", SGD)
    assert submission.notes == (
        "cell 2, line 1: RATE, which sgd uses, is computed by code that is not run; only imports, "
        "definitions and constants are",
    )
    report = check_submission(submission, only=["sgd"])
    assert all("NameError: name 'RATE'" in case.detail for case in report.cases if case.detail)


def test_a_value_that_a_cell_would_change_is_said(tmp_path):
    again = "relu_forward = log(relu_forward)"
    submission = found(tmp_path, *CELLS, "def log(f):\n    return f", again)
    assert submission.notes == (
        "cell 7, line 1: relu_forward is given another value by code that is not run; its "
        "definition is judged",
    )


def test_cells_in_any_order(tmp_path):
    """What a statement needs as it runs comes first, whatever cell it stands in."""
    decorated = "@logged\ndef relu_forward(x):\n    return np.maximum(x, ZERO), x"
    decorator = "ZERO = -ONE + 1\ndef logged(f):\n    return f\nONE = 1"
    cells = [decorated, *reversed(CELLS[:3]), CELLS[4], decorator]
    assert check_submission(found(tmp_path, *cells), only=["fc", "relu"]).passed


def test_of_two_definitions_that_counts_which_ran_last(tmp_path):
    wrong = CELLS[3].replace("np.maximum", "np.minimum")
    for first, second, passed in [
        (code(CELLS[3], 9), code(wrong, 4), True),
        (code(wrong, 4), code(CELLS[3], 9), True),
        (code(wrong, 9), code(CELLS[3], 4), False),
        (code(CELLS[3]), code(wrong), False),
        (code(CELLS[3], 3), code(wrong), True),
    ]:
        twice = code("def twice(x):\n    return relu_forward(relu_forward(x))", 2)
        submission = found(tmp_path, code(CELLS[0], 1), first, second, twice)
        report = check_submission(submission, only=["relu_forward"], case="value")
        assert report.passed == passed
        at = 2 if passed == (first["source"] == CELLS[3]) else 3
        ran_any = any(cell["execution_count"] for cell in (first, second))
        which = "that which was run last" if ran_any else ""
        (note,) = submission.notes
        assert note.startswith(f"defined more than once; {which}")
        assert note.endswith(f" counts: relu_forward (cell {at}, not cell {5 - at})")


def test_a_definition_that_is_used_before_the_next_is_kept(tmp_path):
    """One's own earlier version may be wrapped by the later one, in a file and in a notebook."""
    wrapped = [*CELLS[:4], "_plain = relu_forward", "def relu_forward(x):\n    return _plain(x)"]
    assert check_submission(found(tmp_path, *wrapped), only=["relu_forward"]).passed
    (tmp_path / "layers.py").write_text("\n".join(wrapped))
    assert find_submission(tmp_path / "layers.py").sha256 == found(tmp_path, *wrapped).sha256


def test_that_which_ran_last_counts_where_both_are_kept(tmp_path):
    wrong = CELLS[3].replace("np.maximum", "np.minimum")
    cells = [code(CELLS[0], 1), code(CELLS[3], 9), code(wrong, 4), code("same = relu_forward", 5)]
    assert check_submission(found(tmp_path, *cells), only=["relu_forward"], case="value").passed


def test_methods_given_to_a_class_later(tmp_path):
    cells = [
        "class SVM:\n    def __init__(self, *args, **kwargs):\n        self.params = {'W1': 1}",
        "def loss(self, X, y=None):\n    return X\nSVM.loss = loss",
    ]
    submission = found(tmp_path, *cells)
    assert {"SVM", "loss"} <= set(submission.places)


@pytest.mark.parametrize(
    "cell",
    [
        f"%%time\n{CELLS[3]}",
        f"%load_ext autoreload\n%autoreload 2\n{CELLS[3]}\n%timeit relu_forward(3)",
        f"{CELLS[3]}\nrelu_forward?\n??relu_forward",
        f"files = !ls\nt = %timeit -o 3\n{CELLS[3]}",
        f"!pip install \\\n  numpy \\\n  matplotlib\n{CELLS[3]}",
        f"%%writefile layers.py\n{CELLS[3]}",
        "    " + CELLS[3].replace("\n", "\n    "),
        f"text = '''\n%matplotlib\n!ls\n'''\n%matplotlib inline\nx = (7\n  %y)\n{CELLS[3]}",
        f"if True:\n    !ls\n{CELLS[3]}",
        f"await something()\n{CELLS[3]}",
        f"{CELLS[3]}\nx = '\\d'; y = 1 is 1",
    ],
)
def test_magics_hide_no_function(tmp_path, cell):
    submission = found(tmp_path, CELLS[0], cell)
    assert submission.sha256 == found(tmp_path, CELLS[0], CELLS[3]).sha256
    assert check_submission(submission, only=["relu_forward"], case="value").passed


def test_cells_in_other_languages_are_left_out(tmp_path):
    cells = [f"%%bash\n{CELLS[3]}", "%%html\n<b>def fc_backward</b>", *CELLS[:3]]
    submission = found(tmp_path, *cells)
    assert "relu_forward" not in submission.places
    assert submission.notes == ("cell 1, cell 2: %%bash, %%html left out: not Python",)


def test_a_package_that_no_judged_function_uses_is_not_asked_for(tmp_path):
    cells = ["import no_such_package as p\nfrom no_such_other import *", *CELLS]
    plots = "import no_such_plots\ndef plot(x):\n    return no_such_plots.show(p.of(x))"
    assert check_submission(found(tmp_path, *cells, plots), only=["fc", "relu"]).passed


def test_only_the_functions_that_use_an_absent_package_are_not_judged(tmp_path):
    using = CELLS[3].replace("np.maximum(x, 0)", "p.maximum(x, 0)")
    submission = found(tmp_path, "import no_such_package as p", *CELLS[:3], using, CELLS[4])
    report = check_submission(submission, only=["fc", "relu_forward"])
    assert {(c.function, c.status) for c in report.cases} == {
        ("fc_forward", "passed"), ("fc_backward", "passed"), ("relu_forward", "not judged"),
    }  # fmt: skip
    assert report.problems == (
        "not judged: relu_forward in homework.ipynb needs the package no_such_package, which is "
        "neither installed here nor a file of the submission",
    )


def test_a_file_beside_it_can_be_imported(tmp_path):
    (tmp_path / "helper.py").write_text("def larger(x):\n    return x * (x > 0)\n")
    cell = "def relu_forward(x):\n    from helper import larger\n    return larger(x), x"
    top = "from helper import larger\ndef relu_forward(x):\n    return larger(x), x"
    star = "from helper import *\ndef relu_forward(x):\n    return larger(x), x"
    for each in (cell, top, star):
        assert check_submission(found(tmp_path, each), only=["relu_forward"]).passed


def test_a_module_of_the_course_beside_it_is_that_module(tmp_path):
    (tmp_path / "layers.py").write_text(GOOD)
    submission = found(tmp_path, "from layers import *\nimport numpy as np", *CELLS[1:3])
    assert check_submission(submission, only=["relu_forward", "fc"], case="value").passed


def test_annotations_that_are_not_evaluated(tmp_path):
    relu = "def relu_forward(x: NoSuchType) -> AnotherOne:\n    return np.maximum(x, 0), x"
    cells = ["from __future__ import annotations", "import numpy as np", relu]
    assert check_submission(found(tmp_path, *cells), only=["relu_forward"]).passed


# where a mistake stands --------------------------------------------------------------------------


def test_an_exception_names_its_cell_and_line(tmp_path):
    broken = CELLS[1].replace("    return x", "    x = x + 0\n    return x.no_such_attribute")
    write(tmp_path, text("# one"), CELLS[0], text("two"), broken, *CELLS[2:])
    said = " ".join(ran(tmp_path, "homework.ipynb", *FAST, code=1).split())
    assert "(cell 4, line 3: return x.no_such_attribute" in said
    assert "fc_forward is in cell 4, line 1." in said


def test_a_wrong_value_names_the_cell_of_its_function(tmp_path):
    wrong = CELLS[4].replace("> 0", ">= 0")
    submission = found(tmp_path, *CELLS[:4], f"# a remark\n\n{wrong}")
    report = check_submission(submission, only=["relu_backward"])
    failed = [case for case in report.cases if case.status == "failed"]
    assert failed
    assert {case.place for case in failed} == {"cell 5, line 3"}
    assert all("relu_backward is in cell 5, line 3." in case.detail for case in failed)


def test_a_cell_with_a_syntax_error_is_named_and_the_others_are_judged(tmp_path):
    broken = CELLS[2].replace("dw = x", "dw = = x")
    write(tmp_path, *CELLS[:2], broken, *CELLS[3:])
    said = " ".join(ran(tmp_path, "homework.ipynb", *FAST, code=1).split())
    assert "Cell 3, line 4: SyntaxError: invalid syntax; this cell is left out" in said
    assert "3 passed, 1 failed. 1 mistake to fix" in said
    assert "(cell 3, line 4: dw = = x.reshape(len(x), -1).T @ dout)" in said
    assert "fc_forward passed" in said
    other = found(tmp_path, *CELLS[:2], f"{broken}\n", *CELLS[3:]).sha256
    assert other != found(tmp_path, *CELLS[:2], broken, *CELLS[3:]).sha256


def test_a_cell_that_fails_as_it_is_run_costs_its_own_functions(tmp_path):
    cell = "def relu_forward(x, at=NO_SUCH_NAME):\n    return np.maximum(x, 0), x"
    report = check_submission(found(tmp_path, *CELLS[:3], cell), only=["fc", "relu_forward"])
    by_function = {case.function: case for case in report.cases if case.status != "passed"}
    assert set(by_function) == {"relu_forward"}
    assert "(cell 4, line 1: def relu_forward" in by_function["relu_forward"].detail


# what is no notebook, or holds nothing -----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no notebook: its JSON is broken at line 1, column 1: Expecting value; open it in"),
        (notebook(*CELLS)[:-40], "no notebook: its JSON is broken at line 1, column"),
        ("[1, 2]", "no notebook: there are no cells in its JSON"),
        ('{"cells": 3}', "no notebook: there are no cells in its JSON"),
        ('{"cells": ["x"]}', "no notebook: there are no cells in its JSON"),
        ("[" * 100_000, "no notebook: its JSON cannot be read"),
        ('{"cells": []}', "defines none of the functions that are judged (affine_backward"),
        (b"\xff\xfe\x00", "no notebook: it is not UTF-8 text"),
    ],
    ids=range(8),
)
def test_what_is_no_notebook_is_one_line(tmp_path, content, said):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "homework.ipynb").write_bytes(content)
    message = ran(tmp_path, "homework.ipynb", code=2)
    assert message.startswith(f"homework.ipynb: {said}")
    assert "\n" not in message


def test_another_language_is_named(tmp_path):
    assert refused(tmp_path, "x <- 1", language="R") == "a notebook in R; only Python is judged"


def test_functions_that_stand_in_text_alone_are_named(tmp_path):
    fenced = text(f"My solution:\n```python\n{CELLS[3]}\n```")
    assert refused(tmp_path, fenced).endswith(
        "; cell 1: relu_forward stands in text, which is not judged"
    )
    submission = found(tmp_path, *CELLS[:3], fenced, text(CELLS[4], "raw"))
    assert submission.notes == (
        "cell 4: relu_forward stands in text, which is not judged",
        "cell 5: relu_backward stands in text, which is not judged",
    )


def test_a_notebook_that_imports_the_solution_says_where_it_is(tmp_path):
    said = refused(tmp_path, "from cs231n.layers import *\nfc_forward(1, 2, 3)")
    assert said.endswith("; it imports cs231n.layers: name that file, cs231n/layers.py")

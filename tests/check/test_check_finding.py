"""Whatever a course's site makes of names and folders, the submission in it is found."""

import io
import re
import stat
import tarfile
import zipfile

import pytest
from check_runs import GOOD, called, ran
from notebooks import functions, notebook, text

from handgrad.check import SubmissionError, check_submission
from handgrad.check.classroom.finding import submissions
from handgrad.check.courses import load
from handgrad.check.reading import archives
from handgrad.check.sandbox.submission import find_submission

SGD = "def sgd(w, dw, config=None):\n    return w - config['learning_rate'] * dw, config\n"
NOTEBOOK = notebook(*functions(GOOD))
NOTHING = "holds no layers.py, no other module of the course, and no notebook"
DAMAGED = "file, or a damaged one; pack it anew"
LEADS_OUT = "holds a path that leads out of it"


def lay(place, files):
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return place


def zipped(files):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def tarred(files):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            content = content if isinstance(content, bytes) else content.encode()
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return held.getvalue()


# names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "unit", "owner"),
    [
        ("layers", "layers", ""),
        ("conv_layers", "layers", ""),
        ("smithjohn_12345_678_layers", "layers", "smithjohn_12345"),
        ("smithjohn_late_12345_679_optim-2", "optim", "smithjohn_12345"),
        ("smithjohn_LATE_12345_680_Solver", "solver", "smithjohn_12345"),
        ("layers (1)", "layers", ""),
        ("layers(2)", "layers", ""),
        ("layers-3", "layers", ""),
        ("layers - Copy", "layers", ""),
        ("layers - Copy (2)", "layers", ""),
        ("layers_final_v2", "layers", ""),
        ("Copy of svm", "svm", "Copy of"),
        (
            "Ann Lee_4711_assignsubmission_file_layers",
            "layers",
            "Ann Lee_4711_assignsubmission_file",
        ),
    ],
)
def test_what_a_name_says(stem, unit, owner):
    what = load().wanted.named(stem)
    assert (what.unit, what.owner) == (unit, owner)


@pytest.mark.parametrize(
    "stem", ["test_layers", "fast_layers", "layer_utils", "players", "hw1", ""]
)
def test_other_names_say_nothing(stem):
    assert load().wanted.named(stem) is None


def test_the_names_of_the_functions_are_those_that_are_judged():
    from handgrad.check.case import Setting
    from handgrad.check.cases import all_cases
    from handgrad.check.conventions import parse
    from handgrad.check.courses import shipped

    for name in shipped():
        course = load(name)
        judged = {unit: set() for unit in course.units}
        for case in all_cases(Setting(parse("", name), 0)):
            function = case.function.partition(".")[0]
            judged[case.unit].update(course.aliases.get(function, [function]))
        more = {"logistic_loss"} if name == "cs231n" else set()  # of the base's reference
        found = {unit: set(names) - more for unit, names in course.wanted.items()}
        assert judged == found, name


# a folder, an archive ----------------------------------------------------------------------------

SHAPES = [
    ({"layers.py": GOOD}, {"layers"}),
    ({"hw/cs231n/layers.py": GOOD, "hw/cs231n/optim.py": SGD, "hw/a.ipynb": notebook("x = 1")},
     {"layers", "optim"}),
    ({"smith_late_12_34_layers-2.py": GOOD, "optim (1).py": SGD}, {"layers", "optim"}),
    ({"homework.ipynb": NOTEBOOK, ".ipynb_checkpoints/homework-checkpoint.ipynb": NOTEBOOK},
     {"layers"}),
    ({"a/b/homework.ipynb": NOTEBOOK, "a/b/helper.py": "x = 1"}, {"layers"}),
    ({"homework.ipynb": NOTEBOOK, "optim.py": SGD}, {"layers"}),
    ({"__MACOSX/._layers.py": b"\x00\x05", "__MACOSX/layers.py": "", ".DS_Store": b"\x00",
      "Ann/layers.py": GOOD}, {"layers"}),
    ({"solution.py": GOOD, "notes.txt": "x"}, {"layers"}),
    ({"train_cnn.py": "raise SystemExit", "layers.py": GOOD}, {"layers"}),
    ({"layers.py": GOOD, "layers (1).py": "raise SystemExit"}, {"layers"}),
    ({"venv/lib/layers.py": "", "node_modules/layers.py": "", "layers.py": GOOD}, {"layers"}),
]  # fmt: skip


@pytest.mark.parametrize(("files", "units"), SHAPES, ids=range(len(SHAPES)))
def test_the_same_is_found_in_a_folder_and_in_archives(tmp_path, files, units):
    lay(tmp_path / "sub", files)
    (tmp_path / "sub.zip").write_bytes(zipped(files))
    (tmp_path / "sub.tar.gz").write_bytes(tarred(files))
    inner = zipped({"sub.zip": zipped(files), "__MACOSX/x.zip": b""})
    (tmp_path / "outer.zip").write_bytes(inner)
    hashes = set()
    for name in ("sub", "sub.zip", "sub.tar.gz", "outer.zip"):
        submission = find_submission(tmp_path / name)
        assert (set(submission.modules), submission.file) == (units, str(tmp_path / name))
        hashes.add(submission.sha256)
    assert len(hashes) == 1


def test_an_archive_is_judged(tmp_path):
    (tmp_path / "hw.zip").write_bytes(zipped({"me/cs231n/layers.py": GOOD}))
    said = ran(tmp_path, "hw.zip", "--only", "relu_forward")
    assert "1 function: 1 passed." in said
    (tmp_path / "hw.zip").write_bytes(zipped({"me/hw.ipynb": notebook("1 +", *functions(GOOD))}))
    report = check_submission(tmp_path / "hw.zip", only=["relu_forward"])
    assert report.passed
    assert report.notes == ("cell 1, line 1: SyntaxError: invalid syntax; this cell is left out, "
                            "the others are judged",)  # fmt: skip


def test_a_modules_own_name_comes_before_another_that_it_may_have(tmp_path):
    model = "class ConvNet:\n    pass\n"
    lay(tmp_path, {"cnn.py": model, "convnet.py": model, "conv_layers.py": GOOD})
    assert dict(find_submission(tmp_path).modules) == {"layers": "conv_layers", "cnn": "cnn"}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    lay(tmp_path, {"elsewhere/layers.py": GOOD, "sub/real.py": GOOD, "sub/optim.py": SGD})
    (tmp_path / "sub/layers.py").symlink_to(tmp_path / "elsewhere/layers.py")
    assert set(find_submission(tmp_path / "sub").modules) == {"optim"}
    (tmp_path / "sub/layers.py").unlink()
    (tmp_path / "sub/layers.py").symlink_to("real.py")
    assert set(find_submission(tmp_path / "sub").modules) == {"layers", "optim"}


def test_a_notebook_beside_the_module_is_said(tmp_path):
    lay(
        tmp_path, {"layers.py": GOOD, "homework.ipynb": NOTEBOOK, "driver.ipynb": notebook("x = 1")}
    )
    assert find_submission(tmp_path).notes == (
        "homework.ipynb defines functions of the course, too; it is not judged",
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a/layers.py": GOOD, "b/layers.py": GOOD},
         "several folders could be meant: a, b; name one"),
        ({"a.ipynb": NOTEBOOK, "b.ipynb": NOTEBOOK},
         "several files could be meant: a.ipynb, b.ipynb; name one"),
        ({"a.py": GOOD, "b.py": GOOD}, "several files could be meant: a.py, b.py; name one"),
        ({"layers-1.py": GOOD, "layers-2.py": GOOD},
         "several files could be layers.py: layers-1.py, layers-2.py; leave one"),
        ({"notes.txt": "x"}, NOTHING),
        ({"a/b/c/d/layers.py": GOOD}, NOTHING),
        ({"hw.ipynb": "{"}, "hw.ipynb: no notebook: its JSON is broken at line 1, column 2: Expec"),
        ({"hw.ipynb": notebook(text("x"))}, "hw.ipynb: defines none of the functions that are"),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_not_clear_is_one_line(tmp_path, files, said):
    lay(tmp_path / "sub", files)
    (tmp_path / "sub.zip").write_bytes(zipped(files))
    for name in ("sub", "sub.zip"):
        message = ran(tmp_path, name, code=2)
        assert message.startswith(f"{name}: {said}")
        assert "\n" not in message


# archives that nobody should open ----------------------------------------------------------------


def linked_zip():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        info = zipfile.ZipInfo("layers.py")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "optim.py")
    return held.getvalue()


def linked_tar():
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        info = tarfile.TarInfo("layers.py")
        info.type, info.linkname = tarfile.SYMTYPE, "optim.py"
        archive.addfile(info)
    return held.getvalue()


def locked():
    """A zip whose entry says that it is encrypted."""
    content = bytearray(zipped({"layers.py": GOOD}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def twice():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("layers.py", GOOD)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("layers.py", GOOD)
    return held.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", lambda: b"", f"is no zip {DAMAGED}"),
        ("a.zip", lambda: zipped({"layers.py": GOOD})[:-30], f"is no zip {DAMAGED}"),
        ("a.tar.gz", lambda: tarred({"layers.py": GOOD})[:60], f"is no tar {DAMAGED}"),
        ("a.tgz", lambda: zipped({"layers.py": GOOD}), f"is no tar {DAMAGED}"),
        ("a.zip", lambda: zipped({"../layers.py": GOOD}), f"{LEADS_OUT} ('../layers.py')"),
        ("a.tar.gz", lambda: tarred({"a/../../layers.py": GOOD}), f"{LEADS_OUT} ("),
        ("a.zip", lambda: zipped({"/layers.py": GOOD}), f"{LEADS_OUT} ('/layers.py')"),
        ("a.zip", lambda: zipped({"C:\\layers.py": GOOD}), f"{LEADS_OUT} ('C:"),
        ("a.zip", linked_zip, "holds a link (layers.py); pack the file itself"),
        ("a.tar", linked_tar, "holds a link (layers.py); pack the file itself"),
        ("a.zip", locked, "is locked with a password; pack it without one"),
        ("a.zip", twice, "holds layers.py twice"),
    ],
    ids=range(12),
)  # fmt: skip
def test_an_archive_that_is_refused_is_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content())
    message = ran(tmp_path, name, code=2)
    assert message.startswith(f"{name}: {said}")
    assert "\n" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_archives_have_limits(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"layers.py": GOOD, "data.bin": b"\x00" * 5000}))
    monkeypatch.setattr(archives, "MAX_UNPACKED", 4000)
    with pytest.raises(SubmissionError, match="holds more than 10000 files or 0 MiB"):
        find_submission(path)
    monkeypatch.setattr(archives, "MAX_UNPACKED", 6000)
    assert find_submission(path).modules
    monkeypatch.setattr(archives, "MAX_READ", 100)
    with pytest.raises(SubmissionError, match="holds more than 0 MiB of Python files"):
        find_submission(path)
    monkeypatch.setattr(archives, "MAX_ENTRIES", 0)
    with pytest.raises(SubmissionError, match="holds more than 0 files"):
        find_submission(path)


def test_an_entry_that_is_larger_than_it_says(tmp_path, monkeypatch):
    """What the header says is not believed: reading ends at the limit."""
    content = bytearray(zipped({"layers.py": "#" * 5000}))
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(bytes(content))
    monkeypatch.setattr(archives, "MAX_READ", 1000)
    with pytest.raises(SubmissionError):
        find_submission(tmp_path / "a.zip")


# a batch -----------------------------------------------------------------------------------------


def test_a_folder_as_courses_sites_give_it(tmp_path):
    lay(tmp_path, {
        "smithjohn_late_12_34_layers-2.py": GOOD,
        "smithjohn_12_35_optim.py": SGD,
        "doejane_13_36_layers.py": GOOD,
        "leeann_14_37_homework.ipynb": NOTEBOOK,
        "kimbo_15_38_hw.zip": zipped({"layers.py": GOOD}),
        "Ann Lee_4711_assignsubmission_file_/layers.py": GOOD,
        "Bo Kim_4712_assignsubmission_file_/hw1/hw.ipynb": NOTEBOOK,
        "Cy Orr_4713_assignsubmission_file_/hw.zip": zipped({"cs231n/layers.py": GOOD}),
        "Di Poe_4714_assignsubmission_file_/report.pdf": b"",
        "old.rar": b"",
        "__MACOSX/layers.py": "",
        ".DS_Store": b"",
        "readme.txt": "",
    })  # fmt: skip
    found = {s.name: s for s in submissions(tmp_path)}
    assert {name: s.problem for name, s in found.items()} == {
        "Ann Lee_4711_assignsubmission_file_": "",
        "Bo Kim_4712_assignsubmission_file_": "",
        "Cy Orr_4713_assignsubmission_file_": "",
        "Di Poe_4714_assignsubmission_file_":
            NOTHING,
        "doejane_13_36_layers.py": "",
        "kimbo_15_38_hw.zip": "",
        "leeann_14_37_homework.ipynb": "",
        "old.rar": "cannot be opened here, only .zip and .tar.gz can; unpack it first",
        "smithjohn_12": "",
    }  # fmt: skip
    hashes = {}
    for name, submission in found.items():
        if not submission.problem:
            where, relative = submission.alone(tmp_path, tmp_path.parent / "alone" / name)
            judged = find_submission(where / relative)
            hashes[name] = judged.sha256
            assert "layers" in judged.modules
    assert hashes["leeann_14_37_homework.ipynb"] == hashes["doejane_13_36_layers.py"]
    where, relative = found["smithjohn_12"].alone(tmp_path, tmp_path.parent / "smith")
    assert relative == "smithjohn_12"
    assert set(find_submission(where / relative).modules) == {"layers", "optim"}


def test_two_of_one_module_are_not_guessed_between(tmp_path):
    lay(tmp_path, {"smith_12_34_layers-1.py": GOOD, "smith_12_35_layers-2.py": GOOD})
    (found,) = submissions(tmp_path)
    assert found.problem == (
        "several files could be meant: smith_12_34_layers-1.py, smith_12_35_layers-2.py; leave one "
        "of each module"
    )


def test_a_batch_of_notebooks_and_archives(tmp_path):
    lay(tmp_path / "class", {
        "bob_1_2_layers.py": GOOD, "bob_1_3_optim.py": SGD,
        "cy.zip": zipped({"hw/homework.ipynb": NOTEBOOK}),
        "di.zip": b"no zip",
        "eve.ipynb": "{}",
    })  # fmt: skip
    run = ("class", "--batch", "out", "--only", "relu_forward")
    first = called(tmp_path, *run, code=1)
    assert first.stdout.startswith("4 submissions: 2 pass everything, 2 cannot be judged\n")
    said = dict(line.split(": ", 1) for line in first.stderr.splitlines())
    (both,) = {said.pop(name) for name in ("bob_1", "cy.zip")}
    assert re.fullmatch(r"(\d+) of \1 cases passed", both)
    assert said == {
        "di.zip": "is no zip file, or a damaged one; pack it anew",
        "eve.ipynb": "no notebook: there are no cells in its JSON",
    }
    pages = {path.name for path in (tmp_path / "out/pages").iterdir()}
    assert pages == {"bob_1.html", "cy.zip.html"}
    assert str(tmp_path) not in (tmp_path / "out/pages/bob_1.html").read_text()
    again = called(tmp_path, *run, code=1).stderr
    assert again.count("judged before") == 2

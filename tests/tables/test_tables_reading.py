"""Every format, by content; what is wrong with a file, in one line."""

import gzip
import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from handgrad.errors import DataError
from handgrad.tables import Columns, delimited, lines, open_table

pytest.importorskip("pandas", reason="CSV files are parsed by pandas")


@pytest.fixture
def write(tmp_path):
    def put(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def listed(columns):
    """Give columns as lists, with None for what is missing."""
    return {
        name: [None if value != value else value for value in column.tolist()]
        for name, column in columns.items()
    }


# What is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "recognised", "values"),
    [
        ("a.csv", "a,b\n1,x\n2,\n", "CSV, 2 rows, comma, header", {"a": [1, 2], "b": ["x", None]}),
        ("a.tsv", "a\tb\n1\tx y\n", "TSV, 1 row, tab, header", {"a": [1], "b": ["x y"]}),
        ("a.txt", "a|b\n1|x\n", "CSV, 1 row, bar, header", {"a": [1], "b": ["x"]}),
        (
            "mark.csv",
            b"\xef\xbb\xbfa;b\r\n1,5;x \r\n.5;?\r\n".replace(b".5", b"0,5"),
            "CSV, 2 rows, semicolon, header, decimal comma",
            {"a": [1.5, 0.5], "b": ["x", None]},
        ),
        (
            "quotes.csv",
            'a,"b, c"\n1,"x ""y"", z"\n2,"two\nlines"\n',
            "CSV, 2 rows, comma, header",
            {"a": [1, 2], "b, c": ['x "y", z', "two\nlines"]},
        ),
        (
            "inch.csv",
            'a,b\n5" pipe,1\n"ok",2\n',
            "CSV, 2 rows, comma, header",
            {"a": ['5" pipe', "ok"], "b": [1, 2]},
        ),
        ("mac.csv", "a,b\r1,2\r3,4\r", "CSV, 2 rows, comma, header", {"a": [1, 3], "b": [2, 4]}),
        ("one.csv", "a\n1\n\n2\n", "CSV, 2 rows, comma, header", {"a": [1, 2]}),
        (
            "old.csv",
            "name;v\nMüller;1\n".encode("cp1252"),
            "CSV, 1 row, semicolon, header, Windows-1252",
            {"name": ["Müller"], "v": [1]},
        ),
        (
            "u16.csv",
            "a,b\n1,é\n".encode("utf-16"),
            "CSV, 1 row, comma, header, UTF-16",
            {"a": [1], "b": ["é"]},
        ),
        (
            "packed.csv",
            gzip.compress(b"a,b\n1,NA\n", mtime=0),
            "CSV (gzip), 1 row, comma, header",
            {"a": [1], "b": [None]},
        ),
        (
            "iris.data",
            "5.1,3.5,setosa\n4.9,3.0,setosa\n",
            "CSV, 2 rows, comma, no header: column 1, column 2, …",
            {"column 1": [5.1, 4.9], "column 2": [3.5, 3], "column 3": ["setosa", "setosa"]},
        ),
        ("counted.csv", "0,1\n7,8\n", "CSV, 1 row, comma, header", {"0": [7], "1": [8]}),
        (
            "booleans.csv",
            "a,b\nTrue,yes\ntrue,\nFALSE,no\n",
            "CSV, 3 rows, comma, header",
            {"a": ["True", "true", "FALSE"], "b": ["yes", None, "no"]},
        ),
        (
            "t.arff",
            "% c\n@RELATION x\n@attribute 'a b' REAL\n@attribute class {x,'y z'}\n@data\n"
            "1,'y z'\n?, x\n{0 3, 1 'y z'}\n{1 'y z'}\n",
            "ARFF, 4 rows",
            {"a b": [1, None, 3, 0], "class": ["y z", "x", "y z", "y z"]},
        ),
        (
            "one.txt",
            "1 1:0.5 3:2 # c\n-1 2:1\n",
            "libsvm, 2 rows, indices from 1, 3 features",
            {"label": [1, -1], "x1": [0.5, 0], "x2": [0, 1], "x3": [2, 0]},
        ),
        (
            "zero.txt",
            "1 qid:3 0:0.5\n2 qid:4 1:1\n",
            "libsvm, 2 rows, indices from 0, 2 features, query ids",
            {"label": [1, 2], "qid": [3, 4], "x0": [0.5, 0], "x1": [0, 1]},
        ),
        (
            "several.txt",
            "1,3 1:0.5\n2 1:1\n 1:2\n",
            "libsvm, 3 rows, indices from 1, 1 feature, 3 labels, several in a row",
            {"label 1": [1, 0, 0], "label 2": [0, 1, 0], "label 3": [1, 0, 0], "x1": [0.5, 1, 2]},
        ),
    ],
)
def test_a_file_is_recognised_and_read(write, name, content, recognised, values):
    table = open_table(write(name, content))
    assert table.recognised == recognised
    assert listed(table.read()) == values
    assert table.names == tuple(values)
    assert table.read(text=table.names[:1])[table.names[0]].dtype == object


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(
        path, X=np.arange(6, dtype=np.float32).reshape(3, 2), y=np.array(["a", "", "b"]), odd=[1.0]
    )
    table = open_table(path)
    assert table.recognised == "NPZ, 3 rows, X (3, 2), y (3,); left out: odd, of another length"
    assert table.targets == ("y",)
    assert listed(table.read()) == {"X0": [0, 2, 4], "X1": [1, 3, 5], "y": ["a", None, "b"]}
    assert [part.rows for part in table.chunks(2)] == [2, 1]
    np.savez(path, X=np.ones((2, 2)), feature_names=["p", "q"], y=[[0, 1], [1, 0]])
    assert open_table(path).names == ("p", "q", "y0", "y1")
    assert open_table(path).targets == ("y0", "y1")


def test_parquet_is_read_as_the_same_csv_is(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "a": pandas.array([1, None, 3], "Int64"),
            "b": pandas.array([True, False, None], "boolean"),
            "c": pandas.Categorical(["x", None, "y"]),
            "d": pandas.to_datetime(["2020-01-01", None, "2020-01-03"], format="ISO8601"),
            "e": np.array([0.1, np.nan, np.inf], np.float32),
        },
        index=["i", "j", "k"],
    )
    path = tmp_path / "a.csv"  # found by its content
    frame.to_parquet(path)
    table = open_table(path)
    assert table.recognised == "Parquet, 3 rows"
    found = listed(table.read())
    assert found.pop("d")[0].startswith("2020-01-01 00:00:00")
    assert found == {
        "a": [1, None, 3],
        "b": ["True", "False", None],
        "c": ["x", None, "y"],
        "e": [float(np.float32(0.1)), None, np.inf],
    }
    assert [part.numbers.tolist() for part in table.chunks(2)] == [[1, 2], [3]]
    nested = pandas.DataFrame({"a": [[1], [2]]})
    nested.to_parquet(path)
    with pytest.raises(DataError, match="column 'a' holds a list"):
        open_table(path)


def test_a_wide_table(write):
    names = [f"a_rather_long_name_of_column_{index}" for index in range(9000)]
    path = write("a.csv", ",".join(names) + "\n" + ",".join(["1"] * 9000) + "\n")
    assert open_table(path).names == tuple(names)


def test_row_numbers_are_an_editors_lines(write):
    table = open_table(write("a.csv", 'a,b\n1,"two\nlines"\n\n \n3,x\n4,y\n'))
    assert table.read().numbers.tolist() == [2, 6, 7]
    assert [part.numbers.tolist() for part in table.chunks(2)] == [[2, 6], [7]]
    irregular = open_table(write("b.csv", 'a,b\n1,"two\nlines"\n\n3,5"\n4,y\n'))
    assert irregular.read().numbers.tolist() == [2, 5, 6]


def test_a_column_is_texts_throughout_where_any_of_it_is(write, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK_BYTES", 64)
    rows = "".join(f"00{index},7\n" for index in range(50))
    table = open_table(write("a.csv", f"a,b\n{rows}x,7\n"))
    kinds = {part["a"].dtype.kind for part in table.chunks()}
    assert kinds == {"f", "O"}  # of the blocks: the test can fail
    read = table.read()
    assert read["a"].tolist() == [*(f"00{index}" for index in range(50)), "x"]
    assert read["b"].dtype == np.float64
    assert next(table.chunks(text=["a"]))["a"][0] == "000"


# Like csv, to the cell ---------------------------------------------------------------------------

cell = st.text(st.sampled_from('ab1.-, ;"\n\té'), max_size=6).map(str.strip)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(3, 60),
)
def test_what_csv_writes_is_read_back(tmp_path_factory, rows, delimiter, end, block):
    import csv

    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(["first", "second", "third"])
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    expected = [tuple(value or None for value in row) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block)
        table = open_table(path)
        if table.dialect.delimiter != delimiter:
            return  # a file in which another one fits as well
        read = table.read(text=table.names)
        assert list(zip(*read.values(), strict=True)) == expected
        with pytest.MonkeyPatch.context() as inner:  # and by the slow reader
            inner.setattr(lines, "_quotes_enclose", lambda *_: False)
            slow = open_table(path).read(text=table.names)
            assert list(zip(*slow.values(), strict=True)) == expected
            assert slow.numbers.tolist() == read.numbers.tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_numbers_come_back_to_the_bit(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("a,b\n" + "".join(f"{value!r},x\n" for value in numbers))
    assert open_table(path).read()["a"].tobytes() == np.array(numbers).tobytes()


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """The peak of a pass over 10 blocks is that of a pass over 40, to within a half."""
    monkeypatch.setattr(lines, "BLOCK_BYTES", 9000)

    def peak(rows):
        path = tmp_path / f"{rows}.csv"
        with path.open("w") as file:
            file.write("a,b\n")
            file.writelines(["1.25,abc\n" * 1000] * (rows // 1000))
        table = open_table(path)
        tracemalloc.start()
        assert sum(part.rows for part in table.chunks()) == rows
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        path.unlink()
        return most

    peak(1000)  # pandas' imports
    small, large = peak(10_000), peak(40_000)
    assert large < 1.5 * small


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "\n \n", "is empty"),
        ("a.csv", gzip.compress(b"", mtime=0), "is empty"),
        ("a.csv", "a,b\n", "has a header but no rows"),
        ("a.csv", "a,b,a\n1,2,3\n", "columns 1 and 3 are both named 'a'; give every column a name"),
        ("a.csv", "a,b\n1,2\n3\n", "row 3 has 1 cell where the header has 2 (cells are separated"),
        ("a.csv", 'a,b\n"1\n",2\n3,4,5\n', "row 4 has 3 cells where the header has 2"),
        ("a.csv", 'a,b\n1,2\n3,"4\n5,6\n', "row 3 opens a quote that is never closed"),
        ("a.csv", 'a,b\n5" pipe,2\n3,"4\n5,6\n', "row 3 opens a quote that is never closed"),
        ("a.csv", "sep=;\na;b\n1;2\n", "row 1 is a note for Excel (sep=;)"),
        ("a.data", "1 2\n3 4\n5 6\n", "separated by blanks; separate them by commas or tabs"),
        ("a.csv", 'a,b\n1,2"\n3,4,5\n', "row 3 has 3 cells where the header has 2"),
        ("a.csv", bytes(range(256)), "is not text: it has zero bytes; CSV, TSV, Parquet"),
        ("a.csv", b"PK\x03\x04 not an archive", "Excel workbook: unpack it, or save it as CSV"),
        ("a.csv", b"\x80\x04\x95 ...", "a pickle, which can run any program"),
        (
            "a.gz",
            gzip.compress(np.random.default_rng(0).bytes(999), mtime=0)[:500],
            "is cut off: its gzip",
        ),
        ("a.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 20, "is damaged"),
        ("a.csv", b"a,b\n" + b"1,x\n" * 50000 + b"1,\xe9\n", "row 50002 is not UTF-8"),
        ("a.parquet", b"PAR1 and no more", "is damaged or cut off"),
        ("a.parquet", "a,b\n1,2\n", "is not a Parquet file: it does not begin with PAR1"),
        ("a.npz", "a,b\n1,2\n", "is not an NPZ file"),
        ("a.arff", "a,b\n1,2\n", "row 1: 'a,b' stands before @data"),
        ("a.arff", "@relation x\n@attribute a numeric\n@data\n", "has a header but no rows"),
        ("a.arff", "@relation x\n@attribute a numeric\n@data\n1\nx\n", "row 5, column 'a': 'x' is"),
        ("a.arff", "@relation x\n@attribute a {u,v}\n@data\nw\n", "row 4, column 'a': 'w' is none"),
        ("a.arff", "@relation x\n@attribute a real\n@data\n1,2\n", "row 4 has 2 values; 1 attrib"),
        ("a.arff", "@relation x\n@attribute a relational\n", "attribute 'a' is declared 'relat"),
        ("a.svm", "1 1:2\n1 1:x\n", "row 2: '1:x' is not of the form index:value"),
        ("a.svm", "1 1:2 1:3\n", "row 1: the index 1 comes twice"),
        ("a.svm", "1 1:2\nx 1:3\n", "row 2: the label 'x' is no number"),
        ("a.svm", "1 99999:2\n", "has 99,999 features; tables are held dense"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write, name, content, message):
    pytest.importorskip("pyarrow")
    path = write(name, content)
    with pytest.raises(DataError) as caught:
        open_table(path).read()
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


SEEDS = {
    "a.csv": b'id,name,"x, y"\n1,"Doe, J",3.5\n2,"Roe ""R""",\n',
    "b.csv": "a;b\n1,5;é\n2,5;ü\n".encode("utf-16"),
    "c.csv.gz": gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0),
    "a.arff": b"@relation x\n@attribute 'a b' real\n@attribute c {x,'y z'}\n@data\n1,'y z'\n",
    "a.svm": b"1,2 qid:3 1:0.5 4:2 # c\n-1 qid:4 2:1\n",
}


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(SEEDS)),
    place=st.floats(0, 1),
    cut=st.integers(0, 12),
    put=st.binary(max_size=3) | st.sampled_from([b'"', b"'", b"\n", b",", b";", b"{", b"\r", b"%"]),
)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, name, place, cut, put):
    seed = SEEDS[name]
    at = int(place * len(seed))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(seed[:at] + put + seed[at + cut :])
    read, said = None, str(path)
    try:
        read = open_table(path).read()
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    assert str(path) in said
    if read is not None:
        assert {len(column) for column in read.values()} == {read.rows}


def test_a_parquet_file_that_is_cut_off(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    pandas.DataFrame({"a": np.arange(1000.0)}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"is damaged or cut off: .* copy or write it again$"):
        open_table(path)


def test_npz_that_is_no_table(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=np.ones((4, 2, 2)), y=np.ones(4))
    with pytest.raises(DataError, match=r"'X' has shape \(4, 2, 2\): pictures, not a table"):
        open_table(path)
    np.savez(path, X=np.array([{}, None], object))
    with pytest.raises(DataError, match="holds pickled objects"):
        open_table(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="is damaged or cut off"):
        open_table(path, format="npz")


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        open_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is a folder"):
        open_table(tmp_path)
    with pytest.raises(ValueError, match="format must be one of csv, tsv"):
        open_table(tmp_path, format="xlsx")


def test_without_pandas_the_extra_is_named(write, monkeypatch):
    from handgrad.errors import MissingExtraError

    def absent(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(delimited.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"pandas.*pip install 'handgrad\[tables\]'"):
        open_table(write("a.csv", "a\n1\n"))


# Columns -----------------------------------------------------------------------------------------


def test_columns_take_arrays_of_any_type():
    columns = Columns(
        {
            "ints": np.arange(3, dtype=">i4"),
            "flags": [True, False, True],
            "mixed": np.array([1, None, 2.5], object),
            "dates": np.array(["2020-01-01", "NaT", "2020-01-03"], "M8[D]"),
            "texts": np.array(["a", None, b"c"], object),
        }
    )
    assert listed(columns) == {
        "ints": [0, 1, 2],
        "flags": ["True", "False", "True"],
        "mixed": [1, None, 2.5],
        "dates": ["2020-01-01", None, "2020-01-03"],
        "texts": ["a", None, "c"],
    }
    assert columns.take([2, 0]).numbers.tolist() == [3, 1]
    assert columns.take(columns["ints"] > 0).rows == 2
    assert columns.without(["ints"]).names == ("flags", "mixed", "dates", "texts")
    with pytest.raises(DataError, match="has no column 'Int'; did you mean 'ints'"):
        columns.find("Int")
    with pytest.raises(DataError, match="has no column 'zzz'; its columns are ints, flags"):
        columns.select(["zzz"])
    with pytest.raises(ValueError, match="equally long"):
        Columns({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="one axis"):
        Columns({"a": [[1]]})

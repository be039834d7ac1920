"""A C file takes rows as the model takes them: tables, pictures, estimators' rows."""

import ctypes
import re

import numpy as np
import pytest
from c_programs import compiled, needs_a_compiler, predictions

from handgrad.errors import ExportError
from handgrad.estimators import HandgradClassifier, HandgradImageClassifier, HandgradRegressor
from handgrad.export.c_source import write_c
from handgrad.images import ImagePreprocessor
from handgrad.models import Model
from handgrad.network import Conv, Dense, Flatten, MaxPool, Network, ReLU
from handgrad.tables import Columns, Preprocessor, TargetCoder, summarise

pytestmark = needs_a_compiler


def a_table(rng, rows=300, **more):
    town = rng.choice(["Bern", "Oslo", "a */ b", "7 up", 'say "hi"?'], rows).astype(object)
    many = np.array([f"v{each}" for each in rng.integers(0, 70, rows)], object)
    town[rng.random(rows) < 0.1] = None
    age = rng.normal(1e6, 3, rows)
    age[rng.random(rows) < 0.1] = np.nan
    columns = {"age": age, "town": town, "many": many, "size": rng.normal(0, 1, rows), **more}
    return Columns({**columns, "price": rng.normal(500, 20, rows)})


def test_a_table_goes_in_as_numbers_and_a_target_comes_out_in_its_units(tmp_path):
    rng = np.random.default_rng(0)
    columns = a_table(rng)
    summary = summarise(columns, "price", "regress")
    preprocessor = Preprocessor.fit(columns, summary, keep=("many",))
    coder = TargetCoder.fit(columns, summary)
    width = len(preprocessor.feature_names)
    network = Network([Dense(9), ReLU(), Dense(1)], (width,), loss="mse", rng=rng)
    model = Model(network, preprocessor, coder)
    made = write_c(model, tmp_path / "table.c")
    library = compiled(made.path)
    numbers = dict(
        re.findall(r"(TABLE_\w+) = (\d+)", made.header.read_text())
        or pytest.fail("no categories in the header")
    )
    assert numbers["TABLE_TOWN_BERN"] in "01234"
    new = a_table(np.random.default_rng(1), 100)
    # As a program would: the number of each category, and any other number for an unknown one.
    codes = []
    for name in preprocessor.names:
        encoder = next(e for e in preprocessor.encoders if e.name == name)
        column = new[name]
        if encoder.kind == "category":
            known = list(encoder.values)
            known += [v for v in encoder.frequencies if v not in known]
            column = [
                np.nan if v is None else known.index(v) if v in known else 1e9 for v in column
            ]
        codes.append(np.asarray(column, np.float32))
    # The floats that C gets, so that both see the same numbers.
    rounded = {n: new[n].astype(np.float32).astype(np.float64) for n in ("age", "size")}
    seen = Columns({**{n: new[n] for n in new.names}, **rounded})
    got = predictions(library, np.stack(codes, axis=1), 1)[:, 0]
    wanted = model.predict(seen)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    int8 = write_c(model, tmp_path / "small.c", int8=True, calibration=preprocessor.transform(seen))
    got = predictions(compiled(int8.path), np.stack(codes, axis=1), 1)[:, 0]
    assert np.abs(got - wanted).max() < 0.1 * np.ptp(wanted)


def test_dates_are_named(tmp_path):
    rng = np.random.default_rng(0)
    days = np.array([f"2024-{m:02d}-{d:02d}" for m, d in rng.integers(1, 13, (300, 2))], object)
    columns = a_table(rng, joined=days)
    summary = summarise(columns, "price", "regress")
    preprocessor = Preprocessor.fit(columns, summary)
    network = Network([Dense(1)], (len(preprocessor.feature_names),), loss="mse")
    model = Model(network, preprocessor, TargetCoder.fit(columns, summary))
    with pytest.raises(ExportError, match="column 'joined' as C: it holds dates"):
        write_c(model, tmp_path / "dates.c")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("first", [[Conv(4, 3)], [Conv(4, 3, padding=1)], [], [MaxPool(2)]])
def test_pictures_go_in_as_levels(channels, first, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (50, channels, 6, 5)).astype(np.uint8)
    mean, deviation = rng.uniform(50, 100, channels), rng.uniform(50, 80, channels)
    preprocessor = ImagePreprocessor((channels, 6, 5), mean, deviation)
    network = Network([*first, Flatten(), Dense(3)], (channels, 6, 5), rng=rng, dtype=np.float32)
    coder = TargetCoder("classify", ("label",), ("cat", 'a "dog"', "é"), False, *np.zeros((2, 0)))
    model = Model(network, preprocessor, coder)
    wanted = network.loss(model.inputs(X))
    made = write_c(model, tmp_path / "pictures.c")
    library = compiled(made.path)
    got = predictions(library, X, 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    loaded = ctypes.CDLL(str(library))
    names = (ctypes.c_char_p * 3).in_dll(loaded, "classes")
    decided = [loaded.decide(row.ctypes.data_as(ctypes.c_void_p)) for row in got]
    assert [names[each].decode() for each in decided] == model.predict(X).tolist()
    small = write_c(model, tmp_path / "small.c", int8=True, calibration=model.inputs(X))
    got = predictions(compiled(small.path), X, 3)
    assert np.abs(got - wanted).max() < 0.1 * np.ptp(wanted)


def test_estimators(tmp_path):
    rng = np.random.default_rng(0)
    X = (rng.normal(1e4, 3, (120, 5)) ** 1).astype(np.float32).astype(np.float64)
    y = (X[:, 0] > 1e4).astype(int)
    classifier = HandgradClassifier((8,), max_iter=3, random_state=0).fit(X, y)
    library = compiled(write_c(classifier, tmp_path / "classifier.c").path)
    got = predictions(library, X, 1)[:, 0]
    np.testing.assert_allclose(got, classifier._scores(X), rtol=1e-4, atol=1e-5)
    regressor = HandgradRegressor((8,), max_iter=3, random_state=0).fit(X, X[:, :2])
    library = compiled(write_c(regressor, tmp_path / "regressor.c").path)
    np.testing.assert_allclose(predictions(library, X, 2), regressor.predict(X), rtol=1e-5)
    pictures = rng.integers(0, 9, (40, 12, 12, 3)).astype(np.float64)
    images = HandgradImageClassifier(max_iter=1, random_state=0).fit(pictures, y[:40])
    library = compiled(write_c(images, tmp_path / "images.c").path)
    outputs = images.network_.output_shape[0]
    wanted = images._scores(pictures).reshape(40, -1)
    np.testing.assert_allclose(
        predictions(library, pictures, outputs), wanted, rtol=1e-4, atol=1e-5
    )

"""What a fit does: parameters, weights, early stopping, warm starts, partial fits."""

import pickle
import warnings

import numpy as np
import pytest

from handgrad.estimators import (
    HandgradClassifier,
    HandgradImageClassifier,
    HandgradRegressor,
    settings,
)
from handgrad.network import BatchNorm, Dense, Dropout, ReLU, Tanh

QUICK = {"max_iter": 15, "n_iter_no_change": None, "random_state": 0, "learning_rate_init": 1e-2}


def three_classes(rows=240, seed=0):
    """Rows whose classes a small network learns, labelled by strings."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4)) * [1, 10, 0.1, 1] + [0, 100, 0, 5]
    code = (X[:, 0] > 0).astype(int) + (X[:, 1] > 104)
    return X, np.array(["low", "middle", "top"])[code]


def numbers(rows=240, outputs=1):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(rows, 3))
    Y = np.column_stack([1000 + 50 * X[:, 0], X[:, 1] * X[:, 2]])[:, :outputs]
    return X, Y[:, 0] if outputs == 1 else Y


def test_the_network_is_what_the_parameters_say():
    X, y = three_classes()
    model = HandgradClassifier(
        (6, 5), activation="tanh", dropout=0.25, batch_norm=True, alpha=0.5, batch_size=60, **QUICK
    ).fit(X, y)
    hidden = [BatchNorm(), Tanh(), Dropout(0.75)]
    assert list(model.network_.layers) == [Dense(6), *hidden, Dense(5), *hidden, Dense(3)]
    assert model.network_.reg == 0.5 / 60  # alpha / (2 B) * sum(W^2) is 0.5 * reg * sum(W^2)
    assert model.network_.dtype == np.float32
    assert HandgradClassifier(7, **QUICK).fit(X, y).network_.layers == (Dense(7), ReLU(), Dense(3))


def test_what_is_automatic_depends_on_the_number_of_rows():
    X, y = three_classes(rows=2000)
    model = HandgradClassifier(max_iter="auto", random_state=0).fit(X, y, np.full(2000, 0.5))
    assert model.network_.reg == 5 / (2000 * 0.5)
    assert model.n_iter_ == 100
    for rows, epochs, batch in [(50, 100, 32), (10_000, 60, 256), (10**6, 20, 256)]:
        assert settings.epochs(model, rows) == epochs
        assert settings.batch_rows(model, rows) == batch


def test_the_loss_curve_is_the_mean_loss_with_the_penalty():
    # One full batch and no step to speak of: the loss of the initial network by hand.
    X, y = three_classes(rows=50)
    model = HandgradClassifier(
        (5,), alpha=2.0, batch_size=50, max_iter=1, learning_rate_init=1e-12, random_state=3,
        dtype="float64", n_iter_no_change=None,
    ).fit(X, y)  # fmt: skip
    right = np.searchsorted(model.classes_, y)
    data = -model.predict_log_proba(X)[np.arange(50), right].mean()
    penalty = sum((model.network_.params[w] ** 2).sum() for w in ("W1", "W2")) * 2.0 / (2 * 50)
    assert model.loss_curve_ == [pytest.approx(data + penalty, rel=1e-9)]


@pytest.mark.parametrize("estimator", [HandgradClassifier, HandgradRegressor])
def test_a_random_state_is_kept_and_repeats_a_fit(estimator):
    X, _ = three_classes()
    y = (X[:, 0] > 0).astype(int)

    def scores(state):
        model = estimator(**{**QUICK, "max_iter": 3, "random_state": state}).fit(X, y)
        assert model.random_state is state
        return np.asarray(model.predict(X), float) if state is None else model._scores(X)

    assert np.array_equal(scores(5), scores(5))
    assert not np.array_equal(scores(5), scores(6))
    first, second = np.random.RandomState(0), np.random.RandomState(0)
    assert np.array_equal(scores(first), scores(second))
    assert not np.array_equal(scores(first), scores(np.random.RandomState(0)))  # it was drawn from
    scores(None)


def test_standardising_keeps_the_digits_of_a_small_variation_on_a_large_offset():
    rng = np.random.default_rng(0)
    small = rng.normal(size=400)
    X = np.column_stack([1e8 + 1e-3 * small, np.full(400, 0.1), np.full(400, 14.62)])
    y = small > 0
    model = HandgradClassifier(**QUICK).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.scaling_.deviation[1:].tolist() == [1.0, 1.0]  # constant, up to rounding
    # What is 0 in most rows stays 0: pixels, counts.
    sparse = np.where(np.arange(400) % 5, 0.0, X[:, 0])[:, None]
    assert HandgradClassifier(**QUICK).fit(sparse, y).scaling_.centre == 0
    assert (
        HandgradClassifier(**QUICK).fit(sparse, y, np.where(sparse[:, 0], 5.0, 1.0)).scaling_.centre
        != 0
    )
    # Bounded: an outlier is no further away than four deviations.
    far = model.scaling_.apply(np.array([[1e12, 0.1, 14.62]]), np.dtype(np.float64))
    assert 3.9 < far[0, 0] <= 4.0
    assert HandgradClassifier(standardize=False, **QUICK).fit(X, y).scaling_.centre is None


def test_integer_weights_are_repetitions_of_rows():
    # Full batches in float64: the same sums, in another order.
    X, y = three_classes(rows=60)
    weight = np.random.default_rng(2).integers(0, 4, size=60)
    options = {**QUICK, "batch_size": 1000, "dtype": "float64", "alpha": 0.1}
    for model, target in (
        (HandgradClassifier(**options), y),
        (HandgradRegressor(**options), X[:, 1]),
        (HandgradClassifier(class_weight="balanced", **options), y),
    ):
        weighted = model.fit(X, target, sample_weight=weight)._scores(X)
        repeated = model.fit(np.repeat(X, weight, axis=0), np.repeat(target, weight))._scores(X)
        np.testing.assert_allclose(weighted, repeated, rtol=1e-9, atol=1e-10)


def test_class_weights_multiply_sample_weights():
    # In the loss, not in the mean and deviation of X.
    X, y = three_classes()
    options = {**QUICK, "batch_size": 1000, "dtype": "float64", "standardize": False}
    factors = {"low": 3.0, "top": 0.5}
    model = HandgradClassifier(class_weight=factors, **options).fit(X, y)
    weight = np.array([factors.get(label, 1.0) for label in y])
    same = HandgradClassifier(**options).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(model._scores(X), same._scores(X))
    with pytest.raises(ValueError, match=r"unknown classes: \['none'\]"):
        HandgradClassifier(class_weight={"none": 1.0}, **QUICK).fit(X, y)


def test_balanced_weights_find_a_rare_class():
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 20 == 0).astype(int)
    X = rng.normal(size=(600, 2)) + 1.2 * y[:, None]
    plain = HandgradClassifier(**QUICK).fit(X, y)
    balanced = HandgradClassifier(class_weight="balanced", **QUICK).fit(X, y)
    assert balanced.predict(X)[y == 1].mean() > plain.predict(X)[y == 1].mean() + 0.3


def test_early_stopping_keeps_the_best_epochs_network():
    X, y = three_classes()
    rng = np.random.default_rng(9)
    noisy = np.where(rng.random(240) < 0.3, rng.permutation(y), y)
    model = HandgradClassifier(
        early_stopping=True, validation_fraction=0.25, max_iter=200, learning_rate_init=3e-2,
        n_iter_no_change=5, random_state=0,
    ).fit(X, noisy)  # fmt: skip
    assert model.n_iter_ < 200
    curves = model.loss_curve_, model.validation_loss_curve_, model.validation_scores_
    assert [len(curve) for curve in curves] == [model.n_iter_] * 3
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_given_validation_rows_are_scored_and_all_others_trained_on():
    X, y = three_classes()
    X_val, y_val = three_classes(rows=90, seed=4)
    weight = np.random.default_rng(0).random(90)
    model = HandgradClassifier(**{**QUICK, "n_iter_no_change": 4}).fit(
        X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight
    )
    assert model.score(X_val, y_val, weight) == pytest.approx(model.best_validation_score_)
    mean = HandgradClassifier(**QUICK).fit(X, y).scaling_.centre
    assert np.array_equal(model.scaling_.centre, mean)
    with pytest.raises(ValueError, match="give both X_val and y_val"):
        model.fit(X, y, X_val=X_val)
    with pytest.raises(ValueError, match=r"classes that were not seen before: \['new'\]"):
        model.fit(X, y, X_val=X_val, y_val=np.full(90, "new"))


def test_a_fit_that_still_makes_progress_at_the_end_says_so():
    X, y = three_classes()
    with pytest.warns(UserWarning, match="max_iter=3 epochs are over"):
        HandgradClassifier(max_iter=3, schedule="constant", random_state=0).fit(X, y)
    HandgradClassifier(max_iter=3, schedule="cosine", random_state=0).fit(X, y)


def test_a_warm_start_goes_on():
    X, y = three_classes()
    model = HandgradClassifier(warm_start=True, alpha=0, **QUICK).fit(X, y)
    network = model.network_
    model.fit(X, y)
    assert model.network_ is network
    assert model.n_iter_ == 15
    assert len(model.loss_curve_) == 30
    assert model.loss_curve_[15] < model.loss_curve_[0] / 3  # from there, not from the start
    with pytest.raises(ValueError, match="not seen before"):
        model.fit(X, np.where(y == "low", "new", y))


def test_a_warm_start_adds_to_the_curves_as_scikit_learns_does():
    neural = pytest.importorskip("sklearn.neural_network", reason="needs scikit-learn")
    X, y = three_classes()
    patient = {"max_iter": 5, "n_iter_no_change": 10, "early_stopping": True, "warm_start": True}
    ours = HandgradClassifier(random_state=0, **patient)
    theirs = neural.MLPClassifier(random_state=0, **patient)
    for fits in (1, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # five epochs are too few for it
            models = ours.fit(X, y), theirs.fit(X, y)
        for model in models:
            assert model.n_iter_ == 5
            assert len(model.loss_curve_) == len(model.validation_scores_) == 5 * fits
            assert model.best_validation_score_ == max(model.validation_scores_)


def test_a_warm_starts_best_score_is_of_its_own_validation_rows():
    X, y = three_classes()
    X_val, y_val = three_classes(rows=90, seed=4)
    model = HandgradClassifier(warm_start=True, **QUICK).fit(X, y, X_val=X_val, y_val=y_val)
    first = model.best_validation_score_
    hard = np.random.default_rng(0).permutation(y_val)
    model.fit(X, y, X_val=X_val, y_val=hard)
    assert model.best_validation_score_ == model.score(X_val, hard) < first
    # Where all epochs are worse the network that it began with is kept.
    model = HandgradClassifier(warm_start=True, **QUICK).fit(X, y, X_val=X_val, y_val=y_val)
    before = model._scores(X)
    model.set_params(learning_rate_init=100.0, max_iter=1).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(model._scores(X), before)
    assert model.validation_scores_[-1] < model.best_validation_score_ == first


def test_partial_fits_are_one_fit():
    # A rule with state, and the same shuffles: as many calls as epochs give the same network.
    X, y = three_classes()
    options = {**QUICK, "schedule": "constant", "max_iter": 4, "dtype": "float64"}
    whole = HandgradClassifier(**options).fit(X, y)
    parts = HandgradClassifier(**options)
    for _ in range(4):
        parts.partial_fit(X, y)
    for name, array in whole.network_.params.items():
        np.testing.assert_array_equal(array, parts.network_.params[name])
    assert parts.n_iter_ == 4
    assert parts.loss_curve_ == whole.loss_curve_


def test_partial_fit_takes_classes_that_come_later():
    X, y = three_classes()
    first = y != "top"
    with pytest.raises(ValueError, match=r"not seen before: \['top'\]"):
        HandgradClassifier(**QUICK).partial_fit(X[first], y[first]).partial_fit(X, y)
    model = HandgradClassifier(**QUICK).partial_fit(X[first], y[first], classes=np.unique(y))
    model.partial_fit(X, y)
    assert model.predict_proba(X).shape == (240, 3)
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        model.partial_fit(X, y, classes=["a", "b"])


def test_partial_fit_with_early_stopping_predicts_with_the_best_and_trains_the_last():
    X, y = three_classes()
    rng = np.random.default_rng(9)
    noisy = np.where(rng.random(240) < 0.4, rng.permutation(y), y)
    model = HandgradClassifier(early_stopping=True, **{**QUICK, "learning_rate_init": 0.1})
    held = []
    for _ in range(12):
        model.partial_fit(X, noisy)
        held.append(model.best_validation_score_)
    assert len(model.validation_scores_) == 12
    assert held == np.maximum.accumulate(model.validation_scores_).tolist()
    assert model.network_ is not model._progress.network
    rule = next(iter(model._progress.configs.values()))
    assert rule["t"] == 12 * 7  # 216 rows in batches of 32: Adam counted on


def test_partial_fit_on_chunks_that_differ_is_not_led_by_a_lucky_first_one():
    # The first network is right on both of its two validation rows, as no later one need be: what
    # is best there is no measure on the rows that follow.
    X, _ = three_classes(rows=20 + 30 * 40)
    y = (X[:, 0] > 0).astype(int)
    model = HandgradClassifier(early_stopping=True, **QUICK)
    model.partial_fit(X[:20], y[:20])
    lucky = np.flatnonzero(model.predict(X) == y)[:2]
    model = HandgradClassifier(early_stopping=True, **QUICK)
    model.partial_fit(X[:20], y[:20], X_val=X[lucky], y_val=y[lucky], classes=[0, 1])
    first = model.network_
    for start in range(20, len(X), 40):
        model.partial_fit(X[start : start + 40], y[start : start + 40])
    assert model.validation_scores_[0] == max(model.validation_scores_) == 1
    fresh, _ = three_classes(rows=1000, seed=5)
    truth = (fresh[:, 0] > 0).astype(int)
    assert model.network_ is not first
    assert model.score(fresh, truth) > 0.9
    # The score that is told is of the network that predicts, on the last call's rows.
    X_val, y_val = fresh[:90], truth[:90]
    model.partial_fit(X[:40], y[:40], X_val=X_val, y_val=y_val)
    assert model.best_validation_score_ == model.score(X_val, y_val)


def test_several_outputs_and_one_in_a_column():
    X, Y = numbers(outputs=2)
    model = HandgradRegressor(**{**QUICK, "max_iter": 60}).fit(X, Y)
    assert model.predict(X).shape == (240, 2)
    assert model.score(X, Y) > 0.9
    assert model.n_outputs_ == 2
    column = HandgradRegressor(**QUICK).fit(X, Y[:, :1])
    plain = HandgradRegressor(**QUICK).fit(X, Y[:, 0])
    assert column.predict(X).shape == (240, 1)
    np.testing.assert_array_equal(column.predict(X)[:, 0], plain.predict(X))
    with pytest.raises(ValueError, match="must have 2 outputs"):
        model.partial_fit(X, Y[:, 0])


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_targets_of_any_scale_are_learned(loss):
    X, y = numbers()
    model = HandgradRegressor(loss=loss, **{**QUICK, "max_iter": 40}).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.target_mean_ == pytest.approx([y.mean()])


def test_r2_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    X, Y = numbers(outputs=2)
    weight = np.random.default_rng(0).random(240)
    model = HandgradRegressor(**QUICK).fit(X, Y)
    wanted = metrics.r2_score(Y, model.predict(X), sample_weight=weight)
    assert model.score(X, Y, weight) == pytest.approx(wanted, rel=1e-12)


def test_several_labels_at_once():
    X, _ = three_classes()
    Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 100, X[:, 3] > 5]).astype(int)
    model = HandgradClassifier(**{**QUICK, "max_iter": 40}).fit(X, Y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.score(X, Y) > 0.8
    assert set(np.unique(model.predict(X))) <= {0, 1}
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)
    np.testing.assert_array_equal(model.predict(X), model.decision_function(X) > 0)
    with pytest.raises(ValueError, match="class_weight is for classes"):
        HandgradClassifier(class_weight="balanced", **QUICK).fit(X, Y)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_probabilities_scores_and_labels_agree(classes, label_smoothing):
    X, y = three_classes()
    y = y if classes == 3 else np.where(y == "top", "top", "low")
    model = HandgradClassifier(label_smoothing=label_smoothing, **QUICK).fit(X, y)
    probability, score = model.predict_proba(X), model.decision_function(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(model.classes_[probability.argmax(axis=1)], model.predict(X))
    assert score.shape == ((240,) if classes == 2 else (240, 3))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), probability, rtol=1e-12)


@pytest.mark.parametrize(
    "model",
    [HandgradClassifier(**QUICK), HandgradRegressor(**QUICK), HandgradImageClassifier(**QUICK)],
)
def test_a_pickled_model_predicts_and_goes_on(model):
    X, _ = three_classes()
    y = (X[:, 0] > 0).astype(int)
    model.fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again._scores(X), model._scores(X))
    model.partial_fit(X, y)
    again.partial_fit(X, y)
    np.testing.assert_array_equal(again._scores(X), model._scores(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1}, "alpha must be 'auto' or a number from 0; got -1"),
        ({"solver": "lbfgs"}, "solver must be one of sgd, .*; got 'lbfgs'"),
        ({"learning_rate_init": 0}, "learning_rate_init must be a number above 0; got 0"),
        ({"schedule": "step"}, "schedule must be one of constant, cosine, one_cycle, or a funct"),
        ({"batch_size": 0}, "batch_size must be 'auto' or a whole number from 1; got 0"),
        ({"max_iter": 2.5}, "max_iter must be 'auto' or a whole number from 1; got 2.5"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1; got 1.0"),
        ({"dropout": 1.0}, "dropout, the fraction dropped"),
        ({"activation": "step"}, "activation must be one of relu"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be whole numbers from 1; got 0"),
        ({"random_state": -1}, "random_state must be an int from 0"),
        ({"class_weight": "even"}, "class_weight must be None, 'balanced' or a mapping"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64'"),
        ({"tol": True}, "tol must be a number from 0; got True"),
    ],
)
def test_parameters_that_mean_nothing_are_refused_at_fit(parameters, message):
    X, y = three_classes()
    model = HandgradClassifier(**{**QUICK, **parameters})
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


def test_a_failed_fit_leaves_no_half_of_an_earlier_one():
    X, y = three_classes()
    model = HandgradClassifier(**QUICK).fit(X, y)
    with pytest.raises(ValueError, match="as many rows"):
        model.fit(X[:, :2], y[:-1])
    with pytest.raises(ValueError, match="not fitted yet"):
        model.predict(X)


def test_weights_that_mean_nothing_are_refused():
    X, y = three_classes()
    model = HandgradClassifier(**QUICK)
    for weight, message in [
        (np.ones(3), r"one weight a row, shape \(240,\); got \(3,\)"),
        (np.full(240, -1.0), "finite and at least 0"),
        (np.zeros(240), "must not be zero for all"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, sample_weight=weight)


def test_batch_norm_never_meets_a_batch_of_one_row():
    X, y = three_classes(rows=97)  # 3 batches of 32, and one row
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HandgradClassifier(batch_norm=True, **QUICK).fit(X, y)

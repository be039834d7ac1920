"""With scikit-learn: its classes taken when it asks, searches, threads, callbacks, dask."""

import os
import subprocess
import sys

import numpy as np
import pytest

from handgrad.estimators import HandgradClassifier, HandgradRegressor

pytest.importorskip("sklearn", reason="needs scikit-learn")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 6)), RNG.integers(0, 3, size=300)
QUICK = {"max_iter": 5, "n_iter_no_change": None, "random_state": 0}


def run(code):
    """Run Python in a process of its own; give what it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


FITS = """
import sys
import numpy as np
from handgrad.estimators import HandgradClassifier, HandgradRegressor
X = np.random.default_rng(0).normal(size=(50, 3))
quick = {"max_iter": 2, "early_stopping": True}
for model, y in ((HandgradClassifier(**quick), np.where(X[:, 0] > 0, "a", "b")),
                 (HandgradRegressor(**quick), X[:, 0])):
    model.fit(X, y, sample_weight=np.ones(50)).partial_fit(X, y)
    model.predict(X), model.score(X, y)
"""


def test_plain_arrays_need_no_scikit_learn():
    heavy = "sklearn", "scipy", "pandas", "narwhals"
    assert run(FITS + f"print([name for name in {heavy!r} if name in sys.modules])") == "[]\n"


def test_without_scikit_learn_what_needs_it_says_so():
    code = "import sys; sys.modules['sklearn'] = None\n" + FITS
    code += (
        "print(repr(model).split()[0])\n"
        "try:\n    model.predict([[1, 2, 3]])\nexcept Exception as error:\n    print(repr(error))\n"
    )
    said = run(code)
    assert "HandgradRegressor" in said
    assert "MissingExtraError" in said
    assert "pip install 'handgrad[sklearn]'" in said


def test_it_becomes_a_base_estimator_when_scikit_learn_asks():
    code = (
        "from handgrad.estimators import HandgradClassifier\n"
        "model = HandgradClassifier(alpha=2)\n"
        "from sklearn.base import BaseEstimator, clone, is_classifier\n"
        "print(isinstance(model, BaseEstimator), end=' ')\n"
        "print(clone(model), isinstance(model, BaseEstimator), is_classifier(model))\n"
        "import sklearn; sklearn.set_config(enable_metadata_routing=True)\n"
        "print(model.set_fit_request(sample_weight=True).get_metadata_routing().fit.requests)"
    )
    said = run(code)
    assert said.startswith("False HandgradClassifier(alpha=2) True True\n")
    assert "'sample_weight': True" in said


def test_parameters_are_found_and_set():
    model = HandgradClassifier(alpha=2.0)
    assert model.get_params()["alpha"] == 2.0
    assert model.set_params(alpha=1.0) is model
    assert model.alpha == 1.0
    with pytest.raises(ValueError, match="Invalid parameter 'alfa'"):
        model.set_params(alfa=1)
    assert not hasattr(model, "network_")
    with pytest.raises(AttributeError, match="nothing"):
        _ = model.nothing


def test_it_stands_in_a_pipeline_and_a_search():
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    gaps = X.copy()
    gaps[::7, 0] = np.nan
    model = make_pipeline(SimpleImputer(), HandgradClassifier(**QUICK))
    grid = {"handgradclassifier__alpha": [1e-4, 1.0]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(gaps, Y)
    assert len(search.cv_results_["params"]) == 2
    assert search.predict(gaps).shape == (300,)


def _threads(_):
    from handgrad.engine import library

    return library.threads()


@pytest.fixture(scope="module")
def workers():
    """Let loky's workers end with this file's tests."""
    from joblib.externals.loky import get_reusable_executor

    yield
    get_reusable_executor().shutdown(wait=True)


def test_workers_share_the_processors_threads(workers):
    # joblib leaves each of n workers a share of the processors, and the engine keeps to it: on two
    # processors one thread each. benchmarks/two_workers.py measures what comes of it.
    from joblib import Parallel, cpu_count, delayed

    shares = Parallel(n_jobs=2)(delayed(_threads)(i) for i in range(4))
    assert set(shares) == {max(1, cpu_count() // 2)}


def test_a_search_by_two_workers_finds_what_one_finds(workers):
    from sklearn.model_selection import GridSearchCV

    model = HandgradClassifier(**QUICK)
    one, two = (
        GridSearchCV(model, {"alpha": [1e-4, 1.0]}, cv=2, n_jobs=jobs, refit=False).fit(X, Y)
        for jobs in (1, 2)
    )
    np.testing.assert_allclose(  # sums of other numbers of threads differ in the last digits
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"], atol=0.02
    )


def test_a_search_runs_on_a_cluster():
    # Of processes: estimators, parameters and scores are pickled, as between machines.
    distributed = pytest.importorskip("distributed", reason="needs dask's distributed")
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        parallel_config(backend="dask"),
    ):
        search = GridSearchCV(HandgradClassifier(**QUICK), {"alpha": [1e-4, 1.0]}, cv=2).fit(X, Y)
    alone = GridSearchCV(HandgradClassifier(**QUICK), {"alpha": [1e-4, 1.0]}, cv=2).fit(X, Y)
    np.testing.assert_allclose(  # as above
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], atol=0.02
    )


class Recorder:
    """A callback of scikit-learn's protocol; stops at an epoch if told to."""

    def __init__(self, stop_at=None):
        self.stop_at, self.calls, self.scores = stop_at, [], []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X=None, metadata=None):
        self.calls.append(f"begin {context.task_name}")
        assert X is not None
        assert set(metadata) <= {"sample_weight"}

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.calls.append(f"end {context.task_name}")
        self.scores.append(fitted_estimator.score(X, y))
        return context.task_name == "epoch" and fitted_estimator.n_iter_ == self.stop_at

    def teardown(self, estimator, context):
        self.calls.append("teardown")


@pytest.fixture
def callback_support():
    return pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9's callbacks")


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callbacks_see_each_epoch(callback_support, early_stopping):
    told = Recorder()
    model = HandgradRegressor(**QUICK, early_stopping=early_stopping).set_callbacks(told)
    model.fit(X, X[:, 0], sample_weight=np.ones(300))
    epochs = ["begin epoch", "end epoch"] * 5
    assert told.calls == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    assert told.scores[-1] == model.score(X, X[:, 0])
    assert told.scores[0] < told.scores[-1]


def test_a_callback_may_stop_the_training(callback_support):
    told = Recorder(stop_at=2)
    model = HandgradClassifier(**QUICK).set_callbacks(told).fit(X, Y)
    assert model.n_iter_ == 2
    assert told.calls.count("end epoch") == 2
    assert told.calls[-1] == "teardown"
    assert told.scores[1] == model.score(X, Y)


def test_patience_ends_the_epochs_tasks_too(callback_support):
    told = Recorder()
    model = HandgradClassifier(max_iter=50, n_iter_no_change=2, tol=1.0, schedule="constant")
    model.set_callbacks(told).fit(X, Y)
    assert model.n_iter_ < 50
    assert told.calls.count("begin epoch") == told.calls.count("end epoch") == model.n_iter_


def test_scikit_learns_own_callbacks_take_it(callback_support):
    monitor = callback_support.ScoringMonitor(scoring="accuracy")
    HandgradClassifier(**QUICK).set_callbacks(monitor).fit(X, Y)
    rows = monitor.get_logs(select="most_recent").data
    assert [row["task_name"] for row in rows].count("epoch") == 5

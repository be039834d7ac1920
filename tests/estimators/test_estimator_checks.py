"""scikit-learn's own checks of an estimator."""

import warnings

import pytest

from handgrad.estimators import HandgradClassifier, HandgradImageClassifier, HandgradRegressor

checks = pytest.importorskip("sklearn.utils.estimator_checks", reason="needs scikit-learn")

ESTIMATORS = [HandgradClassifier, HandgradRegressor, HandgradImageClassifier]
WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
ROUNDING = (
    "minibatches of weighted rows are others than those of repeated ones, and in float32 even a "
    "full batch adds them up in another order: predictions differ in the seventh digit"
)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_all_checks_pass_but_one(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks' own
        results = checks.check_estimator(
            estimator(), expected_failed_checks={WEIGHTS: ROUNDING}, on_skip=None
        )
    failed = [each["check_name"] for each in results if each["status"] in ("failed", "xfail")]
    assert failed in ([WEIGHTS], [])
    # One is skipped: the array API's, which needs a variable set before SciPy is imported.
    assert sum(each["status"] == "passed" for each in results) >= len(results) - 2 > 50


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_with_full_batches_in_float64_weights_are_repetitions(estimator):
    full = estimator(batch_size=1000, dtype="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks.check_sample_weight_equivalence_on_dense_data(estimator.__name__, full)

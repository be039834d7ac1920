"""handgrad's networks with scikit-learn's interface: fit, predict, score, and all that takes them.

`HandgradClassifier` and `HandgradRegressor` are dense networks on tables, `HandgradImageClassifier`
is a convolutional one on images. They take NumPy arrays, lists, and frames of pandas, polars and
pyarrow, and work in scikit-learn's pipelines, searches and ensembles.

scikit-learn itself (``pip install 'handgrad[sklearn]'``) is imported when it is first needed: not
to fit and predict with plain arrays.
"""

from handgrad.estimators.dense import HandgradClassifier, HandgradRegressor
from handgrad.estimators.images import HandgradImageClassifier

__all__ = ["HandgradClassifier", "HandgradImageClassifier", "HandgradRegressor"]

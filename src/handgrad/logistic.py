"""The assignment's logistic classifier: linear, or with one hidden layer (fc - relu - fc)."""

from handgrad.classifiers import BinaryClassifier


class LogisticClassifier(BinaryClassifier):
    """A binary classifier with logistic loss; predicts 1 where its score is > 0.

    LogisticClassifier(input_dim=100, hidden_dim=None, weight_scale=1e-3, reg=0.0): see
    `handgrad.classifiers.BinaryClassifier`.
    """

    binary_loss = "logistic"

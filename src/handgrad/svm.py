"""The assignment's support vector machine: linear, or with one hidden layer (fc - relu - fc)."""

from handgrad.classifiers import BinaryClassifier


class SVM(BinaryClassifier):
    """A binary classifier with hinge loss; predicts 1 where its score is > 0.

    SVM(input_dim=100, hidden_dim=None, weight_scale=1e-3, reg=0.0): see
    `handgrad.classifiers.BinaryClassifier`.
    """

    binary_loss = "svm"

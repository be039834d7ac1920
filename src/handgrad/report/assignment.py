"""The assignment's questions, in order, and which part of the code answers them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question with experiments.

    Attributes
    ----------
    number : int
    title : str
    code_items : tuple of str
        Its items that ask for code: '2.1'.
    code : tuple of (str, str)
        What was asked for, and the name that has it.
    theory : tuple of str
        Slugs of the theory pages behind it.
    architecture : str, optional
        The experiment whose layers answer an item that asks for a network: '6.2'.
    """

    number: int
    title: str
    code_items: tuple[str, ...]
    code: tuple[tuple[str, str], ...]
    theory: tuple[str, ...]
    architecture: str | None = None


QUESTIONS = (
    Question(
        2,
        "Logistic regression on the course's data",
        ("2.1", "2.2"),
        (
            ("loss and gradient", "handgrad.layers.logistic_loss"),
            ("fully connected layer, ReLU", "handgrad.layers.fc_forward, relu_forward"),
            ("model", "handgrad.logistic.LogisticClassifier"),
            ("training loop", "handgrad.solver.Solver"),
        ),
        ("losses", "composition", "weight-penalty"),
    ),
    Question(
        3,
        "Support vector machine on the course's data",
        ("3.1", "3.2"),
        (
            ("loss and gradient", "handgrad.layers.svm_loss"),
            ("model", "handgrad.svm.SVM"),
        ),
        ("losses",),
    ),
    Question(
        4,
        "Softmax on MNIST",
        ("4.1", "4.2"),
        (
            ("loss and gradient", "handgrad.layers.softmax_loss"),
            ("model", "handgrad.softmax.SoftmaxClassifier"),
        ),
        ("losses",),
    ),
    Question(
        5,
        "Convolutional networks on MNIST",
        ("5.1", "5.2"),
        (
            ("convolution", "handgrad.layers.conv_forward, conv_backward"),
            ("max pooling", "handgrad.layers.max_pool_forward, max_pool_backward"),
            ("batch normalisation", "handgrad.layers.batchnorm_forward, batchnorm_backward"),
            ("dropout", "handgrad.layers.dropout_forward, dropout_backward"),
            ("model", "handgrad.cnn.ConvNet"),
        ),
        ("convolution", "max-pooling", "channel-bias"),
    ),
    Question(
        6,
        "VGG11 on CIFAR-10, in PyTorch",
        ("6.1",),
        (
            ("network", "handgrad.vgg.VGG"),
            ("training and testing", "handgrad.vgg.train, handgrad.vgg.test"),
        ),
        (),
        "6.2",
    ),
)

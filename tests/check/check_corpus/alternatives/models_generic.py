import numpy as np
from layers import fc_backward, fc_forward, relu_backward, relu_forward, softmax_loss


class Net:
    """Any number of fully connected layers with ReLUs between them."""

    def __init__(self, sizes, weight_scale, reg):
        self.reg, self.L = reg, len(sizes) - 1
        self.params = {}
        for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), start=1):
            self.params[f"W{i}"] = np.random.randn(a, b) * weight_scale
            self.params[f"b{i}"] = np.zeros((b,))

    def forward(self, X):
        tape = []
        for i in range(1, self.L + 1):
            X, fc = fc_forward(X, self.params[f"W{i}"], self.params[f"b{i}"])
            if i < self.L:
                X, relu = relu_forward(X)
                tape.append((i, fc, relu))
            else:
                tape.append((i, fc, None))
        return X, tape

    def loss(self, X, y=None):
        scores, tape = self.forward(X)
        if y is None:
            return scores
        loss, d = softmax_loss(scores, y)
        grads = {}
        for i, fc, relu in reversed(tape):
            if relu is not None:
                d = relu_backward(d, relu)
            d, grads[f"W{i}"], grads[f"b{i}"] = fc_backward(d, fc)
            grads[f"W{i}"] = grads[f"W{i}"] + self.reg * self.params[f"W{i}"]
        weights = [self.params[f"W{i}"] for i in range(1, self.L + 1)]
        return loss + 0.5 * self.reg * sum(np.linalg.norm(W) ** 2 for W in weights), grads


class SoftmaxClassifier(Net):
    def __init__(self, input_dim=784, hidden_dim=100, num_classes=10, weight_scale=1e-3, reg=0.0):
        hidden = [] if hidden_dim is None else [hidden_dim]
        super().__init__([input_dim, *hidden, num_classes], weight_scale, reg)

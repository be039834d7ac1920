"""A linear softmax classifier, or one with a hidden layer."""

import numpy as np
from layers import fc_backward, fc_forward, relu_backward, relu_forward, softmax_loss


class SoftmaxClassifier:
    def __init__(
        self, input_dim=28 * 28, hidden_dim=100, num_classes=10, weight_scale=1e-3, reg=0.0
    ):
        self.reg = reg
        self.hidden_dim = hidden_dim
        self.params = {}
        if hidden_dim is None:
            self.params["W1"] = weight_scale * np.random.randn(input_dim, num_classes)
            self.params["b1"] = np.zeros(num_classes)
        else:
            self.params["W1"] = weight_scale * np.random.randn(input_dim, hidden_dim)
            self.params["b1"] = np.zeros(hidden_dim)
            self.params["W2"] = weight_scale * np.random.randn(hidden_dim, num_classes)
            self.params["b2"] = np.zeros(num_classes)

    def loss(self, X, y=None):
        W1, b1 = self.params["W1"], self.params["b1"]
        grads = {}
        if self.hidden_dim is None:
            scores, cache = fc_forward(X, W1, b1)
            if y is None:
                return scores
            loss, dscores = softmax_loss(scores, y)
            _, grads["W1"], grads["b1"] = fc_backward(dscores, cache)
        else:
            W2, b2 = self.params["W2"], self.params["b2"]
            hidden, cache1 = fc_forward(X, W1, b1)
            active, relu_cache = relu_forward(hidden)
            scores, cache2 = fc_forward(active, W2, b2)
            if y is None:
                return scores
            loss, dscores = softmax_loss(scores, y)
            dactive, grads["W2"], grads["b2"] = fc_backward(dscores, cache2)
            dhidden = relu_backward(dactive, relu_cache)
            _, grads["W1"], grads["b1"] = fc_backward(dhidden, cache1)
            loss += 0.5 * self.reg * np.sum(W2**2)
            grads["W2"] += self.reg * W2
        loss += 0.5 * self.reg * np.sum(W1**2)
        grads["W1"] += self.reg * W1
        return loss, grads

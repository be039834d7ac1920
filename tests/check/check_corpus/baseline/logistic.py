"""A linear classifier with the logistic loss, or one with a hidden layer."""

import numpy as np
from layers import fc_backward, fc_forward, logistic_loss, relu_backward, relu_forward


class LogisticClassifier:
    def __init__(self, input_dim=100, hidden_dim=None, weight_scale=1e-3, reg=0.0):
        self.reg = reg
        self.hidden_dim = hidden_dim
        sizes = [input_dim, 1] if hidden_dim is None else [input_dim, hidden_dim, 1]
        self.params = {}
        for i in range(1, len(sizes)):
            self.params[f"W{i}"] = weight_scale * np.random.randn(sizes[i - 1], sizes[i])
            self.params[f"b{i}"] = np.zeros(sizes[i])

    def loss(self, X, y=None):
        p = self.params
        if self.hidden_dim is None:
            scores, cache1 = fc_forward(X, p["W1"], p["b1"])
        else:
            hidden, cache1 = fc_forward(X, p["W1"], p["b1"])
            active, relu_cache = relu_forward(hidden)
            scores, cache2 = fc_forward(active, p["W2"], p["b2"])
        scores = scores[:, 0]
        if y is None:
            return scores

        loss, dscores = logistic_loss(scores, y)
        dscores = dscores[:, None]
        grads = {}
        if self.hidden_dim is None:
            _, grads["W1"], grads["b1"] = fc_backward(dscores, cache1)
        else:
            dactive, grads["W2"], grads["b2"] = fc_backward(dscores, cache2)
            dhidden = relu_backward(dactive, relu_cache)
            _, grads["W1"], grads["b1"] = fc_backward(dhidden, cache1)
        for name in p:
            if name[0] == "W":
                loss += 0.5 * self.reg * np.sum(p[name] ** 2)
                grads[name] += self.reg * p[name]
        return loss, grads

import layers
import numpy as np


class LogisticClassifier:
    """Keeps the scores as a column (N, 1) to the last; layers by their module."""

    def __init__(self, input_dim=100, hidden_dim=None, weight_scale=1e-3, reg=0.0):
        sizes = [input_dim] + ([hidden_dim] if hidden_dim else []) + [1]
        self.depth, self.reg, self.params = len(sizes) - 1, reg, {}
        for k in range(self.depth):
            self.params["W%d" % (k + 1)] = np.random.normal(0, weight_scale, sizes[k : k + 2])
            self.params["b%d" % (k + 1)] = np.zeros(sizes[k + 1])

    def loss(self, X, y=None):
        out, caches = X.reshape(len(X), -1), []
        for k in range(1, self.depth + 1):
            out, cache = layers.fc_forward(out, self.params[f"W{k}"], self.params[f"b{k}"])
            caches.append(cache)
            if k < self.depth:
                out, cache = layers.relu_forward(out)
                caches.append(cache)
        if y is None:
            return np.squeeze(out, axis=1)
        loss, dout = layers.logistic_loss(out, y)
        grads = {}
        for k in range(self.depth, 0, -1):
            W = self.params[f"W{k}"]
            dout, dW, grads[f"b{k}"] = layers.fc_backward(dout, caches.pop())
            grads[f"W{k}"] = dW + self.reg * W
            loss += self.reg / 2 * (W * W).sum()
            if caches:
                dout = layers.relu_backward(dout, caches.pop())
        return loss, grads

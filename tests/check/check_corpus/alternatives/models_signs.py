import numpy as np


class SVM:
    """Everything in one place, with no layer of layers.py; the labels are -1 and 1."""

    def __init__(self, input_dim=100, hidden_dim=None, weight_scale=1e-3, reg=0.0):
        self.reg, self.deep = reg, hidden_dim is not None
        widths = [input_dim] + [hidden_dim] * self.deep + [1]
        self.params = {}
        for k in range(len(widths) - 1):
            size = (widths[k], widths[k + 1])
            self.params["W%d" % (k + 1)] = np.random.normal(scale=weight_scale, size=size)
            self.params["b%d" % (k + 1)] = np.zeros(size[1])

    def loss(self, X, y=None):
        p, N = self.params, X.shape[0]
        rows = X.reshape(N, -1)
        first = rows @ p["W1"] + p["b1"]
        hidden = np.maximum(first, 0) if self.deep else None
        scores = (hidden @ p["W2"] + p["b2"] if self.deep else first).flatten()
        if y is None:
            return scores
        weights = [p[name] for name in p if name.startswith("W")]
        loss = np.maximum(0, 1 - y * scores).mean()
        loss += self.reg / 2 * sum((W * W).sum() for W in weights)
        d = (np.where(y * scores < 1, -y, 0) / N).reshape(N, 1)
        grads = {}
        if self.deep:
            grads["W2"], grads["b2"] = hidden.T @ d + self.reg * p["W2"], d.sum(axis=0)
            d = (d @ p["W2"].T) * (first > 0)
        grads["W1"], grads["b1"] = rows.T @ d + self.reg * p["W1"], d.sum(axis=0)
        return loss, grads

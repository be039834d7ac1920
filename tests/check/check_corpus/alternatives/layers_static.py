import numpy as np


class Affine:
    @staticmethod
    def forward(x, w, b):
        rows = x.reshape(x.shape[0], w.shape[0])
        return rows.dot(w) + b.reshape(1, -1), {"rows": rows, "w": w, "shape": x.shape}

    @staticmethod
    def backward(dout, cache):
        dx = dout.dot(cache["w"].T).reshape(cache["shape"])
        return dx, cache["rows"].T.dot(dout), np.einsum("nm->m", dout)


class Rectifier:
    @classmethod
    def forward(cls, x):
        return np.clip(x, 0, None), np.sign(np.clip(x, 0, None))

    @classmethod
    def backward(cls, dout, cache):
        return np.multiply(dout, cache)


fc_forward, fc_backward = Affine.forward, Affine.backward
relu_forward, relu_backward = Rectifier.forward, Rectifier.backward

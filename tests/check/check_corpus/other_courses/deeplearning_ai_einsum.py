"""einsum, closures as caches: a backward is what its forward left."""

import numpy as np


def sigmoid(Z):
    A = 0.5 * (1 + np.tanh(0.5 * Z))
    return A, lambda dA: dA * A * (1 - A)


def relu(Z):
    return Z.clip(min=0), lambda dA: np.einsum("ij,ij->ij", dA, (Z > 0).astype(Z.dtype))


def linear_forward(A, W, b):
    m = np.size(A, 1)

    def back(dZ):
        ones = np.full((m, 1), 1 / m, dtype=dZ.dtype)
        return np.einsum("ij,ik->jk", W, dZ), np.einsum("ik,jk->ij", dZ, A) / m, dZ @ ones

    return np.einsum("ij,jk->ik", W, A) + b, back


def linear_activation_forward(A_prev, W, b, activation):
    Z, linear = linear_forward(A_prev, W, b)
    A, bend = globals()[activation](Z)
    return A, (linear, bend)


def L_model_forward(X, parameters):
    *hidden, last = range(1, len(parameters) // 2 + 1)
    caches = []
    for i in [*hidden, last]:
        X, cache = linear_activation_forward(
            X, parameters[f"W{i}"], parameters[f"b{i}"], "sigmoid" if i == last else "relu"
        )
        caches.append(cache)
    return X, tuple(caches)


def compute_cost(AL, Y):
    return float(np.mean(-np.log(np.where(Y == 1, AL, 1 - AL))))


def linear_backward(dZ, cache):
    return cache(dZ)


relu_backward = sigmoid_backward = linear_backward


def linear_activation_backward(dA, cache, activation):
    linear, bend = cache
    return linear(bend(dA))


def L_model_backward(AL, Y, caches):
    dA = (AL - Y) / (AL * (1 - AL))
    grads = {}
    for i in range(len(caches), 0, -1):
        dA, grads[f"dW{i}"], grads[f"db{i}"] = linear_activation_backward(dA, caches[i - 1], "")
        grads[f"dA{i - 1}"] = dA
    return grads


def update_parameters(parameters, grads, learning_rate):
    return {k: v - learning_rate * grads["d" + k] for k, v in parameters.items()}

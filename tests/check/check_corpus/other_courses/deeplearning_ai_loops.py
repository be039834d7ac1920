"""Example by example, with Python's own floats; parameters are updated in place."""

import math

import numpy as np


def sigmoid(Z):
    A = np.empty_like(Z)
    for i, z in np.ndenumerate(Z):
        A[i] = 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))
    return A, A


def relu(Z):
    A = Z.copy()
    A[Z < 0] = 0
    return A, A > 0


def linear_forward(A, W, b):
    columns = [W.dot(A[:, j]) + b[:, 0] for j in range(A.shape[1])]
    return np.stack(columns, axis=1), {"A": A, "W": W}


def linear_activation_forward(A_prev, W, b, activation):
    Z, first = linear_forward(A_prev, W, b)
    A, second = {"relu": relu, "sigmoid": sigmoid}[activation](Z)
    return A, [first, second]


def L_model_forward(X, parameters):
    A, caches, last = X, [], len(parameters) // 2
    for number in range(1, last + 1):
        kind = "relu" if number < last else "sigmoid"
        W, b = parameters["W%d" % number], parameters["b%d" % number]
        A, cache = linear_activation_forward(A, W, b, kind)
        caches += [cache]
    return A, caches


def compute_cost(AL, Y):
    total = 0.0
    for a, y in zip(AL.ravel(), Y.ravel(), strict=True):
        total -= math.log(a) if y == 1 else math.log(1 - a)
    return total / Y.size


def linear_backward(dZ, cache):
    A, W = cache["A"], cache["W"]
    m = A.shape[1]
    dW, db, dA = np.zeros_like(W), np.zeros((len(W), 1), dtype=W.dtype), np.zeros_like(A)
    for j in range(m):
        dW += np.outer(dZ[:, j], A[:, j]) / m
        db[:, 0] += dZ[:, j] / m
        dA[:, j] = dZ[:, j] @ W
    return dA, dW, db


def relu_backward(dA, cache):
    return dA * cache


def sigmoid_backward(dA, cache):
    return dA * (cache - cache**2)


def linear_activation_backward(dA, cache, activation):
    first, second = cache
    dZ = (relu_backward if activation == "relu" else sigmoid_backward)(dA, second)
    return linear_backward(dZ, first)


def L_model_backward(AL, Y, caches):
    grads, number = {}, len(caches)
    dA = (1 - Y) / (1 - AL) - Y / AL
    grads["dA%d" % number] = dA
    for cache in caches[::-1]:
        kind = "sigmoid" if number == len(caches) else "relu"
        dA, grads["dW%d" % number], grads["db%d" % number] = linear_activation_backward(
            dA, cache, kind
        )
        number -= 1
        grads["dA%d" % number] = dA
    return grads


def update_parameters(parameters, grads, learning_rate):
    for name in parameters:
        parameters[name] -= learning_rate * grads["d" + name]
    return parameters

"""Max pooling of images (N, C, H, W), compiled: for those who call the layer by itself."""

from typing import Any

from handgrad.kernels.blas import compiled


@compiled
def max_pool_forward(x: Any, height: int, width: int, stride: int, out: Any) -> None:
    """Write the largest pixel of each window; a NaN comes through."""
    N, C, OH, OW = out.shape
    for n in range(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    best = x[n, c, i * stride, j * stride]
                    for k in range(height):
                        for l in range(width):  # noqa: E741
                            value = x[n, c, i * stride + k, j * stride + l]
                            if value > best or value != value:
                                best = value
                    out[n, c, i, j] = best


@compiled
def max_pool_backward(
    dout: Any, x: Any, out: Any, height: int, width: int, stride: int, dx: Any
) -> None:
    """Add dout to the first pixel that equals out; a NaN equals nothing."""
    N, C, OH, OW = out.shape
    for n in range(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    paid = False
                    for k in range(height):
                        for l in range(width):  # noqa: E741
                            row, column = i * stride + k, j * stride + l
                            if not paid and x[n, c, row, column] == out[n, c, i, j]:
                                dx[n, c, row, column] += dout[n, c, i, j]
                                paid = True

"""Mistakes planted in handgrad's own layers and update rules.

Written after the checker had been tuned on the other mutants, and (but for one false cause, put
right) not tuned on: what it makes of these is what it would make of a stranger's file.
"""

from check_corpus.mutants import Plant

fc, relu = Plant("fc", "layers/dense.py"), Plant("relu", "layers/dense.py")
dropout = Plant("dropout", "layers/dense.py")
norm = Plant("batchnorm", "layers/normalisation.py")
conv, pool = Plant("conv", "layers/convolution.py"), Plant("pool", "layers/pooling.py")
loss = Plant("losses", "layers/losses.py")
rule = Plant("optim", "optim.py")

OURS = [
    fc("our-fc-no-bias", "forward leaves b out", "    out += b\n", "", "bias-ignored"),
    fc(
        "our-fc-x-in-place",
        "backward scales x, which it was given, by 1/N",
        "    dw = x.reshape(len(x), w.shape[0]).T @ dout  # (D, M)\n",
        "    x /= len(x)\n    dw = x.reshape(len(x), w.shape[0]).T @ dout  # (D, M)\n",
        "argument-modified",
        also=("factor-one-over-n", "averaged-not-summed", "cache-modified"),
    ),
    fc(
        "our-fc-db-total",
        "db is one number",
        "db = dout.sum(axis=0)",
        "db = dout.sum()",
        "wrong-axis",
    ),
    relu(
        "our-relu-mask-sign",
        "the mask is that of negative numbers",
        "return np.where(x > 0, dout, x.dtype.type(0))",
        "return np.where(x < 0, dout, x.dtype.type(0))",
        "sign",
        "wrong-mask",
    ),
    dropout(
        "our-dropout-drop",
        "p is taken as the probability to drop",
        "np.asarray(draw) < p",
        "np.asarray(draw) >= p",
        "keep-drop-swapped",
    ),
    dropout(
        "our-dropout-normal",
        "draws normal numbers, not uniform ones",
        "draw = np.random.rand(*x.shape)",
        "draw = np.random.randn(*x.shape)",
        "keep-fraction-wrong",
        also=("other-random-stream",),
    ),
    dropout(
        "our-dropout-test-twice",
        "after a test-mode forward, backward multiplies by p squared",
        "DropoutCache(float(p), x.shape, x.dtype)",
        "DropoutCache(float(p * p), x.shape, x.dtype)",
        "mask-twice",
        "factor-p",
    ),
    norm(
        "our-bn-unbiased",
        "normalises with the variance over N - 1",
        "var = _sum_of_products(centred, centred) / count",
        "var = _sum_of_products(centred, centred) / (count - 1)",
        "unbiased-variance",
    ),
    norm(
        "our-bn-running-not-averaged",
        "the running mean is the last batch's",
        "momentum * running_mean + (1 - momentum) * mean",
        "mean",
        "running-statistics-not-kept",
    ),
    norm(
        "our-bn-running-uncentred",
        "accumulates the mean of squares, not the variance",
        "momentum * running_var + (1 - momentum) * var",
        "momentum * running_var + (1 - momentum) * (var + mean**2)",
        "variance-for-deviation",
    ),
    norm(
        "our-bn-no-mean-path",
        "dx without the path through the mean",
        "    dx -= (dbeta / count).reshape(gamma.shape)\n",
        "",
        "mean-gradient-missing",
    ),
    norm(
        "our-bn-sums-for-means",
        "dx subtracts sums where means are meant",
        "dx -= (dbeta / count).reshape",
        "dx -= dbeta.reshape",
        "factor-n",
    ),
    norm(
        "our-bn-test-as-training",
        "a test-mode forward remembers training mode",
        "return out, BatchNormCache(x_hat, gamma, inverse_std, str(mode))",
        'return out, BatchNormCache(x_hat, gamma, inverse_std, "train")',
        "test-backward-wrong",
    ),
    norm(
        "our-bn-eps-default",
        "eps is 1e-3 by default",
        'bn_param.get("eps", 1e-5)',
        'bn_param.get("eps", 1e-3)',
        "default-wrong",
    ),
    norm(
        "our-bn-momentum-default",
        "momentum is 0.99 by default",
        'bn_param.get("momentum", 0.9)',
        'bn_param.get("momentum", 0.99)',
        "default-wrong",
    ),
    conv(
        "our-full-not-flipped",
        "*full without the flip",
        "return filter_valid(around, b[::-1, ::-1])",
        "return filter_valid(around, b)",
        "kernel-not-flipped",
    ),
    conv(
        "our-conv-rows-turned",
        "the patches' rows and columns change places",
        "seen = seen.transpose(0, 1, 4, 5, 2, 3)",
        "seen = seen.transpose(0, 1, 4, 5, 2, 3) if window[0] != window[1] else "
        "seen.transpose(0, 1, 5, 4, 2, 3)",
        "transposed",
    ),
    conv(
        "our-conv-dw-last-chunk",
        "dw is not summed over the images",
        "(d[images] @ patches.transpose(0, 2, 1)).sum(axis=0)",
        "(d[images] @ patches.transpose(0, 2, 1))[0]",
        "not-summed",
        "only-n1",
    ),
    conv(
        "our-conv-dx-overwritten",
        "taps overwrite each other in dx",
        "dx[images, :, rows, columns] += dpatches",
        "dx[images, :, rows, columns] = dpatches",
        "overlap-lost",
    ),
    pool(
        "our-pool-ties",
        "every tied pixel is paid",
        "largest = waiting & (pixel == out)",
        "largest = pixel == out",
        "ties-paid-twice",
    ),
    pool(
        "our-pool-overlap",
        "overlapping windows overwrite",
        "        dpixel += np.where(largest, dout, 0)\n",
        "        np.copyto(dpixel, dout, where=largest)\n",
        "overlap-lost",
        also=("only-without-overlap",),
    ),
    pool(
        "our-pool-from-zero",
        "the maximum starts from 0",
        "    out = next(pixels).copy()\n    for pixel in pixels:\n        np.maximum(",
        "    out = np.maximum(next(pixels), 0)\n    for pixel in pixels:\n        np.maximum(",
        "negative-pixels",
    ),
    loss(
        "our-logistic-overflow",
        "exp(-z) without the absolute value",
        "return np.log1p(small) + np.maximum(-margin, 0), -sign",
        "return np.log1p(np.exp(-margin)), -sign",
        "not-shifted-by-maximum",
    ),
    loss(
        "our-labels-0-negative-only",
        "labels of -1 count as positive ones",
        "positive = y == 1\n",
        "positive = y != 0\n",
        "labels-coding",
    ),
    loss(
        "our-svm-kink",
        "the gradient at the kink is not 0",
        "np.where(slack > 0, -sign, x.dtype.type(0))",
        "np.where(slack >= 0, -sign, x.dtype.type(0))",
        "kink-wrong",
    ),
    loss(
        "our-svm-half",
        "half the hinge",
        "losses = np.maximum(slack, 0).reshape(len(x))",
        "losses = np.maximum(slack, 0).reshape(len(x)) / 2",
        "factor-half",
    ),
    loss(
        "our-softmax-shift-in-place",
        "subtracts the maximum from x itself",
        "shifted = x - x.max(axis=1, keepdims=True)",
        "x -= x.max(axis=1, keepdims=True)\n    shifted = x",
        "argument-modified",
    ),
    loss(
        "our-softmax-sum",
        "the gradient is of the sum",
        "slopes[rows, labels] -= 1\n",
        "slopes[rows, labels] -= 1\n    slopes *= N\n",
        "factor-n",
    ),
    rule(
        "our-momentum-dampened",
        "the velocity forgets to decay",
        'velocity = config["momentum"] * config["velocity"] - config["learning_rate"] * dw',
        'velocity = config["velocity"] - config["learning_rate"] * dw',
        "config-ignored",
    ),
    rule(
        "our-rmsprop-eps-inside",
        "epsilon under the root",
        '(np.sqrt(cache) + config["epsilon"])',
        'np.sqrt(cache + config["epsilon"])',
        "eps-inside-root",
    ),
    rule(
        "our-adam-t-from-config",
        "t is not incremented",
        't = config["t"] + 1\n    m = beta1',
        't = max(config["t"], 1)\n    m = beta1',
        "bias-correction",
    ),
    rule(
        "our-adam-corrections-exchanged",
        "m is corrected with beta2 and v with beta1",
        "m / (1 - beta1**t), v / (1 - beta2**t)",
        "m / (1 - beta2**t), v / (1 - beta1**t)",
        "bias-correction",
    ),
]

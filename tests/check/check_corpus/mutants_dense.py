"""Mistakes in fully connected layers, ReLU, dropout and batch normalisation."""

from check_corpus.mutants import Plant

fc = Plant("fc", "layers.py")
relu = Plant("relu", "layers.py")
dropout = Plant("dropout", "layers.py")
norm = Plant("batchnorm", "layers.py")

DW = "    dw = rows.T @ dout\n"
DB = "    db = dout.sum(axis=0)\n"
DX_FC = "    dx = (dout @ w.T).reshape(x.shape)\n"

FC = [
    fc("fc-no-bias", "forward leaves b out", "rows @ w + b", "rows @ w", "bias-ignored"),
    fc(
        "fc-flattens-wrong",
        "flattens x with the examples in the wrong place",
        "    rows = x.reshape(x.shape[0], -1)\n    out =",
        "    rows = x.reshape(-1, x.shape[0]).T\n    out =",
        "summed-over-wrong-index",
    ),
    fc(
        "fc-float32",
        "computes in float32",
        "    out = rows @ w + b\n",
        "    out = (rows.astype(np.float32) @ w.astype(np.float32) + b).astype(x.dtype)\n",
        "float32-forced",
    ),
    fc(
        "fc-db-not-summed",
        "db is dout, not its sum over the examples",
        DB,
        "    db = dout\n",
        "not-summed",
    ),
    fc(
        "fc-db-mean",
        "db is averaged over the examples",
        DB,
        "    db = dout.mean(axis=0)\n",
        "averaged-not-summed",
        "factor-one-over-n",
    ),
    fc(
        "fc-db-wrong-axis",
        "db is summed over the outputs",
        DB,
        "    db = dout.sum(axis=1)\n",
        "wrong-axis",
    ),
    fc("fc-dw-transposed", "dw is (M, D)", DW, "    dw = dout.T @ rows\n", "transposed"),
    fc(
        "fc-dw-over-n",
        "dw is divided by N, which the loss has done",
        DW,
        "    dw = rows.T @ dout / x.shape[0]\n",
        "factor-one-over-n",
        "averaged-not-summed",
    ),
    fc(
        "fc-dw-upstream",
        "dw ignores dout",
        DW,
        "    dw = rows.T @ np.ones_like(dout)\n",
        "upstream-ignored",
    ),
    fc(
        "fc-dx-flat",
        "dx stays flattened",
        DX_FC,
        "    dx = dout @ w.T\n",
        "wrong-shape",
    ),
    fc("fc-dx-sign", "dx has a minus", DX_FC, DX_FC.replace("(dout", "(-dout"), "sign"),
    fc(
        "fc-dx-twice",
        "dx is doubled, as if derived from a squared loss",
        DX_FC,
        DX_FC.replace("(dout", "(2 * dout"),
        "factor-two",
    ),
]

RELU = [
    relu(
        "relu-in-place",
        "forward overwrites x",
        "np.maximum(0, x)\n    return out, x",
        "np.maximum(0, x, out=x)\n    return out, x",
        "argument-modified",
    ),
    relu(
        "relu-dout-in-place",
        "backward overwrites dout",
        "    return dout * (x > 0)\n",
        "    dout[x <= 0] = 0\n    return dout\n",
        "argument-modified",
    ),
    relu(
        "relu-no-mask",
        "backward passes everything",
        "dout * (x > 0)",
        "dout * np.ones_like(x)",
        "missing-mask",
    ),
    relu("relu-kink", "the gradient at 0 is 1", "(x > 0)", "(x >= 0)", "kink-wrong"),
    relu(
        "relu-upstream",
        "backward gives the mask itself",
        "    return dout * (x > 0)\n",
        "    return (x > 0).astype(x.dtype)\n",
        "upstream-ignored",
    ),
    relu(
        "relu-mask-of-dout",
        "the mask is taken of dout, not of x",
        "(x > 0)",
        "(dout > 0)",
        "wrong-mask",
    ),
]

MASK = "        mask = (draw < p).astype(x.dtype)\n"
SEEDED = 'np.random.RandomState(dropout_param["seed"]).rand(*x.shape)'
TEST = "        mask = x.dtype.type(p)\n        out = x * mask\n"
DROP_BACK = "    mask = cache\n    return dout * mask\n"

DROPOUT = [
    dropout(
        "dropout-keep-drop",
        "p is taken as the probability to drop",
        "draw < p",
        "draw > p",
        "keep-drop-swapped",
    ),
    dropout(
        "dropout-keeps-half-of-p",
        "keeps p/2 of the units",
        "draw < p",
        "draw < p / 2",
        "keep-fraction-wrong",
    ),
    dropout(
        "dropout-no-test-scaling",
        "test mode returns x",
        TEST,
        TEST.replace("(p)", "(1)"),
        "no-test-scaling",
    ),
    dropout(
        "dropout-scaled-twice",
        "divides by p in training and multiplies by p in testing",
        MASK,
        "        mask = (draw < p).astype(x.dtype) / x.dtype.type(p)\n",
        "inverted-scaling",
        "factor-one-over-p",
    ),
    dropout(
        "dropout-train-times-p",
        "multiplies by p in training, too",
        MASK,
        "        mask = (draw < p).astype(x.dtype) * x.dtype.type(p)\n",
        "factor-p",
    ),
    dropout(
        "dropout-no-test-mode",
        "drops in test mode",
        'if mode == "train":\n        if "seed"',
        'if mode:\n        if "seed"',
        "test-mode-drops",
        also=("test-mode-draws",),
    ),
    dropout(
        "dropout-no-mask-backward",
        "backward passes everything",
        DROP_BACK,
        "    return dout.copy()\n",
        "missing-mask",
        also=("no-test-scaling",),
    ),
    dropout(
        "dropout-mask-twice",
        "backward multiplies by the factor twice (seen only after a test-mode forward)",
        DROP_BACK,
        "    mask = cache\n    return dout * mask * mask\n",
        "mask-twice",
    ),
    dropout(
        "dropout-upstream",
        "backward gives the mask itself",
        DROP_BACK,
        "    mask = cache\n    return np.ones_like(dout) * mask\n",
        "upstream-ignored",
    ),
    dropout(
        "dropout-test-backward",
        "after a test-mode forward, backward forgets p",
        TEST,
        "        mask = x.dtype.type(1)\n        out = x * x.dtype.type(p)\n",
        "factor-one-over-p",
        "no-test-scaling",
    ),
    dropout(
        "dropout-seeds-global",
        "seeds NumPy's global generator",
        f"            draw = {SEEDED}\n",
        '            np.random.seed(dropout_param["seed"])\n'
        "            draw = np.random.rand(*x.shape)\n",
        "global-random-state",
    ),
    dropout(
        "dropout-per-row",
        "drops whole rows",
        MASK,
        MASK.replace("draw < p", "draw[:, :1] < p + 0 * x"),
        "mask-per-row",
    ),
    dropout(
        "dropout-per-column",
        "one draw a feature, for all examples",
        MASK,
        MASK.replace("draw < p", "draw[:1] < p + 0 * x"),
        "mask-per-row",
    ),
    dropout(
        "dropout-seed-ignored",
        "ignores the seed",
        'if "seed" in dropout_param',
        'if "random_seed" in dropout_param',
        "seed-ignored",
        also=(
            "global-random-state",
            "other-random-stream",
        ),
    ),
    dropout(
        "dropout-mask-fixed",
        "the same units in every call",
        "            draw = np.random.rand(*x.shape)\n",
        "            draw = np.random.RandomState(0).rand(*x.shape)\n",
        "not-random",
        "other-random-stream",
    ),
]

MOVE_VAR = "running_var = momentum * running_var + (1 - momentum) * var"
STATISTICS = "        mean = x.mean(axis=0)\n        var = x.var(axis=0)\n"
KEEP = '    bn_param["running_mean"] = running_mean\n    bn_param["running_var"] = running_var\n'
DX = "(dx_hat - dx_hat.mean(axis=0) - x_hat * (dx_hat * x_hat).mean(axis=0)) / std"
SPATIAL_FORWARD = (
    "    rows = x.transpose(0, 2, 3, 1).reshape(-1, C)\n"
    "    out, cache = batchnorm_forward(rows, gamma, beta, bn_param)\n"
    "    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache\n"
)

BATCHNORM = [
    norm(
        "bn-test-batch-statistics",
        "test mode normalises with the batch",
        "        mean = running_mean\n        var = running_var\n",
        STATISTICS,
        "test-uses-batch-statistics",
    ),
    norm(
        "bn-train-running-statistics",
        "training mode normalises with the running statistics",
        "    std = np.sqrt(var + eps)\n",
        "    mean, var = running_mean, running_var\n    std = np.sqrt(var + eps)\n",
        "train-uses-running-statistics",
    ),
    norm(
        "bn-statistics-lost",
        "the running statistics are thrown away",
        KEEP,
        "",
        "running-statistics-not-kept",
    ),
    norm(
        "bn-variance-lost",
        "the running variance is thrown away",
        KEEP,
        KEEP.splitlines(keepends=True)[0],
        "running-statistics-not-kept",
    ),
    norm(
        "bn-momentum-swapped",
        "momentum and 1 - momentum change places",
        "running_mean = momentum * running_mean + (1 - momentum) * mean\n        " + MOVE_VAR,
        "running_mean = (1 - momentum) * running_mean + momentum * mean\n"
        "        running_var = (1 - momentum) * running_var + momentum * var",
        "running-momentum-swapped",
    ),
    norm(
        "bn-unbiased",
        "normalises with the variance over N - 1",
        "var = x.var(axis=0)",
        "var = x.var(axis=0, ddof=1)",
        "unbiased-variance",
    ),
    norm(
        "bn-running-unbiased",
        "accumulates the variance over N - 1",
        MOVE_VAR,
        MOVE_VAR.replace("* var", "* x.var(axis=0, ddof=1)"),
        "unbiased-variance",
    ),
    norm(
        "bn-running-deviation",
        "accumulates the standard deviation",
        MOVE_VAR,
        MOVE_VAR.replace("* var", "* np.sqrt(var)"),
        "variance-for-deviation",
    ),
    norm(
        "bn-eps-outside",
        "adds eps after the root",
        "np.sqrt(var + eps)",
        "np.sqrt(var) + eps",
        "eps-outside-root",
    ),
    norm("bn-no-eps", "leaves eps out", "np.sqrt(var + eps)", "np.sqrt(var)", "eps-missing"),
    norm(
        "bn-divides-by-variance",
        "divides by the variance",
        "np.sqrt(var + eps)",
        "(var + eps)",
        "variance-for-deviation",
    ),
    norm(
        "bn-global-mean",
        "one mean and variance for all features",
        STATISTICS,
        STATISTICS.replace("axis=0", ""),
        "wrong-axis",
        also=("only-c1",),
    ),
    norm(
        "bn-float64-statistics",
        "running statistics start as float64, which float32 follows",
        'running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))',
        'running_mean = bn_param.get("running_mean", np.zeros(D))',
        "dtype-not-kept",
    ),
    norm("bn-no-beta", "leaves beta out", "gamma * x_hat + beta", "gamma * x_hat", "bias-ignored"),
    norm(
        "bn-statistics-constant",
        "dx as if mean and variance were constants",
        DX,
        "dx_hat / std",
        "batch-mean-gradient-missing",
    ),
    norm(
        "bn-no-mean-term",
        "dx without the path through the mean",
        " - dx_hat.mean(axis=0)",
        "",
        "mean-gradient-missing",
    ),
    norm(
        "bn-no-variance-term",
        "dx without the path through the variance",
        " - x_hat * (dx_hat * x_hat).mean(axis=0)",
        "",
        "variance-gradient-missing",
    ),
    norm(
        "bn-zero-dx",
        "dx is zero, which a check with dout = 1 passes",
        DX,
        "np.zeros_like(dout)",
        "gradient-zero",
    ),
    norm(
        "bn-test-backward",
        "the training formula after a test-mode forward",
        '    if mode == "train":\n        dx =',
        '    if mode != "":\n        dx =',
        "test-backward-wrong",
    ),
    norm(
        "bn-no-gamma",
        "dx without gamma",
        "dx_hat = dout * gamma",
        "dx_hat = dout",
        "gamma-ignored",
    ),
    norm(
        "bn-dgamma-mean",
        "dgamma is averaged",
        "(dout * x_hat).sum(axis=0)",
        "(dout * x_hat).mean(axis=0)",
        "averaged-not-summed",
        "factor-one-over-n",
    ),
    norm(
        "bn-dbeta-not-summed",
        "dbeta is dout",
        "dbeta = dout.sum(axis=0)",
        "dbeta = dout",
        "not-summed",
    ),
    norm(
        "spatial-bn-rows-mixed",
        "reshapes (N, C, H, W) to rows of C without moving the channels last",
        SPATIAL_FORWARD,
        "    out, cache = batchnorm_forward(x.reshape(-1, C), gamma, beta, bn_param)\n"
        "    return out.reshape(x.shape), cache\n",
        "not-per-channel",
        "summed-over-wrong-index",
        also=("only-c1",),
    ),
    norm(
        "spatial-bn-per-pixel",
        "statistics of every pixel, over the examples alone",
        "    out, cache = batchnorm_forward(rows, gamma, beta, bn_param)\n",
        "    mean, var = x.mean(axis=0), x.var(axis=0)\n"
        "    _, cache = batchnorm_forward(rows, gamma, beta, bn_param)\n"
        "    out = gamma[:, None, None] * (x - mean) / np.sqrt(var + 1e-5) + beta[:, None, None]\n"
        "    out = out.transpose(0, 2, 3, 1)\n",
        "not-per-channel",
    ),
]

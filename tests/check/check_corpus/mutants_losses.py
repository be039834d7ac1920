"""Mistakes in the losses and the update rules."""

from check_corpus.mutants import Plant

logistic = Plant("losses", "layers.py", "logistic_loss")
svm = Plant("losses", "layers.py", "svm_loss")
softmax = Plant("losses", "layers.py", "softmax_loss")
sgd, momentum = Plant("optim", "optim.py", "sgd"), Plant("optim", "optim.py", "sgd_momentum")
rmsprop, adam = Plant("optim", "optim.py", "rmsprop"), Plant("optim", "optim.py", "adam")

LOGISTIC = "    loss = np.logaddexp(0, -margins).mean()\n"
SIGMOID = "np.exp(-np.logaddexp(0, margins))  # of -margins"
DX_LOGISTIC = "    dx = -signs * sigmoid / N\n"
SIGNS = "    signs = np.where(y == 1, 1, -1).astype(x.dtype).reshape(x.shape)\n"
IN_LOGISTIC = SIGNS + "    margins"
IN_SVM = SIGNS + "    slack"
HINGE = "    loss = np.maximum(0, slack).sum() / N\n"
DX_SVM = "    dx = -signs * (slack > 0) / N\n"

LOSSES = [
    logistic(
        "logistic-overflow",
        "log(1 + exp(-z)) overflows",
        LOGISTIC,
        "    loss = np.log(1 + np.exp(-margins)).mean()\n",
        "not-shifted-by-maximum",
    ),
    logistic(
        "logistic-gradient-overflow",
        "exp(-z) / (1 + exp(-z)) is infinity over infinity",
        SIGMOID,
        "np.exp(-margins) / (1 + np.exp(-margins))",
        "not-shifted-by-maximum",
    ),
    logistic(
        "logistic-log-of-zero",
        "log of a probability that underflows",
        LOGISTIC,
        "    p, bits = 1 / (1 + np.exp(-x.reshape(-1))), y == 1\n"
        "    loss = -np.mean(bits * np.log(p) + (1 - bits) * np.log(1 - p))\n",
        "log-of-zero",
    ),
    logistic(
        "logistic-sum",
        "the loss is a sum",
        LOGISTIC,
        LOGISTIC.replace("mean", "sum"),
        "factor-n",
    ),
    logistic(
        "logistic-dx-sum",
        "the gradient is of the sum",
        DX_LOGISTIC,
        DX_LOGISTIC.replace(" / N", ""),
        "factor-n",
    ),
    logistic(
        "logistic-dx-sign",
        "the gradient has the wrong sign",
        DX_LOGISTIC,
        DX_LOGISTIC.replace("-signs", "signs"),
        "sign",
    ),
    logistic(
        "logistic-labels-exchanged",
        "1 is taken for the negative class",
        IN_LOGISTIC,
        IN_LOGISTIC.replace("1, -1", "-1, 1"),
        "labels-sign",
    ),
    logistic(
        "logistic-only-0-1",
        "2 y - 1: wrong for labels -1 and 1",
        IN_LOGISTIC,
        "    signs = (2 * y.astype(x.dtype) - 1).reshape(x.shape)\n    margins",
        "labels-coding",
    ),
    logistic(
        "logistic-only-signs",
        "multiplies by y: wrong for labels 0 and 1",
        IN_LOGISTIC,
        "    signs = y.astype(x.dtype).reshape(x.shape)\n    margins",
        "labels-coding",
    ),
    logistic(
        "logistic-unsigned",
        "computes with unsigned labels, which wrap",
        IN_LOGISTIC,
        "    doubled = 2 * y - 1 if y.min() >= 0 else y\n"
        "    signs = doubled.astype(x.dtype).reshape(x.shape)\n    margins",
        "labels-dtype",
    ),
    logistic(
        "logistic-labels-modified",
        "writes -1 over the labels 0",
        IN_LOGISTIC,
        "    if y.dtype.kind in 'if':\n        y[y == 0] = -1\n" + IN_LOGISTIC,
        "labels-modified",
    ),
    logistic(
        "logistic-n-by-n",
        "(N, 1) logits times (N,) labels are (N, N)",
        IN_LOGISTIC,
        IN_LOGISTIC.replace(".reshape(x.shape)", ""),
        "broadcast-n-by-n",
    ),
    svm(
        "svm-violators-loss",
        "the mean over the margin's violators",
        HINGE,
        HINGE.replace("/ N", "/ (slack > 0).sum()"),
        "mean-over-violators",
    ),
    svm(
        "svm-violators-gradient",
        "the gradient of the mean over the margin's violators",
        DX_SVM,
        DX_SVM.replace("/ N", "/ (slack > 0).sum()"),
        "mean-over-violators",
        also=("dtype-not-kept",),
    ),
    svm(
        "svm-kink",
        "the gradient at the kink is not 0",
        DX_SVM,
        DX_SVM.replace(">", ">="),
        "kink-wrong",
    ),
    svm(
        "svm-no-mask",
        "the gradient counts examples beyond the margin",
        DX_SVM,
        "    dx = -signs / N\n",
        "missing-mask",
    ),
    svm(
        "svm-perceptron",
        "the margin is 0",
        "slack = 1 - signs",
        "slack = 0 - signs",
        "margin-wrong",
    ),
    svm(
        "svm-squared",
        "the hinge is squared",
        HINGE + DX_SVM,
        "    loss = (np.maximum(0, slack) ** 2).sum() / N\n"
        "    dx = -signs * 2 * np.maximum(0, slack) / N\n",
        "squared-hinge",
    ),
    svm(
        "svm-labels-modified",
        "writes -1 over the labels 0",
        IN_SVM,
        "    if y.dtype.kind in 'if':\n        y[y == 0] = -1\n" + IN_SVM,
        "labels-modified",
    ),
    svm(
        "svm-twice",
        "the gradient is doubled",
        DX_SVM,
        DX_SVM.replace("-signs", "-2 * signs"),
        "factor-two",
    ),
    softmax(
        "softmax-overflow",
        "exp without subtracting the maximum",
        "shifted = x - x.max(axis=1, keepdims=True)",
        "shifted = x",
        "not-shifted-by-maximum",
    ),
    softmax(
        "softmax-batch-maximum",
        "subtracts the maximum of the whole batch: other rows underflow",
        "shifted = x - x.max(axis=1, keepdims=True)",
        "shifted = x - x.max()",
        "log-of-zero",
        "not-shifted-by-maximum",
    ),
    softmax(
        "softmax-log-of-zero",
        "log of a probability that underflows",
        "logs = shifted - np.log(sums)",
        "logs = np.log(exps / sums)",
        "log-of-zero",
    ),
    softmax("softmax-sum", "the loss is a sum", "labels].sum() / N", "labels].sum()", "factor-n"),
    softmax("softmax-dx-sum", "the gradient is of the sum", "    dx /= N\n", "", "factor-n"),
    softmax("softmax-loss-sign", "the loss is negative", "-logs[rows", "logs[rows", "sign"),
    softmax(
        "softmax-wrong-axis",
        "normalises over the examples",
        "sums = exps.sum(axis=1, keepdims=True)",
        "sums = exps.sum(axis=0, keepdims=True)",
        "wrong-axis",
    ),
    softmax(
        "softmax-float32",
        "computes in float32",
        "exps = np.exp(shifted)",
        "exps = np.exp(shifted.astype(np.float32)).astype(x.dtype)",
        "float32-forced",
    ),
    softmax(
        "softmax-x-modified",
        "subtracts the maximum in place",
        "    shifted = x - x.max(axis=1, keepdims=True)\n",
        "    x -= x.max(axis=1, keepdims=True)\n    shifted = x\n",
        "argument-modified",
    ),
    softmax(
        "softmax-integer-division",
        "divides the loss with //",
        "labels].sum() / N",
        "labels].sum() // N",
        "integer-division",
    ),
    softmax(
        "softmax-over-classes",
        "averages over the classes, too",
        "    dx /= N\n",
        "    dx /= dx.size\n",
        "factor-other",
        "averaged-not-summed",
    ),
]

VELOCITY = '    v = config["momentum"] * v - config["learning_rate"] * dw\n'
RMS = '    cache = config["decay_rate"] * cache + (1 - config["decay_rate"]) * dw**2\n'
RMS_ROOT = '(np.sqrt(cache) + config["epsilon"])'
M = '    m = config["beta1"] * m + (1 - config["beta1"]) * dw\n'
V = '    v = config["beta2"] * v + (1 - config["beta2"]) * dw**2\n'
M_HAT = '    m_hat = m / (1 - config["beta1"] ** t)\n'
V_HAT = '    v_hat = v / (1 - config["beta2"] ** t)\n'
STORE = '    config["m"], config["v"], config["t"] = m, v, t\n'

OPTIM = [
    sgd(
        "sgd-uphill",
        "steps up the gradient",
        'w - config["learning_rate"] * dw\n    return next_w, config\n\n\ndef sgd_momentum',
        'w + config["learning_rate"] * dw\n    return next_w, config\n\n\ndef sgd_momentum',
        "sign",
    ),
    sgd(
        "sgd-fixed-rate",
        "ignores the learning rate in config",
        'w - config["learning_rate"] * dw\n    return next_w, config\n\n\ndef sgd_momentum',
        "w - 1e-2 * dw\n    return next_w, config\n\n\ndef sgd_momentum",
        "config-ignored",
    ),
    momentum(
        "momentum-not-kept",
        "the velocity starts at 0 in every step",
        '    config["velocity"] = v\n',
        "",
        "state-not-kept",
    ),
    momentum("momentum-sign", "subtracts the velocity", "w + v", "w - v", "momentum-sign", "sign"),
    momentum(
        "momentum-averaged",
        "scales the gradient by 1 - momentum",
        VELOCITY,
        VELOCITY.replace("* dw", '* (1 - config["momentum"]) * dw'),
        "factor-other",
    ),
    rmsprop(
        "rmsprop-not-kept",
        "the cache starts at 0 in every step",
        '    config["cache"] = cache\n',
        "",
        "state-not-kept",
    ),
    rmsprop(
        "rmsprop-decay-swapped",
        "decay_rate and 1 - decay_rate change places",
        RMS,
        '    cache = (1 - config["decay_rate"]) * cache + config["decay_rate"] * dw**2\n',
        "decay-swapped",
    ),
    rmsprop(
        "rmsprop-not-squared",
        "accumulates dw, which may be negative",
        RMS,
        RMS.replace("dw**2", "dw"),
        "moment-not-squared",
    ),
    rmsprop(
        "rmsprop-no-root",
        "divides by the cache itself",
        RMS_ROOT,
        '(cache + config["epsilon"])',
        "no-root",
    ),
    rmsprop(
        "rmsprop-default",
        "decay_rate is 0.9 by default",
        '"decay_rate", 0.99',
        '"decay_rate", 0.9',
        "default-wrong",
    ),
    adam(
        "adam-no-correction",
        "no bias correction",
        M_HAT + V_HAT,
        "    m_hat, v_hat = m, v\n",
        "bias-correction",
    ),
    adam("adam-no-v-correction", "v is not corrected", V_HAT, "    v_hat = v\n", "bias-correction"),
    adam(
        "adam-t-late",
        "t is incremented after the correction: the second step is corrected as the first",
        M_HAT + V_HAT,
        (M_HAT + V_HAT).replace("** t", "** max(t - 1, 1)"),
        "bias-correction",
    ),
    adam(
        "adam-t-not-kept",
        "t is 1 in every step",
        STORE,
        '    config["m"], config["v"] = m, v\n',
        "bias-correction",
        "state-not-kept",
    ),
    adam(
        "adam-moments-not-kept",
        "m and v start at 0 in every step",
        STORE,
        '    config["t"] = t\n',
        "state-not-kept",
    ),
    adam(
        "adam-decay-swapped",
        "beta2 and 1 - beta2 change places",
        V,
        '    v = (1 - config["beta2"]) * v + config["beta2"] * dw**2\n',
        "decay-swapped",
    ),
    adam(
        "adam-not-squared",
        "v accumulates dw",
        V,
        V.replace("dw**2", "dw"),
        "moment-not-squared",
    ),
    adam(
        "adam-no-root",
        "divides by v itself",
        "(np.sqrt(v_hat) +",
        "(v_hat +",
        "no-root",
    ),
    adam(
        "adam-default",
        "learning_rate is 1e-2 by default",
        '"learning_rate", 1e-3',
        '"learning_rate", 1e-2',
        "default-wrong",
    ),
    adam(
        "adam-betas-exchanged",
        "m decays with beta2",
        M,
        M.replace("beta1", "beta2"),
        "decay-swapped",
    ),
]

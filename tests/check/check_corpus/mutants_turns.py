"""Mistakes that show only when there are two: what one call or object leaves for another."""

from check_corpus.mutants import Plant

fc = Plant("fc", "layers.py")
relu = Plant("relu", "layers.py")
dropout = Plant("dropout", "layers.py")
norm = Plant("batchnorm", "layers.py")
conv = Plant("conv", "layers.py")
pool = Plant("pool", "layers.py")
softmax_loss = Plant("losses", "layers.py", "softmax_loss")
logistic_loss = Plant("losses", "layers.py", "logistic_loss")
momentum = Plant("optim", "optim.py", "sgd_momentum")
rmsprop = Plant("optim", "optim.py", "rmsprop")
adam = Plant("optim", "optim.py", "adam")
logistic = Plant("models", "logistic.py", "LogisticClassifier")
svm = Plant("models", "svm.py", "SVM")
softmax = Plant("models", "softmax.py", "SoftmaxClassifier")
cnn = Plant("models", "cnn.py", "ConvNet")
solver = Plant("solver", "solver.py")

LAYERS = [
    fc(
        "fc-last-forward",
        "backward takes x and w from the last forward, not from its cache",
        "    cache = (x, w)\n    return out, cache\n\n\n"
        "def fc_backward(dout, cache):\n    x, w = cache\n",
        "    fc_forward.last = (x, w)\n    return out, None\n\n\n"
        "def fc_backward(dout, cache):\n    x, w = fc_forward.last\n",
        "last-forward-not-cache",
    ),
    fc(
        "fc-last-shape",
        "dx takes the shape of the last forward's x",
        "    cache = (x, w)\n    return out, cache\n\n\n"
        "def fc_backward(dout, cache):\n    x, w = cache\n"
        "    rows = x.reshape(x.shape[0], -1)\n    dx = (dout @ w.T).reshape(x.shape)\n",
        "    fc_forward.shape = x.shape\n    return out, (x, w)\n\n\n"
        "def fc_backward(dout, cache):\n    x, w = cache\n"
        "    rows = x.reshape(x.shape[0], -1)\n    dx = (dout @ w.T).reshape(fc_forward.shape)\n",
        "last-forward-not-cache",
    ),
    relu(
        "relu-last-forward",
        "backward uses the mask of the last forward",
        "    return out, x\n\n\ndef relu_backward(dout, cache):\n    x = cache\n",
        "    relu_forward.x = x\n    return out, x\n\n\n"
        "def relu_backward(dout, cache):\n    x = relu_forward.x\n",
        "last-forward-not-cache",
    ),
    relu(
        "relu-stack",
        "forward pushes x on a stack, backward pops it",
        "    return out, x\n\n\ndef relu_backward(dout, cache):\n    x = cache\n",
        "    STACK.append(x)\n    return out, None\n\n\nSTACK = []\n\n\n"
        "def relu_backward(dout, cache):\n    x = STACK.pop()\n",
        "last-forward-not-cache",
    ),
    relu(
        "relu-workspace",
        "all calls of one shape write into one array",
        "    out = np.maximum(0, x)\n    return out, x\n",
        "    out = WORK.setdefault((x.shape, x.dtype), np.empty_like(x))\n"
        "    np.maximum(0, x, out=out)\n    return out, x\n\n\nWORK = {}\n",
        "result-overwritten",
    ),
    relu(
        "relu-mask-by-shape",
        "the mask is computed once for each shape",
        "    return dout * (x > 0)\n",
        "    return dout * MASKS.setdefault(x.shape, x > 0)\n\n\nMASKS = {}\n",
        "depends-on-earlier-calls",
    ),
    dropout(
        "dropout-last-forward",
        "backward uses the mask of the last forward",
        "    return out, mask\n\n\ndef dropout_backward(dout, cache):\n    mask = cache\n",
        "    dropout_forward.mask = mask\n    return out, None\n\n\n"
        "def dropout_backward(dout, cache):\n    mask = dropout_forward.mask\n",
        "last-forward-not-cache",
    ),
    dropout(
        "dropout-mask-popped",
        "backward takes the mask out of its cache",
        "    return out, mask\n\n\ndef dropout_backward(dout, cache):\n    mask = cache\n",
        "    return out, [mask]\n\n\n"
        "def dropout_backward(dout, cache):\n    mask = cache.pop() if cache else 1\n",
        "cache-modified",
    ),
    dropout(
        "dropout-draws-in-test",
        "draws random numbers in test mode, and does not use them",
        "        mask = x.dtype.type(p)\n",
        "        draw = np.random.rand(*x.shape)\n        mask = x.dtype.type(p)\n",
        "test-mode-draws",
    ),
    norm(
        "bn-one-cache",
        "every forward writes into one cache",
        "    cache = (x_hat, gamma, std, mode)\n    return out, cache\n\n\n"
        "def batchnorm_backward(dout, cache):\n    x_hat, gamma, std, mode = cache\n",
        "    CACHE.update(x_hat=x_hat, gamma=gamma, std=std, mode=mode)\n"
        "    return out, CACHE\n\n\nCACHE = {}\n\n\n"
        "def batchnorm_backward(dout, cache):\n"
        '    x_hat, gamma, std, mode = (cache[k] for k in ("x_hat", "gamma", "std", "mode"))\n',
        "last-forward-not-cache",
    ),
    norm(
        "bn-last-mode",
        "backward goes by the mode of the last forward",
        "    cache = (x_hat, gamma, std, mode)\n    return out, cache\n\n\n"
        "def batchnorm_backward(dout, cache):\n    x_hat, gamma, std, mode = cache\n",
        "    batchnorm_forward.mode = mode\n    return out, (x_hat, gamma, std)\n\n\n"
        "def batchnorm_backward(dout, cache):\n"
        "    x_hat, gamma, std = cache\n    mode = batchnorm_forward.mode\n",
        "last-forward-not-cache",
    ),
    norm(
        "bn-global-statistics",
        "all layers move one running mean, the module's",
        "        running_mean = momentum * running_mean + (1 - momentum) * mean\n",
        '        if bn_param.get("trained"):\n'
        "            running_mean = batchnorm_forward.kept\n"
        "        running_mean = momentum * running_mean + (1 - momentum) * mean\n"
        '        batchnorm_forward.kept, bn_param["trained"] = running_mean, True\n',
        "statistics-shared",
    ),
    norm(
        "bn-test-moves",
        "test mode moves the running mean",
        "        mean = running_mean\n        var = running_var\n",
        "        mean = running_mean\n        var = running_var\n"
        "        running_mean = momentum * running_mean + (1 - momentum) * x.mean(axis=0)\n",
        "test-moves-statistics",
    ),
    conv(
        "conv-last-forward",
        "backward takes x and w from the last forward, not from its cache",
        "    return out.transpose(0, 3, 1, 2), (x, w)\n\n\n"
        "def conv_backward(dout, cache):\n    x, w = cache\n",
        "    conv_forward.last = (x, w)\n    return out.transpose(0, 3, 1, 2), None\n\n\n"
        "def conv_backward(dout, cache):\n    x, w = conv_forward.last\n",
        "last-forward-not-cache",
    ),
    pool(
        "pool-last-forward",
        "backward takes the winners from the last forward",
        "    return out, (x, winner, pool_param)\n\n\n"
        "def max_pool_backward(dout, cache):\n    x, winner, pool_param = cache\n",
        "    max_pool_forward.last = winner\n    return out, (x, winner, pool_param)\n\n\n"
        "def max_pool_backward(dout, cache):\n    x, winner, pool_param = cache\n"
        "    winner = max_pool_forward.last\n",
        "last-forward-not-cache",
    ),
    softmax_loss(
        "softmax-labels-by-shape",
        "the labels are converted once for each shape",
        "    labels = y.astype(int)\n",
        "    labels = vars(softmax_loss).setdefault(str(y.shape), y.astype(int))\n",
        "depends-on-earlier-calls",
        "labels-ignored",
    ),
    logistic_loss(
        "logistic-workspace",
        "all gradients of one size are one array",
        "    dx = -signs * sigmoid / N\n    return loss, dx\n",
        "    dx = WORK.setdefault((x.shape, x.dtype), np.empty_like(x))\n"
        "    dx[...] = -signs * sigmoid / N\n    return loss, dx\n\n\nWORK = {}\n",
        "result-overwritten",
    ),
]

RULES = [
    momentum(
        "momentum-global-velocity",
        "one velocity for all parameters of a shape",
        '    v = config["momentum"] * v - config["learning_rate"] * dw\n',
        '    if "velocity" in config:\n'
        '        v = getattr(sgd_momentum, "v", v)\n'
        '    v = config["momentum"] * v - config["learning_rate"] * dw\n'
        "    sgd_momentum.v = v\n",
        "state-shared",
    ),
    rmsprop(
        "rmsprop-mutable-default",
        "the default config is one dict",
        "def rmsprop(w, dw, config=None):\n    config = dict(config or {})\n",
        "def rmsprop(w, dw, config={}):\n    config = {} if config is None else config\n",
        "state-shared",
    ),
    adam(
        "adam-global-step",
        "one step count for all parameters",
        '    t = config.get("t", 0) + 1\n',
        '    t = getattr(adam, "t", config.get("t", 0)) + 1 if "m" in config else 1\n'
        "    adam.t = t\n",
        "state-shared",
        "bias-correction",
    ),
]

OBJECTS = [
    logistic(
        "logistic-class-params",
        "params is the class's dict",
        "        self.params = {}\n",
        "        self.params = vars(LogisticClassifier.__init__)\n",
        "instances-share",
    ),
    svm(
        "svm-class-reg",
        "reg is kept in the class",
        "        self.reg = reg\n",
        "        SVM.reg = reg\n",
        "instances-share",
    ),
    softmax(
        "softmax-one-grads",
        "loss gives the same dict of gradients each time",
        "        grads = {}\n",
        '        grads = vars(softmax_loss).setdefault("grads", {})\n',
        "result-overwritten",
    ),
    cnn(
        "cnn-class-statistics",
        "the running statistics are the class's",
        "        self.state = {}  # the running statistics\n",
        "        ConvNet.state = {}  # the running statistics\n",
        "instances-share",
    ),
    solver(
        "solver-class-history",
        "the loss history is the module's list",
        "        self.loss_history = []\n",
        '        self.loss_history = vars(Solver.train).setdefault("losses", [])\n',
        "instances-share",
    ),
    solver(
        "solver-one-config",
        "all parameters share one config",
        "            config = self.optim_configs[name]\n"
        "            next_w, next_config = self.update_rule(w, grads[name], config)\n"
        "            self.model.params[name] = next_w\n"
        "            self.optim_configs[name] = next_config\n",
        '            config = self.optim_configs.get("all", self.optim_configs[name])\n'
        "            next_w, next_config = self.update_rule(w, grads[name], config)\n"
        "            self.model.params[name] = next_w\n"
        '            self.optim_configs["all"] = next_config\n',
        "state-shared",
    ),
]

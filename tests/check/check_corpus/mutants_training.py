"""Mistakes in the models and the Solver."""

from check_corpus.mutants import Plant

logistic = Plant("models", "logistic.py", "LogisticClassifier")
svm = Plant("models", "svm.py", "SVM")
softmax = Plant("models", "softmax.py", "SoftmaxClassifier")
cnn = Plant("models", "cnn.py", "ConvNet")
solver = Plant("solver", "solver.py")

RELU = "            active, relu_cache = relu_forward(hidden)\n"
NO_RELU = "            active, relu_cache = hidden, np.ones_like(hidden)\n"
PENALTY = "                loss += 0.5 * self.reg * np.sum(p[name] ** 2)\n"
DECAY = "                grads[name] += self.reg * p[name]\n"
STATS = '            self.state[f"running_mean{i}"] = param["running_mean"]\n'

MODELS = [
    logistic("logistic-no-relu", "two layers without a ReLU", RELU, NO_RELU, "no-relu"),
    softmax("softmax-no-relu", "two layers without a ReLU", RELU, NO_RELU, "no-relu"),
    logistic(
        "logistic-no-decay", "L2 in the loss, not in the gradient", DECAY, "", "reg-not-in-gradient"
    ),
    svm("svm-no-penalty", "L2 in the gradient, not in the loss", PENALTY, "", "reg-not-in-loss"),
    softmax(
        "softmax-half-penalty",
        "the first layer's L2 is in the gradient, not in the loss",
        "        loss += 0.5 * self.reg * np.sum(W1**2)\n",
        "",
        "reg-not-in-loss",
    ),
    svm("svm-no-reg", "reg does nothing", PENALTY + DECAY, "                pass\n", "reg-missing"),
    logistic(
        "logistic-reg-biases",
        "L2 on the biases, too",
        'if name[0] == "W":',
        "if name:",
        "reg-on-biases",
    ),
    logistic(
        "logistic-no-half", "the penalty lacks 0.5", "0.5 * self.reg", "self.reg", "reg-factor"
    ),
    svm(
        "svm-decay-twice",
        "the penalty's gradient is doubled",
        "+= self.reg",
        "+= 2 * self.reg",
        "reg-factor",
    ),
    logistic(
        "logistic-scores-column",
        "test-mode scores are (N, 1)",
        "            return scores\n",
        "            return scores[:, None]\n",
        "wrong-shape",
    ),
    svm(
        "svm-relu-backward",
        "the backward pass leaves ReLU out",
        "relu_backward(dactive, relu_cache)",
        "dactive",
        "missing-mask",
        "backward-of-another-forward",
    ),
    softmax(
        "softmax-hidden-sum",
        "the gradient of the sum over the batch, beside a loss that is the mean",
        "loss, dscores = softmax_loss(scores, y)\n            dactive",
        "loss, dscores = softmax_loss(scores, y)\n            dscores = dscores * len(y)\n"
        "            dactive",
        "factor-n",
    ),
    cnn(
        "cnn-train-mode",
        "scores in training mode",
        '"test" if y is None else "train"',
        '"train"',
        "test-mode-missing",
    ),
    cnn(
        "cnn-no-gradient",
        "b2 has no gradient",
        'grads["W2"], grads["b2"] = fc',
        'grads["W2"], _ = fc',
        "gradient-missing",
    ),
    cnn(
        "cnn-statistics-lost",
        "the running statistics stay at their start",
        'if mode == "train":',
        'if mode == "":',
        "running-statistics-not-kept",
    ),
    cnn(
        "cnn-no-relu",
        "no ReLU after the convolution",
        "out, relu1_cache = relu_forward(out)",
        "relu1_cache = np.ones_like(out)",
        "no-relu",
    ),
    cnn(
        "cnn-relu-backward",
        "the backward pass leaves the first ReLU out",
        "        dx = relu_backward(dx, relu1_cache)\n",
        "",
        "missing-mask",
        "backward-of-another-forward",
    ),
    cnn(
        "cnn-dropout-backward",
        "the backward pass leaves dropout out",
        "dx = dropout_backward(dx, drop_cache)",
        "pass",
        "missing-mask",
        "backward-of-another-forward",
    ),
    cnn(
        "cnn-dropout-in-testing",
        "drops units when it is asked for scores",
        '{"p": self.dropout, "mode": mode}',
        '{"p": self.dropout, "mode": "train"}',
        "test-mode-missing",
    ),
    cnn(
        "cnn-reg-without-filters",
        "L2 leaves out the filters",
        '("W1", "W2", "W3"):\n            loss',
        '("W2", "W3"):\n            loss',
        "reg-missing",
        "reg-factor",
    ),
    cnn(
        "cnn-float64",
        "the images are float64 whatever dtype says",
        "X.astype(self.dtype)",
        "X.astype(np.float64)",
        "dtype-not-kept",
    ),
]

RESTORE = "        self.model.params = copy.deepcopy(self.best_params)\n"
STATE = (
    "        if self.best_state:\n            self.model.state = copy.deepcopy(self.best_state)\n"
)
DECAYS = (
    "            for config in self.optim_configs.values():\n"
    '                config["learning_rate"] *= self.lr_decay\n'
)
BATCHES = "range(0, num_train, self.batch_size)"

SOLVER = [
    solver(
        "solver-keeps-last", "keeps the last parameters", RESTORE + STATE, "", "best-snapshot-wrong"
    ),
    solver(
        "solver-best-on-training-rows",
        "keeps the parameters that did best on training rows",
        "if val_acc > self.best_val_acc:\n                self.best_val_acc = val_acc",
        "if train_acc > self.best_val_acc:\n                self.best_val_acc = train_acc",
        "best-snapshot-wrong",
        also=("history-wrong",),
    ),
    solver(
        "solver-not-copied",
        "the best parameters are not copied",
        "self.best_params = copy.deepcopy(self.model.params)",
        "self.best_params = self.model.params",
        "best-not-copied",
        also=("best-statistics-wrong",),
    ),
    solver(
        "solver-statistics",
        "the running statistics are the last ones",
        STATE,
        "",
        "best-statistics-wrong",
    ),
    solver(
        "solver-skips-rows",
        "drops the last, smaller batch",
        BATCHES,
        "range(0, num_train - self.batch_size + 1, self.batch_size)",
        "not-every-row-once",
    ),
    solver(
        "solver-with-replacement",
        "draws each batch's rows anew",
        "rows = order[start : start + self.batch_size]",
        "rows = np.random.choice(num_train, self.batch_size)",
        "not-every-row-once",
    ),
    solver(
        "solver-not-shuffled",
        "the same order in every epoch",
        "np.random.permutation(num_train)",
        "np.arange(num_train)",
        "not-shuffled",
    ),
    solver("solver-no-decay", "lr_decay does nothing", DECAYS, "", "lr-decay-wrong"),
    solver(
        "solver-decay-each-step",
        "the rate decays after each step",
        "            self.optim_configs[name] = next_config\n",
        "            self.optim_configs[name] = next_config\n"
        '            next_config["learning_rate"] *= self.lr_decay\n',
        "lr-decay-wrong",
    ),
    solver(
        "solver-any-keyword",
        "accepts any keyword",
        "        verbose=True,\n    ):",
        "        verbose=True,\n        **kwargs,\n    ):",
        "keyword-accepted",
    ),
    solver(
        "solver-history",
        "one loss an epoch",
        "        self.loss_history.append(loss)\n",
        "        if len(self.loss_history) <= len(self.val_acc_history):\n"
        "            self.loss_history.append(loss)\n",
        "history-wrong",
    ),
    solver(
        "solver-rule-state",
        "the update rule's state is thrown away",
        "            self.optim_configs[name] = next_config\n",
        "",
        "state-not-kept",
    ),
    solver(
        "solver-accuracy-signs",
        "labels -1 never match a prediction of 0",
        "(scores > 0) == (labels == 1)",
        "(scores > 0) == labels",
        "labels-coding",
    ),
    solver(
        "solver-accuracy-batches",
        "accuracy leaves the last, smaller batch out",
        "range(0, len(X), batch_size)",
        "range(0, len(X) - batch_size + 1, batch_size)",
        "accuracy-wrong",
    ),
    solver(
        "solver-validates-on-training",
        "the validation accuracy is that of training rows",
        "self.check_accuracy(self.X_val, self.y_val)",
        "self.check_accuracy(self.X_train, self.y_train)",
        "history-wrong",
        "best-snapshot-wrong",
    ),
]

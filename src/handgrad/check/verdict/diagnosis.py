"""The likely causes of a wrong answer: their names, and what each says to the learner."""

CAUSES: dict[str, str] = {
    # Constant factors and signs.
    "factor-n": "it is N times too large (N examples): multiplied by N, or summed where a loss "
    "takes the mean",
    "factor-one-over-n": "it is N times too small: divided by the number of examples N once too "
    "often; a loss takes the mean, a layer sums",
    "factor-two": "it is twice too large",
    "factor-half": "it is half of what it should be",
    "factor-p": "it is multiplied by the probability to keep a unit once too often",
    "factor-one-over-p": "it is divided by the probability to keep a unit where it should not be",
    "factor-other": "it is off by a constant factor",
    "sign": "it has the wrong sign",
    # Shapes, sums and axes.
    "transposed": "it is transposed",
    "wrong-shape": "it has the wrong shape",
    "not-summed": "a sum (over the examples, or over filters or channels) is missing",
    "wrong-axis": "it is summed (or averaged) over the wrong axis",
    "averaged-not-summed": "it is averaged where it should be summed",
    "summed-over-wrong-index": "two indices of a sum are mixed up",
    # Layers.
    "missing-mask": "the mask is not applied: entries that the forward pass did not let through "
    "get a gradient all the same",
    "mask-twice": "the mask or its factor is applied twice",
    "upstream-ignored": "the upstream gradient dout is ignored: it is what one gets for a dout of "
    "ones",
    "wrong-mask": "the mask is taken from dout: it is the forward's input that decides",
    "gradient-zero": "it is zero everywhere",
    "bias-ignored": "the bias b is left out",
    "no-relu": "there is no ReLU: negative numbers come through (between two layers, it makes "
    "the network linear)",
    "kink-wrong": "only the entries exactly at the kink are wrong: the gradient there is 0",
    # Convolution and pooling.
    "kernel-not-flipped": "the kernel is not flipped where it should be",
    "kernel-flipped": "the kernel is flipped where it should not be",
    "padding-off-by-one": "it is shifted by one pixel: the padding or an index is off by one",
    "borders-wrong": "only the pixels at the border are wrong",
    "ties-paid-twice": "when several pixels of a window are the largest, each gets its gradient: "
    "exactly one (the first) should",
    "ties-wrong": "only windows with ties are wrong: exactly one of the largest pixels, the first, "
    "should get the gradient",
    "stride-ignored": "the stride is ignored: the windows move by their own height or width",
    "overlap-lost": "where windows overlap, a pixel keeps what the last window sent instead of "
    "adding up",
    "uncovered-border-lost": "rows or columns that no window covers are mistreated: they are "
    "ignored in the output and have gradient 0",
    "only-without-overlap": "it is right where windows do not overlap and wrong where they do",
    "only-stride-1": "it is right for stride 1 and wrong for others",
    "negative-pixels": "it is wrong where all pixels of a window are negative",
    "only-n1": "it is right for one example (N = 1) and wrong for several",
    "only-c1": "it is right for one channel (C = 1) and wrong for several",
    "only-n1-c1": "it is right for one example of one channel (N = C = 1) and wrong for several",
    "only-f1": "it is right for one filter (F = 1) and wrong for several",
    "only-square": "it is right for square images and filters and wrong for others",
    "even-filter-fails": "it is right for odd filter sizes and wrong for even ones",
    "1x1-filter-fails": "it fails for 1x1 filters",
    # Batch normalisation.
    "test-uses-batch-statistics": "test mode normalises with the batch's statistics instead of "
    "the running ones",
    "train-uses-running-statistics": "training mode normalises with the running statistics "
    "instead of the batch's",
    "running-statistics-not-kept": "the running statistics are not kept from batch to batch: take "
    "those in bn_param, move them by each training batch, and write them back",
    "test-moves-statistics": "test mode moves the running statistics: only training should",
    "running-momentum-swapped": "momentum and 1 - momentum are swapped: running = momentum * "
    "running + (1 - momentum) * batch",
    "unbiased-variance": "the variance is the unbiased one (divided by N - 1); it should be "
    "divided by N",
    "variance-for-deviation": "it divides by the variance (or keeps the deviation) where the "
    "standard deviation (or the variance) is meant",
    "eps-outside-root": "eps is outside the square root: sqrt(var) + eps, not sqrt(var + eps)",
    "eps-inside-root": "epsilon is inside the square root: it should be sqrt(v) + epsilon",
    "eps-missing": "eps is left out",
    "batch-mean-gradient-missing": "the gradient treats the batch's mean and variance as "
    "constants; they depend on x, too",
    "variance-gradient-missing": "the gradient leaves out the path through the variance",
    "mean-gradient-missing": "the gradient leaves out the path through the mean",
    "test-backward-wrong": "after a test-mode forward the backward still uses the training "
    "formula: there the statistics are constants",
    "gamma-ignored": "gamma is left out",
    "not-per-channel": "statistics are taken per pixel, not per channel: sum over N, H and W",
    # Dropout.
    "keep-drop-swapped": "keep and drop are confused: the probability to keep a unit and that to "
    "drop it have changed places",
    "no-test-scaling": "test mode does not scale: it should multiply by the probability to keep",
    "inverted-scaling": "training divides by the probability to keep (inverted dropout)",
    "no-train-scaling": "training does not divide by the probability to keep (this is not inverted "
    "dropout)",
    "test-mode-drops": "test mode drops units",
    "keep-fraction-wrong": "it keeps another fraction of the units than p says",
    "not-random": "nothing is dropped, or always the same units",
    "mask-per-row": "whole rows or columns are dropped together: every unit needs its own draw",
    "global-random-state": "the global random generator is seeded or moved though a seed was "
    "given: other draws of the program change",
    "test-mode-draws": "test mode draws from the global random generator, or seeds it, though it "
    "needs no random numbers: other draws of the program change",
    "other-random-stream": "the mask comes from another random stream than the course's "
    "numpy.random.rand(*x.shape) < p",
    "seed-ignored": "the seed is ignored: two calls with the same seed differ",
    # Losses.
    "not-shifted-by-maximum": "exp overflows: subtract the largest logit first (softmax), or use "
    "exp(-|x|) (logistic)",
    "log-of-zero": "log of 0: a probability underflows; compute the log from the logits",
    "labels-modified": "the labels y are modified in place",
    "labels-coding": "it is wrong for one of the two codings of the labels, {0, 1} and {-1, 1}",
    "labels-dtype": "it is wrong for labels of some dtype (unsigned, bool or float)",
    "labels-ignored": "the labels are left out of the gradient: p - onehot(y) is meant, not p",
    "labels-sign": "the roles of the two labels are exchanged",
    "broadcast-n-by-n": "x of shape (N, 1) and y of shape (N,) were broadcast to (N, N): "
    "reshape y to x's shape",
    "mean-over-violators": "the mean is over the examples that violate the margin; it should be "
    "over all N",
    "margin-wrong": "the margin is not 1",
    "squared-hinge": "the hinge is squared",
    "reg-not-in-gradient": "the L2 term is in the loss but not in the gradient",
    "reg-not-in-loss": "the L2 term is in the gradient but not in the loss",
    "reg-missing": "the L2 term is neither in the loss nor in the gradient",
    "reg-on-biases": "the L2 term counts the biases, too",
    "reg-factor": "the L2 term has the wrong factor: it is 0.5 * reg * sum(W**2), with gradient "
    "reg * W",
    # Numbers and arguments.
    "argument-modified": "an argument is modified in place",
    "float32-forced": "it computes in float32 though the input is float64",
    "dtype-not-kept": "the dtype is not kept: a layer answers in its input's, a model in its own",
    "integer-division": "an integer division (//) or integer array cut the fraction off",
    "nonfinite": "the answer is NaN or infinite",
    "not-deterministic": "the same call gave two different answers",
    "cache-modified": "a second backward on the same cache gives another answer",
    # What one call leaves for another.
    "last-forward-not-cache": "it uses what the last forward left in the module (or in a cache "
    "that all forwards share), not its own cache: wrong in every network with two such layers",
    "depends-on-earlier-calls": "what an earlier call left in the module changes the answer: it "
    "should depend on the arguments alone",
    "result-overwritten": "the next call overwrites the array that an earlier one returned: "
    "return a new array each time",
    "state-shared": "the state of one parameter is used for another: keep it in the config of "
    "each, not in the module, a mutable default or one config for all",
    "statistics-shared": "the running statistics of one layer are used for another: keep them in "
    "the bn_param of each, not in the module",
    "instances-share": "two objects share what each should have for itself: keep it in self, not "
    "in the class, the module or a mutable default",
    # Optimisers.
    "bias-correction": "Adam's bias correction is missing, or t is counted wrongly (it is "
    "incremented before the correction)",
    "state-not-kept": "the state is not kept from step to step: a rule puts it into the config "
    "that it returns, and the next step is given that config",
    "momentum-sign": "the velocity is subtracted where it should be added",
    "decay-swapped": "the decay rate and 1 - decay rate are swapped",
    "moment-not-squared": "the second moment accumulates the gradient instead of its square",
    "no-root": "the square root of the second moment is missing",
    "default-wrong": "a default hyperparameter is another than the assignment's",
    "config-ignored": "the hyperparameters in config are ignored",
    # Solver and models.
    "best-snapshot-wrong": "after train() the model does not hold the parameters that did best on "
    "the validation set",
    "best-not-copied": "the best parameters were not copied: later steps changed them",
    "best-statistics-wrong": "the batch-norm running statistics are of another moment than the "
    "parameters",
    "not-every-row-once": "an epoch does not visit every training row exactly once",
    "not-shuffled": "the training rows are visited in the same order in every epoch",
    "keyword-accepted": "an unknown keyword is accepted in silence",
    "lr-decay-wrong": "the learning rate does not decay by lr_decay after each epoch",
    "history-wrong": "the histories have the wrong length or hold the wrong numbers",
    "accuracy-wrong": "check_accuracy does not give the fraction of rows that are right",
    "test-mode-missing": "scores are computed in training mode: dropout or batch norm is not "
    "switched to test mode",
    "initial-weights-wrong": "the initial weights are not normal numbers times weight_scale with "
    "biases of 0",
    "gradient-missing": "a parameter has no gradient",
    "does-not-learn": "training does not reach the accuracy that a right solver reaches",
    # The gradient and its own forward.
    "backward-of-another-forward": "the gradient is not that of its own forward pass",
    # Not an answer at all.
    "raises": "it raised an exception",
    "numpy-changed": "a newer NumPy refuses what older ones took, which is no mistake in the maths",
    "crashed": "it ended the process",
    "timeout": "it did not finish in time",
    "memory": "it ran out of the memory allowed",
    "not-written": "not written yet",
    "too-slow": "it is too slow",
    "other-convention": "it follows another course's convention",
}
"""Key of a cause, as in ``CaseResult.diagnosis``, to a plain sentence for the learner."""

import numpy as np
import optim


class Solver:
    """Counts iterations, not epochs; keywords one by one; its own generator."""

    def __init__(self, model, data, **kwargs):
        self.model = model
        self.data = data
        self.update_rule = kwargs.pop("update_rule", "sgd")
        self.optim_config = kwargs.pop("optim_config", None) or {}
        self.lr_decay = kwargs.pop("lr_decay", 1.0)
        self.batch_size = kwargs.pop("batch_size", 100)
        self.num_epochs = kwargs.pop("num_epochs", 10)
        self.print_every = kwargs.pop("print_every", 10)
        self.verbose = kwargs.pop("verbose", True)
        if kwargs:
            raise ValueError("unrecognised arguments: " + ", ".join(sorted(kwargs)))
        self.rule = getattr(optim, self.update_rule)
        self.generator = np.random.default_rng(np.random.randint(2**31))
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.best_val_acc, self.best_params, self._best_state = 0, {}, {}
        self._configs = {k: {**self.optim_config} for k in model.params}

    def _snapshot(self):
        state = getattr(self.model, "state", {})
        self.best_params = {k: np.copy(v) for k, v in self.model.params.items()}
        self._best_state = {k: np.copy(v) for k, v in state.items()}

    def train(self):
        n = len(self.data["y_train"])
        per_epoch = -(-n // self.batch_size)
        self._snapshot()
        for t in range(self.num_epochs * per_epoch):
            if t % per_epoch == 0:
                self.order = self.generator.permutation(n)
            at = (t % per_epoch) * self.batch_size
            rows = self.order[at : at + self.batch_size]
            loss, grads = self.model.loss(self.data["X_train"][rows], self.data["y_train"][rows])
            self.loss_history += [float(loss)]
            for k in self.model.params:
                self.model.params[k], self._configs[k] = self.rule(
                    self.model.params[k], grads[k], self._configs[k]
                )
            if self.verbose and t % self.print_every == 0:
                print(f"({t + 1} / {self.num_epochs * per_epoch}) loss {loss}")
            if (t + 1) % per_epoch == 0:
                for k in self._configs:
                    self._configs[k]["learning_rate"] *= self.lr_decay
                self._epoch_ends()
        for k, v in self.best_params.items():
            self.model.params[k] = v.copy()
        if hasattr(self.model, "state"):
            self.model.state.update({k: v.copy() for k, v in self._best_state.items()})

    def _epoch_ends(self):
        self.train_acc_history.append(
            self.check_accuracy(self.data["X_train"], self.data["y_train"], num_samples=1000)
        )
        val_acc = self.check_accuracy(self.data["X_val"], self.data["y_val"])
        self.val_acc_history.append(val_acc)
        if val_acc > self.best_val_acc:
            self.best_val_acc = val_acc
            self._snapshot()

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        if num_samples and len(X) > num_samples:
            some = self.generator.choice(len(X), num_samples, replace=False)
            X, y = X[some], y[some]
        guesses = []
        for at in range(0, len(X), batch_size):
            scores = self.model.loss(X[at : at + batch_size])
            guesses.append(np.argmax(scores, axis=1) if scores.ndim > 1 else 1 * (scores > 0))
        guesses = np.concatenate(guesses)
        if guesses.ndim == 1 and np.min(y) < 0:
            guesses = 2 * guesses - 1
        return float(np.mean(guesses == y))

import numpy as np
import optim

DEFAULTS = {
    "update_rule": "sgd", "optim_config": {}, "lr_decay": 1.0, "batch_size": 100, "num_epochs": 10,
    "print_every": 10, "verbose": True,
}  # fmt: skip


class Solver:
    """Batches from a generator; accuracies are measured once before training, too."""

    def __init__(self, model, data, **given):
        for name in given:
            if name not in DEFAULTS:
                raise TypeError(f"Solver does not know the keyword {name}")
        self.__dict__.update(DEFAULTS, **given)
        self.model, self.data = model, data
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.best_val_acc, self.best = -1.0, None
        self.configs = {name: self.optim_config.copy() for name in model.params}

    @property
    def best_params(self):
        return self.best

    def batches(self, epoch):
        order = np.arange(len(self.data["X_train"]))
        np.random.shuffle(order)
        while len(order):
            yield self.data["X_train"][order[: self.batch_size]], \
                self.data["y_train"][order[: self.batch_size]]  # fmt: skip
            order = order[self.batch_size :]

    def measure(self):
        data = self.data
        self.train_acc_history.append(self.check_accuracy(data["X_train"], data["y_train"], 1000))
        self.val_acc_history.append(self.check_accuracy(data["X_val"], data["y_val"]))

    def train(self):
        self.measure()
        for epoch in range(self.num_epochs):
            for X, y in self.batches(epoch):
                loss, grads = self.model.loss(X, y)
                self.loss_history.append(loss)
                for name in list(self.model.params):
                    step = getattr(optim, self.update_rule)
                    new, config = step(self.model.params[name], grads[name], self.configs[name])
                    self.model.params[name], self.configs[name] = new, config
            for config in self.configs.values():
                config["learning_rate"] = config["learning_rate"] * self.lr_decay
            self.measure()
            if self.val_acc_history[-1] > self.best_val_acc:
                self.best_val_acc = self.val_acc_history[-1]
                self.best = {name: value.copy() for name, value in self.model.params.items()}
                self.state = {k: v.copy() for k, v in getattr(self.model, "state", {}).items()}
            if self.verbose:
                print("epoch", epoch, "val", self.val_acc_history[-1])
        self.model.params.update({name: value.copy() for name, value in self.best.items()})
        if self.state:
            self.model.state.update(self.state)

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        """Of labels 0 and 1, or of classes."""
        if num_samples is not None:
            kept = np.random.permutation(len(X))[:num_samples]
            X, y = X[kept], y[kept]
        parts = [X[k : k + batch_size] for k in range(0, len(X), batch_size)]
        scores = np.concatenate([self.model.loss(part) for part in parts])
        predicted = scores.argmax(1) if scores.ndim == 2 else (scores > 0).astype(int)
        return (predicted == y).mean()

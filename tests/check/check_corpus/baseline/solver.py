"""The training loop."""

import copy

import numpy as np
import optim


class Solver:
    def __init__(
        self,
        model,
        data,
        update_rule="sgd",
        optim_config=None,
        lr_decay=1.0,
        batch_size=100,
        num_epochs=10,
        print_every=10,
        verbose=True,
    ):
        self.model = model
        self.X_train, self.y_train = data["X_train"], data["y_train"]
        self.X_val, self.y_val = data["X_val"], data["y_val"]
        self.update_rule = getattr(optim, update_rule)
        self.lr_decay = lr_decay
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.print_every = print_every
        self.verbose = verbose
        self.optim_configs = {name: dict(optim_config or {}) for name in model.params}
        self.loss_history = []
        self.train_acc_history = []
        self.val_acc_history = []
        self.best_val_acc = -1
        self.best_params = {}
        self.best_state = {}

    def step(self, X, y):
        loss, grads = self.model.loss(X, y)
        self.loss_history.append(loss)
        for name, w in self.model.params.items():
            config = self.optim_configs[name]
            next_w, next_config = self.update_rule(w, grads[name], config)
            self.model.params[name] = next_w
            self.optim_configs[name] = next_config
        if self.verbose and len(self.loss_history) % self.print_every == 0:
            print(f"iteration {len(self.loss_history)}: loss {loss:.4f}")

    def train(self):
        num_train = self.X_train.shape[0]
        for _ in range(self.num_epochs):
            order = np.random.permutation(num_train)
            for start in range(0, num_train, self.batch_size):
                rows = order[start : start + self.batch_size]
                self.step(self.X_train[rows], self.y_train[rows])
            for config in self.optim_configs.values():
                config["learning_rate"] *= self.lr_decay

            val_acc = self.check_accuracy(self.X_val, self.y_val)
            train_acc = self.check_accuracy(self.X_train, self.y_train, num_samples=1000)
            self.val_acc_history.append(val_acc)
            self.train_acc_history.append(train_acc)
            if val_acc > self.best_val_acc:
                self.best_val_acc = val_acc
                self.best_params = copy.deepcopy(self.model.params)
                self.best_state = copy.deepcopy(getattr(self.model, "state", {}))

        self.model.params = copy.deepcopy(self.best_params)
        if self.best_state:
            self.model.state = copy.deepcopy(self.best_state)

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        if num_samples is not None and num_samples < len(X):
            rows = np.random.choice(len(X), num_samples, replace=False)
            X, y = X[rows], y[rows]
        right = 0
        for start in range(0, len(X), batch_size):
            scores = self.model.loss(X[start : start + batch_size])
            labels = y[start : start + batch_size]
            if scores.ndim == 1:
                right += np.sum((scores > 0) == (labels == 1))
            else:
                right += np.sum(scores.argmax(axis=1) == labels)
        return right / len(X)

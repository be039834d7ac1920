"""Numbers for the update rules of handgrad.optim, as kernels take them."""

SGD, MOMENTUM, NESTEROV, RMSPROP, ADAM = range(5)

"""Train on data of one's own, and predict: what `handgrad train`, `predict` and `info` do."""

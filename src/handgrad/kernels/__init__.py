"""The few hot loops under the layers; same names and same results whatever the engine."""

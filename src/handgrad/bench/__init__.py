"""Side-by-side measurements against PyTorch, JAX and scikit-learn: ``handgrad bench``."""

"""Side-by-side measurements against PyTorch and scikit-learn: ``handgrad bench``."""

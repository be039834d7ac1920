"""Deep learning whose every gradient is derived by hand, proved, checked and fast."""

__version__ = "0.2.0"

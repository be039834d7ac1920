"""What the processor can do, of what the kernels are written for."""

from llvmlite import binding
from numba import config

# NUMBA_CPU_FEATURES restricts what may be used.
_FEATURES = getattr(config, "CPU_FEATURES", None) or binding.get_host_cpu_features().flatten()

# Vectors of 512 bits, and 32 registers for them.
LONG_VECTORS = "+avx512f" in _FEATURES

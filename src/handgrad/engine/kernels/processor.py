"""What the processor can do, of what the kernels are written for."""

from llvmlite import binding
from numba import config

# NUMBA_CPU_FEATURES restricts what may be used.
_RESTRICTED = getattr(config, "CPU_FEATURES", None)
for _feature in (_RESTRICTED or "").split(","):
    if _feature and _feature[0] not in "+-":  # the compiler would abort the process
        raise ValueError(f"NUMBA_CPU_FEATURES: each begins with + or -; got {_feature!r}")
_FEATURES = binding.get_host_cpu_features().flatten() if _RESTRICTED is None else _RESTRICTED

# Vectors of 512 bits, and 32 registers for them.
LONG_VECTORS = "+avx512f" in _FEATURES

"""Which source of randomness is taken, and where it comes from when the caller gives none."""

import numpy as np


def require_generator(rng: object, function: str, name: str = "rng") -> np.random.Generator:
    """Return rng, or refuse what is no numpy.random.Generator, naming the function and argument.

    One rule everywhere, checked at the start: a number would be a seed in one place and a source
    of draws in another, and a RandomState has no bit generator that a kernel could draw from or a
    checkpoint keep.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    received = " ".join(repr(rng).split())  # a SeedSequence shows itself on several lines
    raise ValueError(
        f"{function}: {name} must be a numpy.random.Generator, as numpy.random.default_rng(0) "
        f"gives; got {received}"
    )


def default_rng(rng: np.random.Generator | None, function: str) -> np.random.Generator:
    """Return rng, or for None a generator seeded from NumPy's global one.

    The course's scripts call ``numpy.random.seed`` and expect models and training to follow it,
    so without an rng that seed decides. Everything in handgrad itself passes an rng. Anything
    else is refused, as `require_generator` does.
    """
    if rng is not None:
        return require_generator(rng, function)
    return np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002 (the course's stream)

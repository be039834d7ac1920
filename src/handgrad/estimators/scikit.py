"""How the estimators become scikit-learn's: when it first asks something of them, and not before.

Importing ``sklearn.base`` takes a second or two, many times what a small network's training takes,
and nothing of it is needed to fit arrays. So an estimator's class begins without scikit-learn's
base classes and takes them the moment that scikit-learn (``clone``, a pipeline, a search) or a user
asks for anything that they define: from then on it is a ``BaseEstimator`` like any other.
"""

import importlib
import threading
from contextlib import suppress
from types import ModuleType
from typing import Any

from handgrad.errors import MissingExtraError

_OLDEST = (1, 6)
_joining = threading.RLock()


def sklearn_part(name: str) -> ModuleType:
    """Import a module of scikit-learn, ``sklearn_part("utils.validation")``.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed, or too old.
    """
    try:
        sklearn = importlib.import_module("sklearn")
        found = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
        if found >= _OLDEST:
            return importlib.import_module(f"sklearn.{name}")
        problem = f"needs scikit-learn 1.6 or newer, found {sklearn.__version__}"
    except ImportError as error:
        problem = f"needs scikit-learn, which cannot be imported ({error})"
    raise MissingExtraError(f"handgrad.estimators {problem}: pip install 'handgrad[sklearn]'")


class Alone:
    """What an estimator's class has in place of scikit-learn's bases before ``join``."""

    def __getattr__(self, name: str) -> Any:
        """Take scikit-learn's bases, unless they cannot have the attribute."""
        # What Python's own protocols ask for, and what a fit leaves behind, they do not define.
        if name.startswith("__") or name.endswith("_") or not join():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, name)

    def __repr__(self) -> str:
        """Show the parameters that are not at their defaults, as scikit-learn does."""
        return repr(self) if join() else object.__repr__(self)


def join() -> bool:
    """Give ``Estimator`` scikit-learn's bases; False where scikit-learn is missing."""
    from handgrad.estimators.base import Estimator

    with _joining:
        if Alone not in Estimator.__bases__:
            return True
        try:
            bases: tuple[Any, ...] = (sklearn_part("base").BaseEstimator,)
        except MissingExtraError:
            return False
        with suppress(ImportError):  # scikit-learn before 1.9 has no callbacks
            bases = (importlib.import_module("sklearn.callback").CallbackSupportMixin, *bases)
        Estimator.__bases__ = bases
        for cls in _below(Estimator):  # makes set_fit_request and its like
            super(Estimator, cls).__init_subclass__()
    return True


def _below(cls: type[Any]) -> list[type[Any]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in _below(sub))]

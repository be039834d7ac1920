"""Python without the libraries of handgrad's extras, as a plain `pip install handgrad` leaves it.

``python without_extras.py WORDS`` is `handgrad WORDS` there.
"""

import sys
from importlib.machinery import PathFinder

# Of every extra, as they are imported; and what only they bring.
EXTRAS = frozenset(
    [
        "jinja2",
        "markupsafe",
        "pooch",
        "requests",
        "platformdirs",
        "optuna",
        "sqlalchemy",
        "matplotlib",
        "PIL",
        "pandas",
        "pyarrow",
        "polars",
        "narwhals",
        "sklearn",
        "scipy",
        "threadpoolctl",
        "latex2mathml",
        "markdown_it",
        "mdit_py_plugins",
        "weasyprint",
        "ziamath",
        "torch",
        "jax",
    ]
)
# rich needs it, though handgrad does not.
_EXCEPT = frozenset({"markdown_it"})


class Without:
    """Finds what `PathFinder` finds, but for what is in extras."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in EXTRAS - _EXCEPT:
            return None
        return PathFinder.find_spec(name, path, target)


def begin():
    """From now on nothing of an extra is found."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = Without


if __name__ in ("__main__", "__mp_main__"):  # and in the worker processes of `handgrad reproduce`
    begin()

if __name__ == "__main__":
    from handgrad.cli import main

    main()

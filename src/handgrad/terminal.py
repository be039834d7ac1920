"""What a command says, on streams of any encoding."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from handgrad.errors import OutputError


def escape_what_streams_cannot_take() -> None:
    r"""From here on, standard output and error write \xe9 for an é that their encoding lacks.

    A path, or a message of somebody else's code, may hold any letter; the stream may be that of a
    terminal, a log or a pipe in ASCII or a code page.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: Any = "", *, err: bool = False) -> None:
    """Print a line to standard output or error, in the stream's own encoding.

    click.echo by itself writes UTF-8 to a stream that is ASCII. OutputError as `written` has it.
    """
    with written():
        click.echo(text, file=sys.stderr if err else sys.stdout)


@contextmanager
def written() -> Iterator[None]:
    """Make an OutputError of what stops standard output inside, a full disk say.

    A closed pipe stays a BrokenPipeError: its reader has seen enough.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_the_rest()
        raise OutputError(
            f"cannot write to standard output ({error.strerror or error}); send it somewhere else"
        ) from None


def _drop_the_rest() -> None:
    """What a full disk did not take would be tried again, and fail again, when Python ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stream that is no file
        return


def duration(seconds: float) -> str:
    """Say a duration as a person would.

    >>> duration(0.4), duration(42), duration(200), duration(5400)
    ('1 s', '42 s', '3 min', '1 h 30 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

"""What a command says, on streams of any encoding."""

import io
import sys
from typing import Any

import click


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

    click.echo by itself writes UTF-8 to a stream that is ASCII.
    """
    click.echo(text, file=sys.stderr if err else sys.stdout)


def duration(seconds: float) -> str:
    """Say a duration as a person would.

    >>> duration(0.4), duration(42), duration(200), duration(5400)
    ('1 s', '42 s', '3 min', '1 h 30 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

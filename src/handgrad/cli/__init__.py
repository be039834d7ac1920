"""The command line: options, printing, exit codes; no maths. One file a command.

Exit codes: 0 done; 2 something the user can fix (bad input, data, folder; one line on standard
error says what and how); 130 interrupted. `check` has two more: 1 some case failed, 3 the checker
itself failed.

A command's file, and what it imports, is read when the command is called.
"""

import importlib
import sys
from collections.abc import Mapping

import click

import handgrad
from handgrad.errors import HandgradError
from handgrad.terminal import escape_what_streams_cannot_take, say

# Each command's function in this package, and the line that `handgrad --help` has for it.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "bench": (
        "bench:bench_command",
        "Time training steps against PyTorch, JAX and scikit-learn, side by side.",
    ),
    "check": (
        "check:check_command",
        "Judge PATH: a layers.py, a notebook, a folder, an archive or a module; say what is wrong.",
    ),
    "data": ("data:data_group", "Find, fetch, verify and import the data sets."),
    "export": (
        "export:export_command",
        "Write a trained MODEL as ONNX, as a PyTorch module or as C.",
    ),
    "info": (
        "info:info_command",
        "Say what a trained MODEL takes and predicts, and how good it is.",
    ),
    "predict": (
        "predict:predict_command",
        "Predict DATA with MODEL, the file or folder that `handgrad train` wrote.",
    ),
    "report": (
        "report:report_command",
        "Make the page of a results folder from its records alone.",
    ),
    "reproduce": (
        "reproduce:reproduce_command",
        "Run the assignment's experiments and report them.",
    ),
    "show": (
        "show:show_command",
        "Make a page of a trained MODEL: draw, look inside, step back and forth, train.",
    ),
    "train": (
        "train:train_command",
        "Train a net on DATA: a table, or a folder of images with a folder a class.",
    ),
}


class Commands(click.Group):
    """The commands of ``COMMANDS``, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one; None if there is none of that name."""
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        command = getattr(importlib.import_module(f"handgrad.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them with their lines, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(handgrad.__version__, prog_name="handgrad")
def cli() -> None:
    """Deep learning whose every gradient is derived by hand, proved, checked and fast."""


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2, never a traceback."""
    escape_what_streams_cannot_take()
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(2)
    except click.ClickException as error:
        say(f"handgrad: error: {' '.join(error.format_message().split())}", err=True)
        sys.exit(error.exit_code)
    except HandgradError as error:
        say(f"handgrad: error: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        goes_on = "; the same command goes on where it was" if _goes_on() else ""
        say(f"\nhandgrad: interrupted{goes_on}", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)


def _goes_on() -> bool:
    """Whether the command that was called does not begin anew when it is called again."""
    name = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    batch = any(word.split("=")[0] == "--batch" for word in sys.argv)
    return name in ("data", "reproduce", "train") or (name == "check" and batch)

"""The command ``handgrad bench``: what it measures and where it writes."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import click

from handgrad.bench.accuracy import seconds_to_accuracy
from handgrad.bench.compare import environment, measure, record, sides
from handgrad.bench.growth import names, scaled
from handgrad.bench.plots import scaling_picture
from handgrad.bench.report import markdown
from handgrad.bench.workloads import WORKLOADS
from handgrad.files import write_atomically
from handgrad.terminal import say

_SCALING_SIDES = ("handgrad", "handgrad-one", "torch", "torch-last")


@click.command("bench")
@click.option(
    "--only",
    help="Workloads, separated by commas: " + ", ".join(work.name for work in WORKLOADS) + ".",
)
@click.option("--repeats", type=click.IntRange(min=2), default=7, show_default=True)
@click.option("--scaling", is_flag=True, help="How ConvNet's step grows with its sizes, instead.")
@click.option("--no-compile", is_flag=True, help="Leave torch.compile out: it takes minutes.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The numbers; a table of the same name, .md, goes beside them, and of --scaling a plot, "
    ".svg.  "
    "[default: benchmarks/results.json or benchmarks/scaling.json]",
)
def bench_command(
    only: str | None, repeats: int, scaling: bool, no_compile: bool, out: Path | None
) -> None:
    """Time training steps against PyTorch, JAX and scikit-learn, side by side.

    Each side runs in a process of its own with its best settings, from the same weights on the
    same batches; the losses must agree. The sides take turns.
    """
    works = [scaled(name) for name in names()] if scaling else list(WORKLOADS)
    if only is not None:
        wanted = only.split(",")
        unknown = [name for name in wanted if name not in {work.name for work in works}]
        if unknown:
            raise click.BadParameter(f"there is no workload {unknown[0]!r}", param_hint="--only")
        works = [work for work in works if work.name in wanted]
    out = out or Path("benchmarks") / ("scaling.json" if scaling else "results.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"repeats": repeats, "environment": environment(), "workloads": []}
    for work in works:
        taking_part = sides(work, compiled=not (no_compile or scaling))
        if scaling:  # most of the time would go into starting the others
            taking_part = [side for side in taking_part if side in _SCALING_SIDES]
        done = record(work, measure(work, taking_part, repeats, say))
        results["workloads"].append(done)
        ratio = "no peer" if done["ratio"] is None else f"{done['ratio']:.2f} of the fastest peer"
        say(f"{work.title}: {ratio}", err=True)
        write_atomically(out, json.dumps(results, indent=1) + "\n")
    if only is None and not scaling and importlib.util.find_spec("sklearn"):
        results["to_accuracy"] = seconds_to_accuracy(max(3, repeats // 2))
        write_atomically(out, json.dumps(results, indent=1) + "\n")
    table = markdown(results)
    write_atomically(out.with_suffix(".md"), table)
    if scaling and only is None and importlib.util.find_spec("matplotlib"):
        scaling_picture(results, out.with_suffix(".svg"))
    say(table)

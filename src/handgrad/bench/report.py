"""The table of a benchmark, from its JSON."""

import statistics
from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """Give the results as Markdown: a line a workload, then the lines below it."""
    machine = results["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['processor']}, {machine['threads']} threads, Python {machine['python']}; "
        f"{versions}; sgemm {machine['sgemm_gflops']:.0f} GFLOP/s; median of "
        f"{results['repeats']} interleaved epochs, data handling included.",
        "",
        "| workload | handgrad ms/step | fastest peer ms/step | ratio | target | "
        "of torch in bfloat16 | predictions | by layers | on one thread | parallel share | "
        "sgemm share |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for work in results["workloads"]:
        sides = {side["side"]: side for side in work["sides"]}
        ours = work["sides"][0]
        share = work["products"] / ours["step_milliseconds"] / 1e6 / machine["sgemm_gflops"]
        peer = sides.get(work["fastest_peer"] or "")
        cells = [
            work["title"],
            _time(ours),
            f"{_time(peer)} ({peer['side']})" if peer else "-",
            _ratio(work["ratio"]),
            f"{work['target']}",
            _ratio(work["bfloat16_ratio"]),
            _ratio(work["predict_ratio"]),
            _times(sides.get("handgrad-layers"), ours),
            _times(sides.get("handgrad-one"), ours),
            "-" if work["parallel_share"] is None else f"{work['parallel_share']:.0%}",
            f"{share:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if any(work["sides"][0]["side"] != "handgrad" for work in results["workloads"]):
        lines += ["", "handgrad is installed without its engine: these are its readable layers."]
    lines += ["", *_costs(results)]
    lines += [
        "",
        "| workload | side | ms/step | epoch ms | predict ms | peak MiB | start s | 1st epoch s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for work in results["workloads"]:
        for side in work["sides"]:
            cells = [
                work["title"],
                side["side"],
                _time(side),
                f"{statistics.median(side['epoch_milliseconds']):.1f}",
                f"{statistics.median(side['predict_milliseconds']):.3f}",
                f"{side['peak_mib']:.0f}",
                f"{side['start_seconds']:.1f}",
                f"{side['first_epoch_seconds']:.1f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    if "to_accuracy" in results:
        lines += [
            "",
            "| MNIST, to a validation accuracy of | side | s | lowest to highest | reached |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {goal['title']}, {goal['accuracy']:.0%} | {side['side']} | {side['seconds']:.2f} | "
            f"{side['lowest']:.2f} to {side['highest']:.2f} | {side['reached']:.2%} |"
            for goal in results["to_accuracy"]
            for side in goal["sides"]
        ]
    return "\n".join(lines) + "\n"


def _costs(results: dict[str, Any]) -> list[str]:
    """What is paid once: the first epoch over a later one, and the disk."""
    waits: dict[str, float] = {}
    for work in results["workloads"]:
        for side in work["sides"]:
            later = statistics.median(side["epoch_milliseconds"]) / 1e3
            wait = side["first_epoch_seconds"] - later
            waits[side["side"]] = max(waits.get(side["side"], 0.0), wait)
    first = ", ".join(f"{side} {wait:.2f}" for side, wait in waits.items())
    disk = ", ".join(
        f"{name} {size:.0f}"
        for name, size in results["environment"]["installed_mib"].items()
        if size is not None
    )
    return [
        f"The first epoch takes longer than a later one by at most (s): {first}.",
        "",
        f"On disk, with what each needs (MiB): {disk}.",
    ]


def _times(side: dict[str, Any] | None, ours: dict[str, Any]) -> str:
    """How many times as long as ours a step takes."""
    if side is None or side is ours:
        return "-"
    return f"{side['step_milliseconds'] / ours['step_milliseconds']:.1f} x"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _time(side: dict[str, Any]) -> str:
    return f"{side['step_milliseconds']:.3g} ± {side['spread']:.0%}"

"""The C file beside onnxruntime: one row at a time, the same networks, on the same machine.

The networks are those that `handgrad reproduce` chose for questions 2.4, 4.4, 5.3 and 5.4, with the
weights of the start (values cost no time), on MNIST's test rows (2.4: 20 drawn numbers): bytes
in, which both files standardise, as of a run of `handgrad reproduce`. The C file is compiled with
``cc -std=c99 -O3``, and once more with ``-march=native``; a program calls ``predict`` for a row
after the other. onnxruntime runs on one thread, through its Python interface (``session.run``), and
through an IO binding, which leaves the conversion of inputs and outputs out.
Each round measures all of them in turn; given are the median over the rounds and the quartiles, in
microseconds a row, and the size of the whole program.

    python benchmarks/c_export.py [--rounds 15] [--rows 300] [--questions 2.4 4.4 5.3 5.4]

prints a table and writes it with the machine's name to benchmarks/c_export.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from handgrad.cnn import ConvNet
from handgrad.datasets import load_mnist
from handgrad.export import export
from handgrad.export.c_source import write_c
from handgrad.export.source import RowInputs, Source
from handgrad.images import ImagePreprocessor
from handgrad.logistic import LogisticClassifier
from handgrad.network import Network
from handgrad.softmax import SoftmaxClassifier

RESULTS = Path(__file__).with_suffix(".json")
FLAGS = {"-O3": ["-O3"], "-O3 -march=native": ["-O3", "-march=native"]}

MAIN = """
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "%(stem)s.h"

int main(int argc, char **argv)
{
    const int rows = argc > 1 ? atoi(argv[1]) : 1;
    float *x = malloc((size_t)rows * %(inputs)d * sizeof *x), out[%(outputs)d], sum = 0;
    struct timespec start, end;
    if (!x || fread(x, %(inputs)d * sizeof *x, (size_t)rows, stdin) != (size_t)rows)
        return 1;
    predict(x, out);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int n = 0; n < rows; n++) {
        predict(x + n * %(inputs)d, out);
        sum += out[0];
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%%.9g %%g\\n", ((double)(end.tv_sec - start.tv_sec) +
           1e-9 * (double)(end.tv_nsec - start.tv_nsec)) / rows, (double)sum);
    free(x);
    return 0;
}
"""


def networks(rng: np.random.Generator) -> dict[str, Network]:
    """The networks that the standard profile chose."""
    he: dict[str, Any] = {"weight_scale": "he", "rng": rng}
    made: dict[str, Network] = {
        "2.4": LogisticClassifier(20, 1, dtype=np.float32, **he),
        "4.4": SoftmaxClassifier(784, 800, dtype=np.float32, **he),
        "5.3": ConvNet(num_filters=32, filter_size=7, hidden_dim=200, **he),
        "5.4": ConvNet(num_filters=16, filter_size=5, hidden_dim=128, blocks=2, dropout=0.7,
                       batchnorm=["conv"], **he),
    }  # fmt: skip
    for name, array in made["5.4"].state.items():
        array[:] = 1 if "var" in name else 0
    return made


def c_programs(source: Source, X: np.ndarray, folder: Path) -> dict[str, Path]:
    """Compile the C file, float and int8, with each of the flags."""
    made = {}
    rows = X
    if isinstance(source.inputs, ImagePreprocessor):
        rows = source.inputs.transform(X)
    elif isinstance(source.inputs, RowInputs):
        rows = source.inputs.transform(X, source.network)
    for precision in ("float", "int8"):
        stem = f"net_{precision}"
        rows = rows.reshape(len(X), *source.network.input_shape)
        file = write_c(source, folder / f"{stem}.c", int8=precision == "int8", calibration=rows)
        outputs = source.network.output_shape[0]
        sizes = {"inputs": X[0].size, "outputs": outputs, "stem": stem}
        main = folder / f"{stem}_main.c"
        main.write_text(MAIN % sizes)
        for name, flags in FLAGS.items():
            program = folder / f"{stem}{len(made)}"
            command = ["cc", "-std=c99", *flags, "-s", "-o", program, file.path, main, "-lm"]
            subprocess.run(command, check=True)
            made[f"C {precision} {name}"] = program
    return made


def sessions(source: Source, X: np.ndarray, folder: Path) -> dict[str, Callable[[], float]]:
    """What measures onnxruntime."""
    path = export(source, "onnx", folder / "net.onnx", logits=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    output = session.get_outputs()[-1].name
    kind = {"tensor(double)": np.float64, "tensor(uint8)": np.uint8}.get(
        session.get_inputs()[0].type, np.float32
    )
    rows = [np.ascontiguousarray(X[n : n + 1], kind) for n in range(len(X))]
    bindings = []
    for row in rows:
        binding = session.io_binding()
        binding.bind_cpu_input(name, row)
        binding.bind_output(output, "cpu")
        bindings.append(binding)

    def plain() -> float:
        start = time.perf_counter()
        for row in rows:
            session.run([output], {name: row})
        return (time.perf_counter() - start) / len(rows)

    def bound() -> float:
        start = time.perf_counter()
        for binding in bindings:
            session.run_with_iobinding(binding)
        return (time.perf_counter() - start) / len(bindings)

    return {"onnxruntime": plain, "onnxruntime, IO binding": bound}


def measured(question: str, source: Source, X: np.ndarray, rounds: int) -> list[dict[str, Any]]:
    """Measure a network by everything in turn, round after round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = c_programs(source, X, folder)
        given = X.astype(np.float32).tobytes()

        def of_program(program: Path) -> Callable[[], float]:
            def once() -> float:
                command = [program, str(len(X))]
                done = subprocess.run(command, input=given, capture_output=True, check=True)
                return float(done.stdout.split()[0])

            return once

        ways = sessions(source, X, folder) | {n: of_program(p) for n, p in programs.items()}
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, once in ways.items():
                times[way].append(1e6 * once())
        made = []
        for way, found in times.items():
            low, median, high = statistics.quantiles(found, n=4)
            size = programs[way].stat().st_size if way in programs else None
            made.append({"question": question, "way": way, "median_us": median,
                         "quartiles_us": [low, high], "program_bytes": size})  # fmt: skip
        return made


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--questions", nargs="+", default=["2.4", "4.4", "5.3", "5.4"])
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    pixels = np.rint(255 * load_mnist(offline=True).X_test[: arguments.rows]).astype(np.uint8)
    levels = ImagePreprocessor((1, 28, 28), np.array([255 * 0.1298]), np.array([255 * 0.3071]))
    records = []
    print("| net | run by | us a row: median (quartiles) | program, bytes |\n|---|---|---|---|")
    for question, network in networks(rng).items():
        if question not in arguments.questions:
            continue
        dense = question == "2.4"
        X = rng.standard_normal((arguments.rows, 20)).astype(np.float32) if dense else pixels
        inputs = RowInputs((20,)) if dense else levels
        source = Source(network, inputs, np.arange(max(2, network.output_shape[0])))
        for each in measured(question, source, X, arguments.rounds):
            low, high = each["quartiles_us"]
            size = f"{each['program_bytes']:,}" if each["program_bytes"] else ""
            spread = f"{each['median_us']:.2f} ({low:.2f} to {high:.2f})"
            print(f"| {question} | {each['way']} | {spread} | {size} |", flush=True)
            records.append(each)
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform(),
               "cc": subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
               .stdout.splitlines()[0],
               "onnxruntime": onnxruntime.__version__}  # fmt: skip
    RESULTS.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


if __name__ == "__main__":
    main()

"""The arithmetic of `handgrad show`'s page beside TensorFlow.js, in Chromium on the same machine.

For the assignment's ConvNets (5.4's two blocks, 5.3's default) and dense nets (4.4's and 2.4's) the
time of one drawn example's answer, and of a training step (SGD with momentum) on 20, in
milliseconds: the fastest, the median and the quartiles, the first of which a busy machine disturbs
least. TensorFlow.js computes with its own operations, without a model object, on its cpu backend
and on its wasm one (vectors; threads where the page is isolated, which one that is opened from a
file never is: ``--threads`` serves it so). Its npm packages are installed into a temporary folder;
without npm, handgrad is measured alone.

    python benchmarks/show_page.py [--seconds 2] [--threads]

prints a table and writes it with the machine's name to benchmarks/show_page.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "src" / "handgrad" / "show" / "page"
PACKAGES = {"@tensorflow/tfjs": "4.22.0", "@tensorflow/tfjs-backend-wasm": "4.22.0"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> None:
    """Serve the page, open it, and write down what it sends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--threads", action="store_true", help="isolate the page")
    options = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("there is no Chromium here; install one")
    with tempfile.TemporaryDirectory(prefix="handgrad-bench-") as folder:
        found = measured(Path(folder), browser, options)
    load = round(os.getloadavg()[0], 1)
    kept = {"processor": _processor(), "cores": os.cpu_count(), "load": load, **found}
    out = HERE / "show_page.json"
    out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(table(found["results"]))
    machine = f"{kept['processor']}, {kept['cores']} cores, load {load}"
    print(f"\n{machine}; {found['agent']}; written to {out}")


def measured(folder: Path, browser: str, options: argparse.Namespace) -> dict[str, Any]:
    """Put the page together, open it in the browser, and wait for its numbers."""
    backends = ["cpu", "wasm"] if _installed(folder) else []
    shutil.copytree(PAGE, folder / "page")
    shutil.copy(HERE / "show_page.mjs", folder)
    modules = sorted(path.stem for path in PAGE.glob("*.mjs"))
    imports = {f"handgrad-page/{name}": f"/page/{name}.mjs" for name in modules}
    scripts = [f"{name}/dist/{file}" for name, file in
               zip(PACKAGES, ("tf.min.js", "tf-backend-wasm.min.js"), strict=True)]  # fmt: skip
    tags = "".join(f'<script src="/node_modules/{script}"></script>' for script in scripts)
    paths = (
        "<script>tf.wasm.setWasmPaths('/node_modules/@tensorflow/tfjs-backend-wasm/dist/')</script>"
    )
    (folder / "index.html").write_text(
        "<!doctype html><meta charset=utf-8><title>benchmark</title>"
        f"<script type=importmap>{json.dumps({'imports': imports})}</script>"
        f"{tags + paths if backends else ''}<script type=module src=/show_page.mjs></script>",
        encoding="utf-8",
    )
    plan = {"seconds": options.seconds, "backends": backends}
    server, found = _server(folder, plan, isolated=options.threads)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    process = subprocess.Popen([browser, *flags, address], stderr=subprocess.DEVNULL)
    try:
        if not found["ready"].wait(300 + 60 * options.seconds):
            raise SystemExit("the page sent nothing; open it by hand to see why")
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
    return json.loads(found["text"])


def _installed(folder: Path) -> bool:
    """Install TensorFlow.js where npm is; else say that it is left out."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not installed: TensorFlow.js is left out")
        return False
    words = [f"{name}@{version}" for name, version in PACKAGES.items()]
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([*command, "--prefix", str(folder), *words], check=True)
    return True


def _server(
    folder: Path, plan: dict[str, Any], *, isolated: bool
) -> tuple[ThreadingHTTPServer, dict[str, Any]]:
    """Serve the folder, the plan, and take the result."""
    found: dict[str, Any] = {"ready": threading.Event()}

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder))

        def do_GET(self) -> None:
            if self.path != "/plan":
                super().do_GET()
                return
            text = json.dumps(plan).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            found["text"] = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.send_response(204)
            self.end_headers()
            found["ready"].set()

        def end_headers(self) -> None:
            if isolated:
                self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, *given: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, found


def table(results: dict[str, Any]) -> str:
    """Give the fastest and the median of each, a line a network and program."""
    lines = [
        "| network | program | answer, ms (median) | step of 20, ms (median) |",
        "|---|---|---:|---:|",
    ]
    for network, programs in results.items():
        for program, found in programs.items():
            cells = [found["error"], ""] if "error" in found else map(_shown, found.values())
            lines.append(f"| {network} | {program} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(times: dict[str, Any]) -> str:
    return f"{times['fastest']:.3g} ({times['median']:.3g})"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()

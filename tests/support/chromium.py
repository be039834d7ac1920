"""Chromium without a window, spoken to in its own protocol over a pair of pipes.

Beside `report_browser`, which asks a page one question, this clicks, draws and types, and hears
what the page asks of the network and what it complains of.
"""

import base64
import itertools
import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from report_browser import AXE, BROWSER, QUIET

# The browser listens on file descriptor 3 and speaks on 4.
_ON_3_AND_4 = """
import fcntl, os, sys
for number, given in zip((3, 4), [fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]]):
    os.dup2(given, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
_KEYS = {
    "Enter": (13, "\r"), "Tab": (9, "\t"), " ": (32, " "), "Escape": (27, ""),
    "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, ""),
    "Home": (36, ""), "End": (35, ""), "Backspace": (8, ""), "Delete": (46, ""),
}  # fmt: skip


class Browser:
    """A running Chromium; `page` opens a tab."""

    def __init__(self, profile):
        told, tells = os.pipe()  # what it is told
        hears, says = os.pipe()  # what it says
        command = [
            BROWSER,
            *QUIET,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_3_AND_4, str(told), str(says), *command],
            pass_fds=(told, says),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(told)
        os.close(says)
        self._in, self._out, self._left = tells, hears, b""
        self._numbers = itertools.count(1)
        self._ready = selectors.DefaultSelector()
        self._ready.register(hears, selectors.EVENT_READ)
        self.events = []

    def close(self):
        """End it."""
        self.call("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._in)
        os.close(self._out)

    def call(self, method, session=None, *, timeout=60, **params):
        """Ask for something and wait for the answer; what happens meanwhile is in `events`."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._in, data) :]
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline)
            if answer is None:
                raise TimeoutError(f"{method} got no answer within {timeout} s")
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def listen(self, seconds):
        """Take in what happens for so long."""
        deadline = time.monotonic() + seconds
        while self._next(deadline) is not None:
            pass

    def _next(self, deadline):
        """Give the next message, an event or an answer; None when the time is over."""
        while b"\0" not in self._left:
            if not self._ready.select(max(0.0, deadline - time.monotonic())):
                return None
            read = os.read(self._out, 1 << 20)
            if not read:
                raise RuntimeError("the browser has ended")
            self._left += read
        text, _, self._left = self._left.partition(b"\0")
        message = json.loads(text)
        if "id" not in message:
            self.events.append(message)
        return message

    @contextmanager
    def page(self, *, width=1200, height=900, dark=False, touch=False):
        """Open a tab, of this size and in this colour scheme; close it in the end."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        try:
            for domain in ("Page", "Runtime", "Network", "Log"):
                tab.call(f"{domain}.enable")
            tab.resize(width, height, mobile=touch)
            if touch:
                tab.call("Emulation.setTouchEmulationEnabled", enabled=True)
            scheme = "dark" if dark else "light"
            tab.call(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": scheme}],
            )
            yield tab
        finally:
            self.call("Target.closeTarget", targetId=target)


class Tab:
    """One tab: go somewhere, ask its script, press and type."""

    def __init__(self, browser, session):
        self._browser, self._session = browser, session
        self.seconds = None

    def call(self, method, **params):
        """Ask the tab for something in the protocol's words."""
        return self._browser.call(method, self._session, **params)

    def go(self, path, fragment=""):
        """Open a file, and wait until its modules have run; `seconds` is how long that took."""
        begun = time.monotonic()
        self.call("Page.navigate", url=Path(path).as_uri() + fragment)
        self.wait("document.readyState === 'complete'")
        self.seconds = time.monotonic() - begun

    def resize(self, width, height, *, mobile=False):
        """Give it another size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip

    def ask(self, expression):
        """Evaluate JavaScript, wait where it is a promise, and give its value."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait(self, expression, seconds=20):
        """Wait until an expression is true, as JavaScript has it."""
        deadline = time.monotonic() + seconds
        while not self.ask(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                said = "; ".join(self.complaints) or "nothing"
                raise TimeoutError(f"not within {seconds} s: {expression}; the page said {said}")
            self._browser.listen(0.02)

    def middle(self, selector):
        """Scroll an element into view; give the middle of it."""
        return self.ask(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const r = e.getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )

    def click(self, selector):
        """Press the middle of an element."""
        x, y = self.middle(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def drag(self, points):
        """Press at the first point, move over the others, and let go."""
        self.mouse("mousePressed", *points[0])
        for point in points[1:]:
            self.mouse("mouseMoved", *point)
        self.mouse("mouseReleased", *points[-1])

    def mouse(self, kind, x, y):
        """One event of the mouse."""
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
            buttons=int(kind != "mouseReleased"), clickCount=1,
        )  # fmt: skip

    def touch(self, points):
        """Put a finger down at the first point, move it over the others, and lift it."""
        for number, (x, y) in enumerate(points):
            kind = "touchMove" if number else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, name):
        """Press a key and let it go."""
        code, text = _KEYS.get(name, (ord(name.upper()), name) if len(name) == 1 else (0, ""))
        common = {"key": name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path):
        """Keep a picture of what is in view."""
        data = self.call("Page.captureScreenshot")["data"]
        Path(path).write_bytes(base64.b64decode(data))

    @property
    def complaints(self):
        """Exceptions, errors and warnings of the page so far, as text."""
        found = []
        for event in self._own():
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                found.append(details.get("exception", {}).get("description") or details["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] != "log":
                found.append(f"{params['type']}: {params['args']}")
            elif event["method"] == "Log.entryAdded":
                found.append(params["entry"]["text"])
        return found

    @property
    def requests(self):
        """What the page has asked for so far, but for itself and what stands in it."""
        found = [
            event["params"]["request"]["url"]
            for event in self._own()
            if event["method"] == "Network.requestWillBeSent"
        ]
        inside = ("data:", "blob:", "about:")
        return [url for url in found[1:] if not url.startswith(inside)]

    def _own(self):
        return [e for e in self._browser.events if e.get("sessionId") == self._session]

    def faults(self):
        """What axe-core finds, each with its first elements; and how many rules it tried."""
        self.ask(AXE.read_text(encoding="utf-8") + ";true")
        return self.ask(
            "axe.run(document, {resultTypes: ['violations']}).then(r => ({passed: r.passes.length,"
            "faults: r.violations.map(v => [v.id, ...v.nodes.slice(0, 3).map(n => "
            "n.html.slice(0, 200) + ' ' + n.failureSummary)])}))"
        )

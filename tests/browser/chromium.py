"""A real browser without a window, driven over a pipe by the Chrome DevTools Protocol.

No driver and no network port: requests go to the browser's file descriptor 3 and replies come
from its descriptor 4, each a JSON text that ends in a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def executable() -> str | None:
    """The browser of this machine, if it has one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Chromium:
    """A browser with a fresh profile; `page` opens a file in it."""

    def __init__(self, profile: Path) -> None:
        here, to_us = os.pipe()
        from_us, there = os.pipe()
        command = [str(executable()), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # Only a shell can put our ends at the numbers that the browser expects.
        shell = ["/bin/bash", "-c", f'exec "$@" 3<&{from_us} 4>&{to_us}', "-", *command]
        self._process = subprocess.Popen(
            shell, pass_fds=(from_us, to_us), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(from_us)
        os.close(to_us)
        self._in, self._out = os.fdopen(there, "wb"), os.fdopen(here, "rb")
        self._count = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call("Browser.close")
        self._in.close()
        self._process.wait(timeout=30)
        self._out.close()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result; events that come meanwhile are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._in.write(json.dumps(message).encode() + b"\0")
        self._in.flush()
        while True:
            reply = self._read()
            if reply.get("id") == self._count:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                result: dict[str, Any] = reply["result"]
                return result
            self.events.append(reply)

    def page(self, path: Path, **view: Any) -> "Page":
        """Opens a file in a new page; `view` is what `Page.__init__` takes."""
        page = Page(self, **view)
        page.open(path)
        return page

    def _read(self) -> dict[str, Any]:
        raw = bytearray()
        while (byte := self._out.read(1)) not in (b"\0", b""):
            raw += byte
        if not raw:
            raise RuntimeError("the browser has gone")
        message: dict[str, Any] = json.loads(raw)
        return message


class Page:
    """One page of a given size and colour scheme."""

    def __init__(
        self, browser: Chromium, *, width: int = 1280, dark: bool = False, scripts: bool = True
    ) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.width = width

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def open(self, path: Path) -> None:
        """Loads a file and waits until it is there."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait(lambda: bool(self.events("Page.loadEventFired")))

    def events(self, method: str) -> list[dict[str, Any]]:
        """What this page reported so far."""
        own = [each for each in self._browser.events if each.get("sessionId") == self._session]
        return [each["params"] for each in own if each["method"] == method]

    def wait(self, done: Callable[[], bool], seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                raise RuntimeError("the page did not get there")
            self.call("Page.getLayoutMetrics")  # replies bring events along

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        return [each["request"]["url"] for each in self.events("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Errors, warnings and refusals that the browser logged, exceptions, and open dialogs."""
        logged = [each["entry"]["text"] for each in self.events("Log.entryAdded")]
        said = [str(each["args"]) for each in self.events("Runtime.consoleAPICalled")]
        thrown = [str(each) for each in self.events("Runtime.exceptionThrown")]
        asked = [str(each) for each in self.events("Page.javascriptDialogOpening")]
        return [*logged, *said, *thrown, *asked]

    def move(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        enter = {"text": "\r", "windowsVirtualKeyCode": 13} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **enter)

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """The whole page, or its upper part, as PNG."""
        full = self.call("Page.getLayoutMetrics")["cssContentSize"]["height"]
        clip = {"x": 0, "y": 0, "width": self.width, "height": height or full, "scale": 1}
        found = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def printed(self, path: Path) -> None:
        """The page on paper, as PDF."""
        found = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(found["data"]))

"""A headless Chromium that is told what to do over its DevTools protocol."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_START_SECONDS = 120


class Browser:
    """A tab of the browser, and what its page has complained of.

    Parameters
    ----------
    websocket : str
        Address of the tab.
    """

    def __init__(self, websocket: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._number = 0
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._tab = self._loop.run_until_complete(self._connect(websocket))
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    async def _connect(self, address: str) -> Any:
        from tornado.websocket import websocket_connect

        return await websocket_connect(address, max_message_size=2**28)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        return self._loop.run_until_complete(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters}
        await self._tab.write_message(json.dumps(request))
        while True:
            answer = json.loads(await self._tab.read_message())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._listen(answer)

    def _listen(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"].get("exception")))
            case "Log.entryAdded" if about["entry"]["level"] == "error":
                self.complaints.append(about["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requested.append(about["request"]["url"])

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 120) -> None:
        """Wait until an expression is true in the page."""
        deadline = self._loop.time() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            assert self._loop.time() < deadline, f"{expression} is not true: {self.complaints}"
            self._loop.run_until_complete(asyncio.sleep(0.2))

    def close(self) -> None:
        """Leave the tab."""

        async def leave() -> None:
            self._tab.close()
            while await self._tab.read_message() is not None:
                pass

        self._loop.run_until_complete(leave())
        self._loop.close()

    def screenshot(self, path: Path) -> None:
        """Write what is shown as PNG."""
        shot = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile: Path, width: int = 1280, height: int = 1250) -> Iterator[Browser]:
    """Yield a browser with a profile of its own."""
    assert CHROMIUM is not None
    process = subprocess.Popen(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--remote-debugging-port=0", f"--user-data-dir={profile}",
            f"--window-size={width},{height}", "--disable-dev-shm-usage", "about:blank",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = _port(profile / "DevToolsActivePort")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            tabs = json.load(answer)
        tab = Browser(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"])
        yield tab
        tab.close()
    finally:
        process.terminate()
        process.wait(timeout=60)


def _port(file: Path) -> str:
    """Wait until the browser says where it listens."""
    deadline = time.monotonic() + _START_SECONDS
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline, "Chromium has not started"
        time.sleep(0.1)
    return file.read_text().splitlines()[0]

"""A headless Chromium, told what to do by its DevTools protocol over a pipe."""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30


class PageError(Exception):
    """What a script on the page threw."""


class Browser:
    def __init__(self):
        program = next(filter(None, map(shutil.which, PROGRAMS)))
        self._profile = tempfile.mkdtemp()
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        def connect():
            # The protocol's two ends are descriptors 3 and 4; what is in the way is moved first.
            ends = os.dup2(to_browser, 63), os.dup2(from_browser, 64)
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
                   "--remote-debugging-pipe", "--window-size=1280,1000",
                   f"--user-data-dir={self._profile}", "about:blank"]
        # What it leaves behind when it is killed goes with its profile.
        environment = os.environ | {"TMPDIR": self._profile}
        self._process = subprocess.Popen(command, preexec_fn=connect, close_fds=False, start_new_session=True,
                                         env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._count = 0
        self._session = None
        self.errors = []
        """What was thrown on the page and caught by nobody, and what the console called an error."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method, **parameters):
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _message(self):
        while b"\0" not in self._buffer:
            octets = os.read(self._read, 1 << 20)
            if not octets:
                raise PageError("the browser ended")
            self._buffer += octets
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        return message

    def run(self, script):
        """The value of an expression on the page, awaited where it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait(self, condition, what=None):
        """Waits until an expression is true; its value."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            value = self.run(condition)
            if value:
                return value
            time.sleep(0.02)
        raise PageError(f"in vain: {what or condition}\n{self.text()}")

    def open(self, url):
        """Loads a page and waits until its view is there, or says that it cannot be."""
        self.errors.clear()
        self.call("Page.navigate", url=url)
        self.wait("document.readyState == 'complete' && !!document.body && "
                  "(document.body.hasAttribute('data-rendered') || !!document.querySelector('pre.error'))", url)

    def text(self):
        return self.run("document.body ? document.body.innerText : ''")

    def click(self, selector):
        self.run(f"void document.querySelector({json.dumps(selector)}).click()")

    def set(self, selector, value):
        """Types into a field and leaves it."""
        self.run(f"""(field => {{
            field.value = {json.dumps(value)};
            for (const event of [ 'input', 'keyup', 'change', 'blur' ])
                field.dispatchEvent(new Event(event, {{ bubbles: event != 'blur' }}));
        }})(document.querySelector({json.dumps(selector)}))""")

    def screenshot(self, path):
        height = self.run("document.documentElement.scrollHeight")
        self.call("Emulation.setDeviceMetricsOverride", width=1280, height=min(max(height, 600), 4000), deviceScaleFactor=1, mobile=False)
        octets = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        self.call("Emulation.clearDeviceMetricsOverride")
        with open(path, "wb") as file:
            file.write(octets)

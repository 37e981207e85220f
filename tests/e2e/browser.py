"""Headless Chromium, and `scalectl view` beside a receiver, for the tests of the viewer."""

import http.client
import http.server
import re
import select
import signal
import subprocess
import threading

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from harness import SCALECTL, WAIT, ask, eventually

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", "--window-size=1280,900",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]


class Viewer:
    """`scalectl view` for a daemon."""

    def __init__(self, daemon, *arguments):
        self.process = subprocess.Popen(
            [str(SCALECTL), "-o", f"query.socket={daemon.query.path}", "view", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], WAIT)
        line = self.process.stdout.readline() if ready else ""
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([0-9a-f]{64})\n", line)
        assert match, (line, self.process.poll() is not None and self.process.stderr.read())
        self.url, self.port, self.token = line.strip(), int(match[1]), match[2]
        self.cookie, self.place = None, "/place"

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method, target, headers=None, host=None, cookie=True, body=None):
        """Within the folder of the page, but for "/?token=..."."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        headers = {"Host": host or f"127.0.0.1:{self.port}", **(headers or {})}
        if cookie and self.cookie:
            headers["Cookie"] = self.cookie
        try:
            return ask(connection, method, target if "?token=" in target else self.place + target, body, headers)
        finally:
            connection.close()

    def enter(self):
        """Uses the token up, without a browser."""
        answer = self.ask("GET", f"/?token={self.token}")
        assert answer.status == 303, (answer.status, answer.body)
        self.cookie, self.place = answer.headers["Set-Cookie"].split(";")[0], answer.headers["Location"].rstrip("/")
        return answer

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=WAIT)
        for word in ("Sanitizer", "runtime error", "Assertion"):
            assert word not in errors, errors
        return self.process.returncode, errors


class Browser:
    """What a reader sees and does."""

    def __init__(self, folder):
        options = Options()
        for flag in [*FLAGS, f"--user-data-dir={folder}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_page_load_timeout(WAIT)
        self.driver.set_script_timeout(WAIT)

    def close(self):
        self.driver.quit()

    def size(self, width, height, dark=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def open(self, viewer):
        self.driver.get(viewer.url)
        self.wait("nav a[aria-current]")
        return self

    def go(self, hash, selector="main h2"):
        self.driver.execute_script("location.hash = arguments[0]", hash)
        eventually(lambda: self.run("return location.hash") == hash, hash)
        return self.wait(selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, selector, n=1):
        """Until there are at least n of them; the first."""
        eventually(lambda: len(self.all(selector)) >= n, f"{n} of {selector}: {self.body()[:2000]}")
        return self.all(selector)[0]

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)

    def body(self):
        return self.run("return document.body.innerText")

    def says(self, text):
        eventually(lambda: text in self.body(), f"{text!r} in {self.body()[:3000]}")

    def keys(self, *keys):
        self.run("return document.activeElement || document.body")
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def log(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


class Files:
    """A server of somebody else's, with attachments: {path: (content type, bytes)}. `asked` is what came."""

    def __init__(self, files):
        outer = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.asked.append((self.path, dict(self.headers)))
                kind, data = files.get(self.path, ("text/plain", None))
                span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                self.send_response(404 if data is None else 206 if span else 200)
                data = data or b""
                if span:  # players seek by it
                    start, end = int(span[1]), int(span[2] or len(data) - 1)
                    self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
                    data = data[start:end + 1]
                self.send_header("Content-Type", kind)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

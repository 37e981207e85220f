"""A stand-in for the API that does exactly what a test tells it, one request at a time."""

import base64
import datetime
import http.server
import itertools
import json
import threading
import time
import urllib.parse

TEST_KEY = "test_canary0123456789abcdef"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(timestamp or time.time() + self.server.api.date_offset)

    def do(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.server.api.handle(self, json.loads(body) if body else None)

    do_GET = do_POST = do

    def answer(self, status, body, headers=None, content_type="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": len(data), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def drop(self):
        self.close_connection = True
        self.connection.shutdown(2)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


class Api:
    """`plan(method, path, body)` says what becomes of a request: None goes on as the API does; (status, body[,
    headers]) is answered, nothing is done; "drop" does it and closes the connection; "drop before" does nothing and
    closes; a number of seconds does it and answers that much later."""

    def __init__(self, keys=(TEST_KEY,)):
        self.keys, self.tasks, self.requests, self.plan = list(keys), [], [], lambda method, path, body: None
        self.lock, self.numbers, self.offset = threading.RLock(), itertools.count(1), 0
        self.date_offset = 0  # of the header; `offset` is that of what tasks say
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.api = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def now(self):
        t = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.offset)
        return t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond // 1000:03}Z"

    def count(self, method, prefix):
        with self.lock:
            return sum(1 for m, p, _ in self.requests if m == method and p.startswith(prefix))

    def creates(self):
        return self.count("POST", "/v1/task/") - self.count_cancels()

    def count_cancels(self):
        with self.lock:
            return sum(1 for m, p, _ in self.requests if p.endswith("/cancel"))

    def submissions(self):
        with self.lock:
            return [t["metadata"].get("scale_submission_id") for t in self.tasks]

    def handle(self, handler, body):
        url = urllib.parse.urlsplit(handler.path)
        with self.lock:
            self.requests.append((handler.command, handler.path, body))
            plan = self.plan(handler.command, url.path, body)
        if isinstance(plan, tuple):
            return handler.answer(*plan)
        if plan == "drop before":
            return handler.drop()
        status, answer = self.act(handler, url, body)
        if plan == "drop":
            return handler.drop()
        if plan:
            time.sleep(plan)
        return handler.answer(status, answer)

    def act(self, handler, url, body):
        key = base64.b64decode((handler.headers.get("Authorization") or "").removeprefix("Basic ")).decode().rstrip(":")
        if key not in self.keys:
            return 401, {"status_code": 401, "error": "Your API key does not correspond to a registered user."}
        parts = url.path.removeprefix("/v1/").split("/")
        with self.lock:
            if parts[0] == "tasks":
                return 200, self.list(dict(urllib.parse.parse_qsl(url.query)))
            if handler.command == "POST" and len(parts) == 2:
                return 200, self.create(parts[1], body, key.startswith("test"))
            task = next((t for t in self.tasks if t["task_id"] == parts[1]), None)
            if not task:
                return 404, {"status_code": 404, "error": "Task not found"}
            if len(parts) == 3 and task["status"] == "completed":
                return 500, {"status_code": 500, "error": "The task was already completed and cannot be canceled."}
            if len(parts) == 3:
                task["status"] = "canceled"
            return 200, task

    def create(self, kind, body, is_test):
        params = {k: v for k, v in body.items()
                  if k not in ("callback_url", "instruction", "urgency", "metadata")}
        task = {"task_id": f"{int(time.time()):08x}{next(self.numbers):016x}", "created_at": self.now(), "type": kind,
                "status": "pending", "instruction": body.get("instruction", ""), "params": params,
                "urgency": body.get("urgency", "day"), "metadata": body.get("metadata", {}),
                "callback_url": body.get("callback_url", "http://www.example.com/callback")}
        if is_test:
            task["is_test"] = True
        self.tasks.append(task)
        return task

    def list(self, query):
        docs = [t for t in reversed(self.tasks)
                if query.get("start_time", "") <= t["created_at"] <= query.get("end_time", "9")]
        limit, offset = int(query.get("limit") or 100), int(query.get("offset") or 0)
        return {"docs": docs[offset:offset + limit], "total": len(docs), "limit": limit, "offset": offset,
                "has_more": offset + limit < len(docs)}

    def complete(self, task, response):
        """The body of the callback."""
        with self.lock:
            task.update(status="completed", response=response, completed_at=self.now())
            return json.dumps({"task_id": task["task_id"], "response": response, "task": task})

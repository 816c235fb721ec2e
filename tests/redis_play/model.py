"""A server on this machine that speaks as models' servers do, and says a page, piece by piece, as a test lets it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 60.0


class ModelServer(ThreadingHTTPServer):
    """Answers each request with the next of its ``pages``, the last one again and again; ``asked`` are the requests.

    A page is pieces; before one that is None it waits until `go`.
    """

    daemon_threads = True

    def __init__(self, *pages: Sequence[str | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = pages
        self.asked: list[dict[str, Any]] = []
        self.waiting, self.gone_on = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def go(self) -> None:
        self.gone_on.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone: here it is killed on purpose."""


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self._begin("application/json")
        self.wfile.write(json.dumps({"object": "list", "data": [{"id": "small", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        page = self.server.pages[min(len(self.server.asked), len(self.server.pages) - 1)]
        self.server.asked.append(body)
        self._begin("text/event-stream")
        for piece in page:
            if piece is None:
                self.server.waiting.set()
                self.server.gone_on.wait(PATIENCE)
            else:
                self._say({"delta": {"content": piece}, "finish_reason": None})
        self._say({"delta": {}, "finish_reason": "stop"})
        self.wfile.write(b"data: [DONE]\n\n")

    def _begin(self, type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", type)
        self.send_header("Connection", "close")
        self.end_headers()

    def _say(self, choice: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""


@contextmanager
def serving(*pages: Sequence[str | None]) -> Iterator[ModelServer]:
    """Let a model answer while the block lasts."""
    server = ModelServer(*pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.go()
        server.shutdown()
        thread.join()
        server.server_close()

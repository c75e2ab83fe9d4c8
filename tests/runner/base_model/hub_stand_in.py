"""A hub on the loopback: the addresses that resolving and downloading a repository ask for.

A repository is a model or a data set; of a data set also what `datasets` asks about its files.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = ".safetensors"  # kept in large file storage: the hub knows their SHA-256


@dataclass
class Hub:
    """One repository, what was asked, and what to answer instead of the truth."""

    files: dict[str, bytes]
    name: str = "org/tiny"
    kind: str = "models"  # or datasets
    commit: str = COMMIT
    revisions: tuple[str, ...] = ("main",)
    requests: list[str] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    refuse: tuple[int, str] | None = None  # status and X-Error-Code for everything
    page: bytes = b"{}"  # the body of a refusal
    message: str = ""  # X-Error-Message of a refusal
    cut: dict[str, int] = field(
        default_factory=dict
    )  # connections to break in the middle of a file
    on_request: Callable[[], None] = lambda: None
    sent_instead: dict[str, list[bytes]] = field(default_factory=dict)  # one a download
    silent_seconds: float = 0.0
    url: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def downloads(self) -> list[str]:
        """Return the names of the files whose bytes were asked for."""
        gets = (line for line in self.requests if line.startswith(f"GET {self.root}/resolve/"))
        return sorted(line.rsplit("/", 1)[1] for line in gets)

    @property
    def root(self) -> str:
        """Return the path below which the files are."""
        return f"/{self.name}" if self.kind == "models" else f"/{self.kind}/{self.name}"

    def siblings(self) -> list[dict[str, Any]]:
        return [
            {
                "rfilename": name,
                "size": len(data),
                "blobId": etag(data),
                **large(name, data, "sha256"),
            }
            for name, data in self.files.items()
        ]

    def tree(self, folder: str = "") -> list[dict[str, Any]]:
        """Return all files below a folder, and the folders among them."""
        below = {name: data for name, data in self.files.items() if name.startswith(folder)}
        folders = {str(parent) for name in below for parent in PurePosixPath(name).parents}
        return [
            {"type": "file", "path": name, "size": len(data), "oid": etag(data)}
            | large(name, data, "oid")
            for name, data in below.items()
        ] + [
            {"type": "directory", "path": name, "size": 0, "oid": etag(name.encode())}
            for name in sorted(folders - {"."})
            if name.startswith(folder) and name + "/" != folder
        ]


def etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def large(name: str, data: bytes, key: str) -> dict[str, Any]:
    if not name.endswith(LARGE):
        return {}
    sha256 = hashlib.sha256(data).hexdigest()
    return {"lfs": {key: sha256, "size": len(data), "pointerSize": 130}}


@contextmanager
def serve(hub: Hub, host: str = "127.0.0.1") -> Iterator[Hub]:
    """Serve a hub until the end of the block; containers reach the address of their gateway."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            self.answer()

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

        def answer(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append(f"{self.command} {path}")
            hub.authorizations.add(self.headers.get("authorization", ""))
            hub.stop.wait(hub.silent_seconds)
            hub.on_request()
            if hub.refuse is not None:
                status, code = hub.refuse
                told = {"X-Error-Code": code, "X-Error-Message": hub.message}
                self.send(status, hub.page, {name: value for name, value in told.items() if value})
            elif path.startswith(f"/api/{hub.kind}/"):
                self.answer_api(path.removeprefix(f"/api/{hub.kind}/"))
            else:
                self.answer_file(path)

        def answer_api(self, path: str) -> None:
            rest = path.removeprefix(hub.name)
            known = ("", *(f"/revision/{r}" for r in (*hub.revisions, hub.commit)))
            if rest in known and path.startswith(hub.name):
                facts = {"id": hub.name, "sha": hub.commit, "siblings": hub.siblings()}
                self.send(200, json.dumps(facts).encode())
            elif rest == f"/tree/{hub.commit}":
                self.send(200, json.dumps(hub.tree()).encode())
            elif rest == f"/paths-info/{hub.commit}":
                asked = parse_qs(self.body)["paths"]
                found = [entry for entry in hub.tree() if entry["path"] in asked]
                self.send(200, json.dumps(found).encode())
            elif rest.startswith(f"/tree/{hub.commit}/"):
                if entries := hub.tree(rest.removeprefix(f"/tree/{hub.commit}/") + "/"):
                    self.send(200, json.dumps(entries).encode())
                else:
                    self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            elif path.startswith(hub.name):
                self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            else:
                self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def answer_file(self, path: str) -> None:
            name = path.removeprefix(f"{hub.root}/resolve/{hub.commit}/")
            if name not in hub.files:
                self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            true = hub.files[name]
            sent = true
            if self.command == "GET" and hub.sent_instead.get(name):
                sent = hub.sent_instead[name].pop(0)
            headers = {"X-Repo-Commit": hub.commit, "ETag": f'"{etag(true)}"'}
            if name.endswith(LARGE):
                headers["X-Linked-ETag"] = f'"{hashlib.sha256(true).hexdigest()}"'
                headers["X-Linked-Size"] = str(len(true))
            if self.command == "GET" and hub.cut.get(name):
                hub.cut[name] -= 1
                self.send(200, sent, headers, num_sent=len(sent) // 2)
                self.close_connection = True
                return
            self.send(200, sent, headers)

        def send(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str] | None = None,
            num_sent: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:num_sent])

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""Reading a registry over HTTP: names, logins, manifests, and blobs that are not what they say."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.container.reference import parse_reference
from runner.container.registry import Blob, Registry
from runner.errors import BackendError

LOGIN = base64.b64encode(b"jo:secret").decode()
LAYER = gzip.compress(b"a layer, unpacked")
CONFIG = b'{"config": {"Labels": {"a": "b"}}, "rootfs": {"diff_ids": []}}'
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


MANIFEST = json.dumps(
    {
        "config": {"digest": digest(CONFIG), "size": len(CONFIG), "mediaType": "config"},
        "layers": [
            {"digest": digest(LAYER), "size": len(LAYER), "mediaType": "…layer.v1.tar+gzip"}
        ],
    }
).encode()
INDEX = json.dumps(
    {
        "manifests": [
            {"digest": "sha256:0", "platform": {"architecture": "arm64"}},
            {"digest": digest(MANIFEST), "platform": {"architecture": "amd64"}},
        ]
    }
).encode()


class Handler(BaseHTTPRequestHandler):
    """A registry that wants a token, which it gives for a login."""

    protocol_version = "HTTP/1.1"
    wants_token = False
    content: dict[str, bytes]

    def do_GET(self) -> None:
        if self.path.startswith("/token?"):
            is_known = self.headers.get("Authorization") == f"Basic {LOGIN}"
            self.answer(200 if is_known else 401, b'{"token": "given"}' if is_known else b"{}")
        elif self.wants_token and self.headers.get("Authorization") != "Bearer given":
            host = self.headers["Host"]
            realm = f'Bearer realm="http://{host}/token",service="s",scope="repository:n:pull"'
            self.answer(401, b"", **{"WWW-Authenticate": realm})
        elif content := self.content.get(self.path.removeprefix("/v2/team/n/")):
            self.answer(200, content)
        else:
            self.answer(404, b"{}")

    do_HEAD = do_GET

    def answer(self, code: int, content: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def handler() -> type[Handler]:
    class Fresh(Handler):
        content = {  # noqa: RUF012  # of one test
            "manifests/1": MANIFEST,
            "manifests/many": INDEX,
            f"manifests/{digest(MANIFEST)}": MANIFEST,
            f"blobs/{digest(CONFIG)}": CONFIG,
            f"blobs/{digest(LAYER)}": LAYER,
        }

    return Fresh


@pytest.fixture
def registry(handler: type[Handler], monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        with Registry(parse_reference(f"{address}/team/n:1"), plain=True) as registry:
            yield registry
        server.shutdown()


def log_in(registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what `docker login` writes."""
    host = registry._address
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": LOGIN}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def test_a_manifest_is_read_alone_or_out_of_an_index(registry: Registry) -> None:
    """The digest is the one to pull by: of the index, where an image has several machines."""
    alone, of_many = registry.manifest("1"), registry.manifest("many")
    assert alone and of_many
    assert alone.digest == digest(MANIFEST) and of_many.digest == digest(INDEX)
    assert of_many.digests == (digest(INDEX), digest(MANIFEST), digest(CONFIG))
    assert alone.layers == of_many.layers and len(alone.layers) == 1
    assert registry.config(alone)["config"]["Labels"] == {"a": "b"}
    assert registry.manifest("many", "riscv64") is None and registry.manifest("2") is None


def test_a_layer_is_read_against_both_of_its_digests(registry: Registry) -> None:
    """The bytes as they lie there, and what they unpack to."""
    held = registry.manifest("1")
    assert held
    registry.require(held.layers[0])
    assert registry.read_layer(held.layers[0]) == digest(b"a layer, unpacked")
    zstd = Blob(digest=digest(LAYER), size=len(LAYER), media_type="…layer.v1.tar+zstd")
    assert registry.read_layer(zstd) == "", "not unpacked, and not claimed"


@pytest.mark.parametrize("damage", [b"", b"x" + LAYER[1:], LAYER[:-1]])
def test_a_damaged_blob_is_found(registry: Registry, handler: type[Handler], damage: bytes) -> None:
    """Gone, with one byte changed, or cut off."""
    held = registry.manifest("1")
    assert held
    handler.content[f"blobs/{digest(LAYER)}"] = damage
    with pytest.raises(BackendError, match="registry-damaged"):
        registry.require(held.layers[0])
        registry.read_layer(held.layers[0])


def test_a_token_is_fetched_with_the_login(
    registry: Registry, handler: type[Handler], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry says where tokens are given; without a login there is none."""
    handler.wants_token = True
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(BackendError, match="registry-no-login"):
        registry.manifest("1")
    log_in(registry, tmp_path, monkeypatch)
    assert registry.manifest("1")


def test_nobody_who_answers_is_an_error() -> None:
    """A port that nobody listens at."""
    with (
        Registry(parse_reference("127.0.0.1:9/n:1"), plain=True) as registry,
        pytest.raises(BackendError, match="registry-no-answer"),
    ):
        registry.manifest("1")

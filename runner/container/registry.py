"""Read a registry: what a tag holds, and whether its blobs are what their digests say.

Reading alone: images are pushed and pulled by the engine. Credentials are those of `docker login`.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.container.reference import HUB, Reference
from runner.container.refused import registry_error
from runner.errors import BackendError

if TYPE_CHECKING:
    import requests

HUB_ADDRESS = "registry-1.docker.io"
CERTIFICATES = Path("/etc/docker/certs.d")  # where the engine looks for a registry's authority
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CHUNK_BYTES = 1 << 20
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A file of a registry."""

    digest: str  # `sha256:…` over its bytes
    size: int  # bytes
    media_type: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a tag holds."""

    digest: str  # by which it is pulled: of the index, where there is one
    digests: tuple[str, ...]  # all by which an engine may know it: index, manifest, configuration
    size: int  # bytes of the manifest
    config: Blob
    layers: tuple[Blob, ...]  # lowest first

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (self.config, *self.layers)


class Registry:
    """One repository of a registry, over its HTTP interface; a context manager.

    Args:
        reference: any image of the repository.
        plain: the engine may speak to it without TLS.
    """

    def __init__(self, reference: Reference, *, plain: bool) -> None:
        import requests  # what the Docker SDK speaks through as well

        self._reference = reference
        self._session = requests.Session()
        self._verify: str | bool = False if plain else _authority(reference.host)
        self._address = HUB_ADDRESS if reference.host == HUB else reference.host
        self._schemes = ["https", "http"] if plain else ["https"]
        self._token: str | None = None

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def manifest(self, tag: str, machine: str = "amd64") -> Manifest | None:
        """Return what a tag or digest holds, or None where there is none of that name.

        Args:
            machine: the architecture to take of an image for several.

        Raises:
            BackendError: the registry refuses, does not answer, or answers something else.
        """
        answer = self._get(f"manifests/{tag}", accept=(*INDEXES, *MANIFESTS))
        if answer is None:
            return None
        digest, document = _checked_document(answer.content, answer.headers)
        digests = [digest]
        size = len(answer.content)
        if "manifests" in document:
            chosen = next(
                (
                    each["digest"]
                    for each in document["manifests"]
                    if (each.get("platform") or {}).get("architecture") == machine
                ),
                None,
            )
            answer = self._get(f"manifests/{chosen}", accept=MANIFESTS) if chosen else None
            if answer is None:
                return None
            inner, document = _checked_document(answer.content, answer.headers)
            digests.append(inner)
        config = _blob(document["config"])
        return Manifest(
            digest=digest,
            digests=(*digests, config.digest),
            size=size,
            config=config,
            layers=tuple(_blob(layer) for layer in document["layers"]),
        )

    def config(self, manifest: Manifest) -> dict[str, Any]:
        """Return an image's configuration: labels, variables, the digests of its unpacked layers.

        Raises:
            BackendError: it is not there, or is not what its digest says.
        """
        content = b"".join(self._content(manifest.config))
        _require(manifest.config.digest == _sha256(content), manifest.config.digest)
        document: dict[str, Any] = json.loads(content)
        return document

    def require(self, blob: Blob) -> None:
        """Fail where a blob is not there in its full size; its bytes are not read.

        Raises:
            BackendError: it is not.
        """
        answer = self._get(f"blobs/{blob.digest}", method="HEAD")
        size = int(answer.headers.get("Content-Length", -1)) if answer is not None else -1
        _require(size == blob.size, blob.digest)

    def read_layer(self, blob: Blob) -> str:
        """Read all bytes of a layer against its digest; return the digest of what it unpacks to.

        Empty for a compression other than gzip.

        Raises:
            BackendError: it is not there, or is not what its digest says.
        """
        packed, unpacked = hashlib.sha256(), hashlib.sha256()
        gzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if "gzip" in blob.media_type else None
        is_readable = gzip is not None or blob.media_type.endswith("tar")
        for chunk in self._content(blob):
            packed.update(chunk)
            if is_readable:
                try:
                    unpacked.update(gzip.decompress(chunk) if gzip else chunk)
                except zlib.error:
                    _require(False, blob.digest)
        _require(blob.digest == f"sha256:{packed.hexdigest()}", blob.digest)
        return f"sha256:{unpacked.hexdigest()}" if is_readable else ""

    def _content(self, blob: Blob) -> Iterator[bytes]:
        import requests

        answer = self._get(f"blobs/{blob.digest}")
        _require(answer is not None, blob.digest)
        assert answer is not None
        try:
            yield from answer.iter_content(CHUNK_BYTES)
        except requests.RequestException as error:
            raise registry_error(str(error), str(self._reference)) from error

    def _get(
        self, path: str, *, accept: tuple[str, ...] = (), method: str = "GET"
    ) -> requests.Response | None:
        """Ask for something of the repository; None where it is not there.

        Raises:
            BackendError: the registry refuses or does not answer.
        """
        answer = self._send(method, path, accept)
        if answer.status_code == 401 and self._log_in(answer.headers.get("WWW-Authenticate", "")):
            answer = self._send(method, path, accept)
        if answer.status_code == 404:
            return None
        if not answer.ok:
            said = answer.text.strip() if method == "GET" else ""
            reason = f"{answer.status_code} {answer.reason}: {said[:300]}"
            raise registry_error(reason, str(self._reference))
        return answer

    def _send(self, method: str, path: str, accept: tuple[str, ...]) -> requests.Response:
        import requests

        headers = {"Accept": ", ".join(accept)} if accept else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        for scheme in list(self._schemes):
            address = f"{scheme}://{self._address}/v2/{self._reference.repository}/{path}"
            try:
                answer = self._session.request(
                    method, address, headers=headers, stream="blobs/" in path,
                    timeout=ANSWER_SECONDS, allow_redirects=True, verify=self._verify,
                )  # fmt: skip
            except requests.RequestException as error:
                if scheme != self._schemes[-1]:
                    continue
                raise registry_error(str(error), str(self._reference)) from error
            self._schemes = [scheme]
            return answer
        raise AssertionError("a registry has at least one scheme")

    def _log_in(self, challenge: str) -> bool:
        """Take the credentials of `docker login` to where a refusal points; False: it is no use."""
        scheme, _, rest = challenge.partition(" ")
        said = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        known = _credentials(self._reference.host)
        if scheme.lower() == "basic":
            self._session.auth = (known.get("username", ""), known.get("password", ""))
            return bool(known.get("username"))
        if scheme.lower() != "bearer" or "realm" not in said:
            return False
        self._token = self._bearer(said, known)
        return self._token is not None

    def _bearer(self, said: Mapping[str, str], known: Mapping[str, str]) -> str | None:
        import requests

        is_same = urlsplit(said["realm"]).netloc == self._address
        options: dict[str, Any] = {
            "timeout": ANSWER_SECONDS, "verify": self._verify if is_same else True,
        }  # fmt: skip
        asked = {name: said[name] for name in ("service", "scope") if name in said}
        try:
            if identity := known.get("identitytoken"):
                form = {
                    **asked, "grant_type": "refresh_token", "refresh_token": identity,
                    "client_id": "trainbox",
                }  # fmt: skip
                answer = self._session.post(said["realm"], data=form, **options)
            else:
                name = known.get("username")
                login = (name, known.get("password", "")) if name else None
                answer = self._session.get(said["realm"], params=asked, auth=login, **options)
            document = answer.json() if answer.ok else {}
        except requests.RequestException as error:
            raise registry_error(str(error), str(self._reference)) from error
        token: str | None = document.get("token") or document.get("access_token")
        return token


def _authority(host: str) -> str | bool:
    """Return the certificates that the engine trusts this registry by, or the usual ones."""
    found = sorted((CERTIFICATES / host).glob("*.crt"))
    return str(found[0]) if found else True


def _credentials(host: str) -> dict[str, str]:
    from docker.auth import load_config
    from docker.errors import DockerException

    try:
        found = load_config().resolve_authconfig(host) or {}
        return {name.lower(): value for name, value in found.items()}  # a store writes capitals
    except DockerException as error:
        raise registry_error(str(error), host) from error


def _checked_document(content: bytes, headers: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return digest and content of a manifest; the registry's own word on it must agree."""
    digest = _sha256(content)
    _require(headers.get("Docker-Content-Digest", digest) == digest, digest)
    document: dict[str, Any] = json.loads(content)
    return digest, document


def _blob(entry: Mapping[str, Any]) -> Blob:
    return Blob(digest=entry["digest"], size=entry["size"], media_type=entry["mediaType"])


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _require(is_so: bool, digest: str) -> None:
    if not is_so:
        raise BackendError(
            id="registry-damaged",
            what=f"what the registry holds as {digest} is absent, cut off or something else",
            why="whoever pulls this image would get another one, or none",
            fix="push again; if it stays so, look at the registry's storage",
        )

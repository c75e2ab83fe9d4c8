"""An image's name at a registry, as `docker pull` takes it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.errors import BackendError

HUB = "docker.io"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image's name, as `docker pull` takes it."""

    host: str  # of the registry, with its port
    repository: str  # within the registry
    tag: str  # or a digest

    @property
    def name(self) -> str:
        """Host and repository, without the tag."""
        return f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        return f"{self.name}{'@' if ':' in self.tag else ':'}{self.tag}"


def parse_reference(text: str) -> Reference:
    """Split `host/name[:tag][@digest]`; without a host it is Docker Hub's.

    Raises:
        BackendError: it is not an image's name.
    """
    from docker.auth import resolve_repository_name
    from docker.errors import DockerException
    from docker.utils import parse_repository_tag

    name, tag = parse_repository_tag(text)
    try:
        host, repository = resolve_repository_name(name)
    except DockerException as error:
        raise _bad_name(text) from error
    if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w.-]+)?", repository):
        raise _bad_name(text)
    if host == HUB and "/" not in repository:
        repository = f"library/{repository}"
    repository, _, beside_digest = repository.partition(":")  # name:tag@digest: the digest decides
    return Reference(host=host, repository=repository, tag=tag or beside_digest or "latest")


def is_plain(host: str, info: Mapping[str, Any]) -> bool:
    """Tell whether the engine would speak to a registry without TLS, by its `docker info`."""
    config = info.get("RegistryConfig") or {}
    known = (config.get("IndexConfigs") or {}).get(host)
    if known is not None:
        return known.get("Secure") is False
    address = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if address == "localhost":
        return True
    try:
        number = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return any(
        number in ipaddress.ip_network(each) for each in config.get("InsecureRegistryCIDRs") or ()
    )


def _bad_name(text: str) -> BackendError:
    return BackendError(
        id="registry-bad-name",
        what=f"`{text}` is not the name of an image",
        why="a registry takes lower-case names, such as registry.example/team/trainbox",
        fix="write it as `docker pull` takes it",
    )

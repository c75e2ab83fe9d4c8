"""Names of images, and registries that are spoken to without TLS."""

from __future__ import annotations

import pytest

from runner.container.reference import is_plain, parse_reference
from runner.errors import BackendError


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag"),
    [
        ("ubuntu", "docker.io", "library/ubuntu", "latest"),
        ("team/n:1", "docker.io", "team/n", "1"),
        ("r.example:5000/team/n:1.0-cpu", "r.example:5000", "team/n", "1.0-cpu"),
        ("localhost/n@sha256:ab", "localhost", "n", "sha256:ab"),
        ("r.example/n:1@sha256:ab", "r.example", "n", "sha256:ab"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, host: str, repository: str, tag: str) -> None:
    """Host, repository and tag; without a host it is Docker Hub's."""
    found = parse_reference(text)
    assert (found.host, found.repository, found.tag) == (host, repository, tag)


@pytest.mark.parametrize("text", ["https://r.example/n", "r.example/Team/N", "r.example/", "-x/n"])
def test_what_is_no_name_is_refused(text: str) -> None:
    """Before anything is asked."""
    with pytest.raises(BackendError, match="registry-bad-name"):
        parse_reference(text)


def test_plain_http_is_spoken_where_the_engine_would() -> None:
    """On loopback, and where daemon.json says so."""
    info = {
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8", "10.1.0.0/16"],
            "IndexConfigs": {"in.example": {"Secure": False}, "docker.io": {"Secure": True}},
        }
    }
    plain = {"127.0.0.1:5000", "localhost:5000", "10.1.2.3", "in.example"}
    secure = {"docker.io", "r.example:5000", "10.2.0.1:5000"}
    assert {host for host in plain | secure if is_plain(host, info)} == plain

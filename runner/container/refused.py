"""What registries, and engines that speak to them, say against a push or a pull; with the fix."""

from __future__ import annotations

import re

from runner.container.failures import Failure
from runner.errors import BackendError

FAILURES = (  # the first that is found decides
    Failure(
        pattern=r"no space left|insufficient storage|507 |quota",
        id="registry-no-space",
        what="the registry has no room for the image",
        why="its storage is full, or your quota is used up",
        fix="remove old tags there (the registry's own tool, then its garbage collection)",
    ),
    Failure(
        pattern=r"server gave HTTP response to HTTPS client|WRONG_VERSION_NUMBER|record too long",
        id="registry-insecure",
        what="the registry speaks plain HTTP, and the engine wants TLS",
        why="on the way, anybody could put another image in the place of this one",
        fix='give the registry a certificate; or add "insecure-registries": ["HOST:PORT"] to '
        "/etc/docker/daemon.json and restart Docker",
    ),
    Failure(
        pattern=r"x509|CERTIFICATE_VERIFY_FAILED|certificate signed by unknown|SSLError",
        id="registry-certificate",
        what="the registry's certificate is not trusted",
        why="it is signed by an authority that this machine does not know, or for another name",
        fix="put the authority's certificate into /etc/docker/certs.d/HOST:PORT/ca.crt",
    ),
    Failure(
        pattern=r"unauthorized|no basic auth credentials|denied|40[13] |authentication required"
        r"|[Cc]redentials store",
        id="registry-no-login",
        what="the registry does not let you in, or not into this repository",
        why="no login is known here for it, or this one may not do that",
        fix="docker login HOST; then check the name of the repository and your rights to it",
    ),
    Failure(
        pattern=r"connection refused|no such host|NameResolution|timeout|timed out|Max retries"
        r"|network is unreachable|no route to host|EOF|reset by peer|Bad Gateway|50[234] ",
        id="registry-no-answer",
        what="the registry does not answer",
        why="its name or port is wrong, it is down, or a firewall or proxy stands in between",
        fix="check the name (host:port/name) and the network; the engine has a proxy of its own: "
        "`docker info`",
    ),
    Failure(
        pattern=r"500 |blob upload unknown|unknown error",
        id="registry-broken",
        what="the registry fails by itself",
        why="it names no reason; most often its disk is full",
        fix="look at its log and its disk, then the same command again sends what is missing",
    ),
    Failure(
        pattern=r"manifest unknown|not found|does not exist|404 ",
        id="registry-no-image",
        what="the registry has no image of that name",
        why="a tag that was never pushed, a misspelt name, or a repository without a login",
        fix="check name and tag; a private repository wants `docker login HOST`",
    ),
)


# Around the reason urllib3 lays the connection's address in memory and the path it asked for.
WRAPPED = re.compile(r".*\(Caused by \w+\((?:<.*?>, |[\"']?\w+\([^)]*\): )?[\"']?(.+?)[\"']?\)\)$")


def registry_error(text: str, reference: str) -> BackendError:
    """Return the error for what was said against an exchange with a registry."""
    host = reference.partition("/")[0]
    said = WRAPPED.sub(r"\1", " ".join(text.split()))[:300]
    for failure in FAILURES:
        if re.search(failure.pattern, text, re.IGNORECASE):
            return BackendError(
                id=failure.id,
                what=f"{failure.what}: {said}",
                where=reference,
                why=failure.why,
                fix=failure.fix.replace("HOST:PORT", host).replace("HOST", host),
            )
    return BackendError(
        id="registry-failed",
        what=f"the exchange with the registry failed: {said}",
        where=reference,
        why="the image is not there whole; a tag appears only with its last layer",
        fix="the same command again sends what is missing; else look at the registry's log",
    )

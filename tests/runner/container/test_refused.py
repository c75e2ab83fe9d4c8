"""What registries and engines say against a push, word for word, and what becomes of it."""

from __future__ import annotations

import pytest

from runner.container.refused import registry_error


@pytest.mark.parametrize(
    ("said", "id"),
    [
        # Docker 20.10 with docker-registry 2.8.2
        ("no basic auth credentials", "registry-no-login"),
        ("unauthorized: authentication required", "registry-no-login"),
        ("denied: requested access to the resource is denied", "registry-no-login"),
        (
            'Get "https://172.17.0.1:5000/v2/": http: server gave HTTP response to HTTPS client',
            "registry-insecure",
        ),
        (
            'Get "https://172.17.0.1:5000/v2/": x509: certificate signed by unknown authority',
            "registry-certificate",
        ),
        (
            'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
            "registry-no-answer",
        ),
        (
            'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: no such host',
            "registry-no-answer",
        ),
        ("received unexpected HTTP status: 500 Internal Server Error", "registry-broken"),
        ("blob upload unknown", "registry-broken"),
        ("manifest for example/a:1 not found: manifest unknown", "registry-no-image"),
        ("write /data: no space left on device", "registry-no-space"),
        # requests, on the same registries
        (
            "HTTPSConnectionPool(host='172.17.0.1', port=5000): Max retries exceeded with url: "
            "/v2/a/manifests/1 (Caused by SSLError(SSLError(1, '[SSL: WRONG_VERSION_NUMBER] "
            "wrong version number')))",
            "registry-insecure",
        ),
        (
            "HTTPSConnectionPool(host='172.17.0.1', port=5000): Max retries exceeded with url: "
            "/v2/a/manifests/1 (Caused by SSLError(SSLCertVerificationError(1, '[SSL: "
            "CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate')))",
            "registry-certificate",
        ),
        ("401 Unauthorized: {\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}", "registry-no-login"),
        ("a word of its own", "registry-failed"),
    ],
)  # fmt: skip
def test_a_refusal_has_its_reason(said: str, id: str) -> None:
    """Each cause has its error, which quotes what was said and names registry and image."""
    error = registry_error(said, "registry.example:5000/team/trainbox:1")
    quoted = error.what.partition(": ")[2]
    assert error.id == id and quoted and quoted in said
    assert str(error.where).startswith("registry.example:5000/")
    assert "HOST" not in error.fix


@pytest.mark.parametrize(
    ("around", "reason"),
    [
        ("NameResolutionError(\"HTTPSConnection(host='a.example', port=443): Failed to resolve "
         "'a.example' ([Errno -2] Name or service not known)\")",
         "Failed to resolve 'a.example' ([Errno -2] Name or service not known)"),
        ("ConnectTimeoutError(<HTTPSConnection(host='a.example', port=443) at 0x7f>, 'Connection "
         "to a.example timed out. (connect timeout=10)')",
         "Connection to a.example timed out. (connect timeout=10)"),
        ("SSLError(SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number'))",
         "SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number')"),
    ],
)  # fmt: skip
def test_the_reason_is_quoted_without_what_a_library_lays_around_it(
    around: str, reason: str
) -> None:
    """No address in memory, no path of the registry's interface: the last word on the cause."""
    said = f"HTTPSConnectionPool(host='a.example', port=443): Max retries (Caused by {around})"
    assert registry_error(said, "a.example/n:1").what.endswith(f": {reason}")

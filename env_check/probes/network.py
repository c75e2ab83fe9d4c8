"""What training would reach; contacts nothing unless asked, and never shows a token."""

from __future__ import annotations

import re

from env_check.facts import Network
from env_check.privacy import public_url
from env_check.system import System

HUB = "https://huggingface.co"
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def probe(system: System) -> Network:
    """Return the settings alone."""
    source = token_source(system)
    proxies = tuple(name for name in PROXIES if system.variable(name))
    bad = tuple(
        name
        for name in proxies
        if not re.match(r"(https?|socks\w*)://[^\s/]+", system.variable(name) or "")
    )
    offline = (system.variable("HF_HUB_OFFLINE") or "").upper() in ("1", "ON", "YES", "TRUE")
    return Network(
        hub=public_url(system.variable("HF_ENDPOINT") or HUB),
        is_offline=offline,
        has_token=bool(source),
        token_source=source,
        proxies=proxies,
        bad_proxies=bad,
        tracking_uri=public_url(system.variable("MLFLOW_TRACKING_URI") or ""),
    )


def token_source(system: System) -> str:
    """Return where a hub token comes from, empty where there is none."""
    for name in TOKENS:
        if system.variable(name):
            return name
    home = system.variable("HF_HOME") or f"{system.home()}/.cache/huggingface"
    path = system.variable("HF_TOKEN_PATH") or f"{home}/token"
    return "token file" if (system.read(path) or "").strip() else ""

"""What training would reach; contacts nothing unless asked, and never shows a token."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Optional

from env_check.facts import Known, Network, Requirements, Unknown
from env_check.inference import needs_hub
from env_check.privacy import public_url
from env_check.system import Answer, System

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


def ask(
    system: System,
    network: Network,
    requirements: Optional[Requirements],
    *,
    is_asked: bool = True,
) -> Network:
    """Return the settings with the answers of hub, token, model and tracking server.

    Args:
        requirements: the job's wishes, if there is one.
        is_asked: ask the hub even where the job wants nothing of it.
    """
    wants = requirements or Requirements()
    if wants.tracking_uri:
        uri = "" if wants.tracking_uri == "none" else public_url(wants.tracking_uri)
        network = replace(network, tracking_uri=uri)
    if network.tracking_uri.startswith("http"):
        answer = system.get(f"{network.tracking_uri.rstrip('/')}/health")
        network = replace(network, tracking_answer=_in_words(answer))
    if network.is_offline or not (is_asked or needs_hub(wants)):
        return network
    token = token_value(system)
    who = system.get(f"{network.hub}/api/whoami-v2", token=token)
    network = replace(
        network,
        # A mirror may know no accounts and say 404: it has answered.
        hub_answer="ok" if who.status and who.status < 500 else _in_words(who),
        token_answer=_token_answer(who, token),
        clock_skew_seconds=_skew(who),
    )
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", wants.model)
    if is_hub_id and wants.needs_download and network.hub_answer == "ok":
        page = f"{network.hub}/{wants.model}/resolve/main/config.json"
        # A refused token would hide what the model says to everybody.
        usable = token if network.token_answer == "ok" else ""
        network = replace(network, model_answer=_model_answer(system.get(page, token=usable)))
    return network


def token_value(system: System) -> str:
    """Return the token itself; it goes into one request header and nowhere else."""
    source = token_source(system)
    if source != "token file":
        return (system.variable(source) or "").strip() if source else ""
    home = system.variable("HF_HOME") or f"{system.home()}/.cache/huggingface"
    return (system.read(system.variable("HF_TOKEN_PATH") or f"{home}/token") or "").strip()


def _in_words(answer: Answer) -> str:
    if answer.status is None:
        return answer.problem
    return "ok" if answer.status < 400 else f"HTTP {answer.status}"


def _token_answer(who: Answer, token: str) -> Known[str]:
    if not token:
        return Unknown("not asked")
    if who.status == 200:
        return "ok"
    return "refused" if who.status == 401 else Unknown(_in_words(who))


def _model_answer(answer: Answer) -> Known[str]:
    if answer.status in (401, 403):
        return "gated"
    if answer.status == 404:
        return "not found"
    return "ok" if answer.status and answer.status < 400 else Unknown(_in_words(answer))


def _skew(answer: Answer) -> Known[float]:
    """Return this machine's clock minus the server's, in seconds."""
    if not answer.date:
        return Unknown("the server sent no date")
    from email.utils import parsedate_to_datetime  # 15 ms that a plain check does not need

    try:
        return round(answer.received - parsedate_to_datetime(answer.date).timestamp(), 1)
    except (TypeError, ValueError):
        return Unknown("the server's date is not readable")

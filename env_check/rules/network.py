"""NET: hub, token, tracking server, proxies and the clock; most are known only when asked."""

from __future__ import annotations

from typing import Optional

from env_check.facts import Facts, known
from env_check.findings import Layer
from env_check.inference import needs_hub
from env_check.remedies import sudo
from env_check.rules.rule import Verdict, fault, rule, warning

HUB_DOCS = "huggingface_hub documentation, environment variables"
MAX_SKEW_SECONDS = 300.0


@rule("NET901", Layer.NETWORK, source=HUB_DOCS, cause_id="hf_hub_unreachable")
def hub_unreachable(facts: Facts) -> Optional[Verdict]:
    """The hub was asked and does not answer; a fault where the job has something to download."""
    answer = known(facts.network.hub_answer, "ok")
    if answer == "ok" or "certificate" in answer:
        return None
    return (fault if needs_hub(facts.requirements) else warning)(
        f"{facts.network.hub} does not answer",
        evidence=(f"answer: {answer}", f"proxies: {', '.join(facts.network.proxies) or 'none'}"),
        why="models and data sets come from there; what is in the cache still works",
        fix=(
            f"curl -sSI {facts.network.hub}   (what the network says)",
            "behind a proxy: export HTTPS_PROXY=http://host:port",
            "with a mirror: export HF_ENDPOINT=https://…",
            "offline: export HF_HUB_OFFLINE=1 (the cache must hold the model)",
        ),
        verify=f"`curl -sSI {facts.network.hub}` prints HTTP/2 200",
    )


@rule("NET902", Layer.NETWORK, source=HUB_DOCS, cause_id="hf_token_invalid")
def token_refused(facts: Facts) -> Optional[Verdict]:
    """The hub refuses the token: expired, revoked or cut off while copying."""
    if known(facts.network.token_answer, "ok") != "refused":
        return None
    return fault(
        "the hub refuses the token",
        evidence=f"token from: {facts.network.token_source}; answer: 401",
        why="a refused token is worse than none: even public models are then refused",
        fix=(
            "make a new one: https://huggingface.co/settings/tokens (read access)",
            f"put it into {facts.network.token_source}, or unset that",
        ),
        verify="`hf auth whoami` prints an account",
    )


@rule(
    "NET903", Layer.NETWORK, source="MLflow documentation", cause_id="tracking_server_unreachable"
)
def tracking_unreachable(facts: Facts) -> Optional[Verdict]:
    """The tracking server was asked and does not answer; training goes on without it."""
    answer = known(facts.network.tracking_answer, "ok")
    if answer == "ok":
        return None
    return warning(
        "the MLflow server does not answer",
        evidence=f"{facts.network.tracking_uri}: {answer}",
        why="the run keeps its own journal and is not stopped; MLflow stays empty until it is sent",
        fix=("trainbox up", "trainbox sync RUN   (afterwards, sends what is missing)"),
        verify=f"`curl {facts.network.tracking_uri}/health` prints OK",
    )


@rule("NET904", Layer.NETWORK, source="curl and requests documentation, proxies")
def bad_proxy(facts: Facts) -> Optional[Verdict]:
    """A proxy variable whose value is no address."""
    names = facts.network.bad_proxies
    if not names:
        return None
    return fault(
        f"{names[0]} is set and is no address",
        evidence=tuple(f"{name}: not of the form http://host:port" for name in names),
        why="every download ends with a proxy error",
        fix=tuple(f"unset {name}   (or export {name}=http://host:port)" for name in names),
        verify="`env | grep -i proxy` shows addresses alone",
    )


@rule("NET905", Layer.NETWORK, source="https://github.com/huggingface/huggingface_hub/issues/1049")
def certificate(facts: Facts) -> Optional[Verdict]:
    """The hub's certificate is not trusted: a company proxy opens the connection."""
    answer = known(facts.network.hub_answer, "ok")
    if "certificate" not in answer:
        return None
    return fault(
        "the certificate of the hub is not trusted here",
        evidence=f"{facts.network.hub}: {answer}",
        why="a proxy that opens TLS signs with a certificate of its own",
        fix=(
            "export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "
            "REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
            "put the company's certificate there first (update-ca-certificates)",
        ),
        verify=f"`curl -sSI {facts.network.hub}` prints HTTP/2 200",
    )


@rule("NET906", Layer.NETWORK, source="RFC 5280: certificates have a time")
def clock(facts: Facts) -> Optional[Verdict]:
    """The clock is more than five minutes off."""
    skew = known(facts.network.clock_skew_seconds, 0.0)
    if abs(skew) <= MAX_SKEW_SECONDS:
        return None
    return warning(
        f"the clock is {abs(skew) / 60:.0f} minutes {'ahead' if skew > 0 else 'behind'}",
        evidence=f"this machine minus the server: {skew:+.0f} s",
        why="certificates and tokens are refused, and the times of runs are wrong",
        fix=f"{sudo(facts)}hwclock -s"
        if facts.host.wsl
        else f"{sudo(facts)}timedatectl set-ntp true",
        verify="`date -u` shows the right time",
    )


@rule(
    "NET907",
    Layer.NETWORK,
    source="huggingface_hub, gated models",
    cause_id="gated_model_no_access",
)
def gated(facts: Facts) -> Optional[Verdict]:
    """The hub knows the token, and its account has no access to the job's model."""
    if known(facts.network.model_answer, "ok") != "gated" or not facts.network.has_token:
        return None
    model = facts.requirements.model if facts.requirements else ""
    return fault(
        f"the account has no access to {model}",
        evidence=f"{model}: 403, token from {facts.network.token_source}",
        why="the owner asks for consent before a download",
        fix=(f"accept the conditions at {facts.network.hub}/{model}", "then run fetch again"),
        verify=f"`hf download {model} config.json` ends quietly",
    )


@rule("NET908", Layer.NETWORK, source="huggingface_hub, gated models", cause_id="hf_token_missing")
def token_missing(facts: Facts) -> Optional[Verdict]:
    """The job's model needs a token and there is none."""
    wants = facts.requirements
    refused = known(facts.network.model_answer, "ok") == "gated"
    if wants is None or facts.network.has_token or not (wants.needs_token or refused):
        return None
    return fault(
        f"there is no token for {wants.model}",
        evidence="HF_TOKEN: not set; token file: none",
        why="the model is gated or private, or its name is misspelt: the hub says no more "
        "to somebody without a token",
        fix=(
            "export HF_TOKEN=…   (https://huggingface.co/settings/tokens, read access)",
            "or: hf auth login",
            "or correct model.name_or_path",
        ),
        verify="`hf auth whoami` prints an account",
    )


@rule("NET909", Layer.NETWORK, source=HUB_DOCS, cause_id="hf_hub_unreachable")
def offline(facts: Facts) -> Optional[Verdict]:
    """HF_HUB_OFFLINE is set and the job has a model or data to get from the hub."""
    wants = facts.requirements
    if wants is None or not needs_hub(wants) or not facts.network.is_offline:
        return None
    thing = wants.model if wants.needs_download else "the job's data"
    return fault(
        f"HF_HUB_OFFLINE forbids downloading {thing}",
        evidence=("HF_HUB_OFFLINE: set", f"{thing}: not in the cache"),
        why="offline mode reads the cache alone",
        fix=("unset HF_HUB_OFFLINE", "or copy the cache from a machine that has it"),
        verify="`trainbox fetch JOB` ends quietly",
    )


@rule("NET910", Layer.NETWORK, source="huggingface_hub, resolve of a file")
def no_such_model(facts: Facts) -> Optional[Verdict]:
    """The hub has no model of the job's name, or none without a token that may see it."""
    if known(facts.network.model_answer, "ok") != "not found" or facts.requirements is None:
        return None
    model = facts.requirements.model
    seen = "with" if facts.network.has_token else "without"
    return fault(
        f"the hub has no model {model}",
        evidence=f"{facts.network.hub}/{model}: 404, asked {seen} a token",
        why="nothing can be trained; a private model is hidden from those who may not see it",
        fix=("correct model.name_or_path", "if it is private: hf auth login"),
        verify=f"`hf download {model} config.json` ends quietly",
    )

"""What messages of the hub, the ranks and the disks mean in this text."""

from __future__ import annotations

import re

from env_check.explain.evidence import Found, lines_of
from env_check.explain.meanings.meaning import Judgement, Meaning
from env_check.explain.report import Report
from env_check.explain.signatures import BY_ID as SIGNATURE


def _no_token(report: Report, found: Found) -> Judgement:
    """A program that was given no model asks the hub for a repository `None`."""
    lines = lines_of(found, "token-401") + lines_of(found, "token-asked")
    return ("hf_token_missing", 0.2) if "huggingface.co/none/" in lines else None


_HUB_FAILURES = (
    "hub-connect", "hub-network", "hub-failed", "hub-dns", "hub-broken", "hub-server",
    "download-failed", "notebook-login",
)  # fmt: skip


def _unless_mended(id: str) -> Meaning:
    """A request that a later line shows answered was repeated with success: no fault."""
    cause_id = SIGNATURE[id].cause_id

    def judge(report: Report, found: Found) -> Judgement:
        went_on = found.get("goes-on", [])
        is_mended = went_on and went_on[-1].line > found[id][-1].line
        return (cause_id, 0.2) if is_mended else None

    return judge


def _wandb(report: Report, found: Found) -> Judgement:
    """Its client says when the connection is back."""
    return ("tracking_server_unreachable", 0.2) if "wandb-back" in found else None


def _proxy(report: Report, found: Found) -> Judgement:
    return ("tracking_server_unreachable", 0.6) if "tracker-named" in found else None


def _forbidden(report: Report, found: Found) -> Judgement:
    return ("hf_token_invalid", 0.6) if "token-bad" in found else None


def _gated(report: Report, found: Found) -> Judgement:
    if "token-bad" in found:
        return "hf_token_invalid", 0.6
    return ("hf_token_missing", 0.6) if {"token-401", "token-none"} & found.keys() else None


def _password(report: Report, found: Found) -> Judgement:
    if "whoami" in found:
        return "hf_token_invalid", 0.9
    if {"repo-404", "token-401"} & found.keys():
        return "hf_token_missing", 0.75
    return None


def _repository(report: Report, found: Found) -> Judgement:
    if {"hub-connect", "hub-network"} & found.keys():
        return "hf_hub_unreachable", 0.6
    return None


def _needs_apple(report: Report, found: Found) -> Judgement:
    """What asks for CUDA on a Mac cannot be mended by another version."""
    line = lines_of(found, "hf-required") + lines_of(found, "cuda-home")
    if report.platform == "macos" and ("bitsandbytes" in line or "cuda_home" in line):
        return "no_nvidia_gpu", 0.9
    return None


_HF_CALLEE = re.compile(
    r"(?:accelerator\S{0,30}|trainingarguments|\w{0,20}trainer|dataloaderconfiguration|"
    r"(?:sft|dpo|grpo|ppo|kto|orpo|rm|lora|peft|bitsandbytes|dataloader)\w{0,20}config\w*)"
    r"(?:\.__init__|\.\w+)?\(\) (?:got an unexpected|takes \d|missing \d)|"
    r"keyword argument '(?:load_in_[48]bit|use_flash_attention_2|attn_implementation|"
    r"quantization_config|torch_dtype|dtype|keep_torch_compile|eval(?:uation)?_strategy|"
    r"processing_class|dispatch_batches|save_function|num_items_in_batch|use_seedable_sampler|"
    r"use_auth_token|cache_position|position_embeddings|logits_to_keep|past_key_values?)'"
)


_HF_SUFFIX = re.compile(
    r"\w(?:plugin|config|arguments|trainer|collator\w*)\.__init__\(\) "
    r"(?:got an unexpected|takes \d|missing \d)"
)


def _keyword(report: Report, found: Found) -> Judgement:
    """Only the packages' own classes and options speak of versions; others of the user's code."""
    lines = lines_of(found, "hf-keyword")
    if _HF_CALLEE.search(lines):
        return "hf_stack_version_conflict", 0.85
    if "hf-packages" in found and _HF_SUFFIX.search(lines):
        return "hf_stack_version_conflict", 0.75
    return None


def _config(report: Report, found: Found) -> Judgement:
    """A configuration of a model lacks what another release of transformers asks for."""
    return ("hf_stack_version_conflict", 0.6) if "hf-packages" in found else None


def _watchdog(report: Report, found: Found) -> Judgement:
    if "p2p-path" in found and "preprocessing" not in found:
        return "nccl_p2p_broken", 0.8
    return None


def _device_assert(report: Report, found: Found) -> Judgement:
    """A NaN in sampling raises the same assert and is no fault of ids or environment."""
    if "prob-tensor" in found and "device-index" not in found:
        return "device_side_assert_token_ids", 0.2
    return None


def _disk(report: Report, found: Found) -> Judgement:
    if {"shm-nccl", "shm-text", "shm-torch-file"} & found.keys():
        return "shm_too_small", 0.93
    return None


def _worker(report: Report, found: Found) -> Judgement:
    """A worker that ended after an error of the program did not miss shared memory."""
    return ("shm_too_small", 0.2) if "own-exception" in found else None


def _bus(report: Report, found: Found) -> Judgement:
    return None if report.is_container or "shm-text" in found else ("shm_too_small", 0.75)


MEANINGS: dict[str, Meaning] = {
    **{id: _unless_mended(id) for id in _HUB_FAILURES},
    "token-401": _no_token,
    "token-asked": _no_token,
    "proxy-refused": _proxy,
    "wandb-network": _wandb,
    "tracker-network": _wandb,
    "gated-403": _forbidden,
    "gated-plain": _gated,
    "token-password": _password,
    "repo-404": _repository,
    "nccl-watchdog": _watchdog,
    "store-timeout": _watchdog,
    "device-assert": _device_assert,
    "disk-full": _disk,
    "hf-required": _needs_apple,
    "cuda-home": _needs_apple,
    "hf-config-attribute": _config,
    "hf-keyword": _keyword,
    "shm-bus": _bus,
    "shm-worker": _worker,
}

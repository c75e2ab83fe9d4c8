"""The job against the configuration of its base model: LoRA targets, length, kind of model."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.errors import Faults, JobError

if TYPE_CHECKING:
    from runner.load import LoadedJob

# Names that older configurations use for the same limit.
POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")

TRAINABLE_QUANTISATIONS = ("bitsandbytes",)


def check_against_model(
    loaded: LoadedJob, config: Mapping[str, Any], module_names: Sequence[str] | None
) -> None:
    """Check a job against its base model's config.json.

    Args:
        loaded: the job and its places.
        config: the parsed config.json.
        module_names: last names of the linear modules; None where the architecture is unknown.

    Raises:
        JobError: the one fault there is.
        Faults: several.
    """
    faults = [
        *_targets(loaded, config, module_names),
        *_length(loaded, config),
        *_kind(loaded, config),
        *_quantised(loaded, config),
    ]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise Faults(faults)


def check_lora_targets(
    loaded: LoadedJob, config: Mapping[str, Any], module_names: Sequence[str] | None
) -> None:
    """Check that every LoRA target matches modules of the model.

    A target matches as in peft: it is the module's name or the end of its path, so `q_proj`,
    `self_attn.q_proj` and `layers.3.self_attn.q_proj` all do. A path is judged by its last name.

    Raises:
        JobError: targets that match nothing, with the names that exist.
    """
    for fault in _targets(loaded, config, module_names):
        raise fault


def _targets(
    loaded: LoadedJob, config: Mapping[str, Any], module_names: Sequence[str] | None
) -> Iterator[JobError]:
    targets = loaded.job.lora.target_modules
    if loaded.job.method == "full" or targets == "all-linear" or module_names is None:
        return
    unknown = [name for name in targets if name.rpartition(".")[2] not in module_names]
    if not unknown:
        return
    near = {name: difflib.get_close_matches(name, module_names, n=1) for name in unknown}
    mended = [near[name][0] if near.get(name) else name for name in targets]
    everyone_has_one = all(near[name] for name in unknown)
    yield JobError(
        id="job-lora-targets",
        what=f"`lora.target_modules` names {', '.join(unknown)}, which "
        f"{config.get('model_type', 'the model')} has not; "
        f"its linear modules are {', '.join(module_names)}",
        where=loaded.where("lora.target_modules"),
        why="an adapter on fewer modules than written trains worse, and nothing would say so",
        fix=f"write `target_modules: [{', '.join(dict.fromkeys(mended))}]`"
        if everyone_has_one
        else "write `target_modules: all-linear`",
    )


def max_positions(config: Mapping[str, Any]) -> int | None:
    """Return the longest sequence a model knows, in tokens; None where it has no limit."""
    text = config.get("text_config")
    if isinstance(text, Mapping) and (inner := max_positions(text)):
        return inner
    limit = next((config[key] for key in POSITION_KEYS if isinstance(config.get(key), int)), None)
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if limit and isinstance(scaling, Mapping) and isinstance(scaling.get("factor"), int | float):
        original = scaling.get("original_max_position_embeddings") or limit
        if isinstance(original, int):
            limit = max(limit, int(original * scaling["factor"]))
    return limit


def _length(loaded: LoadedJob, config: Mapping[str, Any]) -> Iterator[JobError]:
    limit, wanted = max_positions(config), loaded.job.data.max_length
    if limit and wanted > limit:
        yield JobError(
            id="job-max-length",
            what=f"`data.max_length` is {wanted}; the model knows {limit} positions",
            where=loaded.where("data.max_length"),
            why="beyond them it fails, or trains on positions it has never seen",
            fix=f"write `max_length: {limit}` or less",
        )


def _kind(loaded: LoadedJob, config: Mapping[str, Any]) -> Iterator[JobError]:
    names = [str(name) for name in config.get("architectures") or ()]
    generates = any(
        name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")) for name in names
    )
    if config.get("is_encoder_decoder") or (names and not generates):
        kind = names[0] if names else f"{config.get('model_type')}, an encoder-decoder model"
        yield JobError(
            id="job-model",
            what=f"`model.name_or_path` is a {kind}; expected a causal language model",
            where=loaded.where("model.name_or_path"),
            why="SFT and DPO train models that continue a text",
            fix="name a causal model, such as microsoft/Phi-4-mini-instruct",
        )


def _quantised(loaded: LoadedJob, config: Mapping[str, Any]) -> Iterator[JobError]:
    stored = config.get("quantization_config")
    if not isinstance(stored, Mapping):
        return
    how = str(stored.get("quant_method", "unknown"))
    if loaded.job.method == "qlora" and how in TRAINABLE_QUANTISATIONS:
        return
    yield JobError(
        id="job-model",
        what=f"the base model is stored quantised ({how}); `method: {loaded.job.method}` "
        "needs its 16-bit weights",
        where=loaded.where("model.name_or_path"),
        why="weights cannot be quantised twice, and quantised ones are not trained",
        fix="name the model's original, unquantised repository",
    )

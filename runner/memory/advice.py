"""What to change where a run does not fit: single changes, the least harmful first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from runner.memory.architecture import Architecture
from runner.memory.cards import Card
from runner.memory.estimate import estimate
from runner.memory.fit import FITS, judge
from runner.memory.settings import Adapter, Quantization, Settings

FOUR_BIT = Quantization(bits=4, double_quant=True)
SMALL_RANK = 8
SHORT = 256  # tokens; halving less cuts into every sample
LEAST_SAVING = 0.01  # of the peak: what saves less is not worth a line


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of the job."""

    arguments: tuple[str, ...]  # KEY=VALUE, for `--set`
    harm: str
    saved_bytes: int
    is_enough: bool

    @property
    def paste(self) -> str:
        """The change as arguments of a command."""
        return " ".join(f'--set "{argument}"' for argument in self.arguments)


def advise(
    arch: Architecture, settings: Settings, card: Card, *, effective_batch_size: int
) -> list[Change]:
    """Return the changes that help, least harmful first, and last what they do together.

    Args:
        effective_batch_size: samples of an optimiser step, kept by every change.
    """
    before = estimate(arch, settings, card.capability).device_bytes
    changes: list[Change] = []
    together, arguments = settings, list[str]()
    for keys, harm, changed in _single_changes(settings, effective_batch_size):
        found = estimate(arch, changed(settings), card.capability)
        saved = before - found.device_bytes
        if saved < before * LEAST_SAVING:
            continue
        is_enough = judge(found, card.memory_bytes) == FITS
        changes.append(Change(arguments=keys, harm=harm, saved_bytes=saved, is_enough=is_enough))
        if not any(change.is_enough for change in changes):
            together = changed(together)
            arguments += keys
    if len(changes) > 1 and not any(change.is_enough for change in changes):
        found = estimate(arch, together, card.capability)
        changes.append(
            Change(
                arguments=_last_of_each(arguments),
                harm="all of them together",
                saved_bytes=before - found.device_bytes,
                is_enough=judge(found, card.memory_bytes) == FITS,
            )
        )
    return changes


class Edit:
    """Replaces fields of settings."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def __call__(self, settings: Settings) -> Settings:
        return replace(settings, **self.fields)


Changed = tuple[tuple[str, ...], str, Edit]


def _single_changes(settings: Settings, effective_batch_size: int) -> Iterator[Changed]:
    """Yield key=value pairs, what they cost, and the edit; least harmful first."""
    quantization, adapter = settings.quantization, settings.adapter
    if quantization and not quantization.double_quant:
        yield ("quantization.double_quant=true",), "no measurable loss", Edit(quantization=FOUR_BIT)
    if settings.attention == "eager":
        yield ("model.attn_implementation=sdpa",), "none", Edit(attention="masked")
    yield from _smaller_batches(settings, effective_batch_size)
    yield from _more_checkpointing(settings)
    if adapter and adapter.dropout:
        yield ("lora.dropout=0.0",), "no dropout", Edit(adapter=replace(adapter, dropout=0.0))
    if "8bit" not in settings.optimizer:
        yield ("train.optim=adamw_8bit",), "moments in 8 bits", Edit(optimizer="adamw_8bit")
    if settings.method == "qlora" and quantization is None:
        yield ("speed.dense_base=false",), "slower steps", Edit(quantization=FOUR_BIT)
    elif adapter and quantization is None:
        yield ("method=qlora",), "the base in 4 bits", Edit(method="qlora", quantization=FOUR_BIT)
    if adapter and adapter.r > SMALL_RANK:
        halved = replace(adapter, r=adapter.r // 2)
        yield (f"lora.r={halved.r}",), "half the rank", Edit(adapter=halved)
    if adapter is None:
        lora = {
            "adapter": Adapter(r=16, targets=None),
            "weight_itemsize": settings.compute_itemsize,
        }
        yield ("method=lora",), "an adapter instead of all weights", Edit(method="lora", **lora)
        yield (
            ("method=qlora",),
            "an adapter on a 4-bit base",
            Edit(method="qlora", quantization=FOUR_BIT, **lora),
        )
    if settings.length > SHORT:
        half = settings.length // 2
        yield (
            (f"data.max_length={half}", "data.on_too_long=truncate"),
            "longer samples are cut",
            Edit(length=half),
        )


def _more_checkpointing(settings: Settings) -> Iterator[Changed]:
    """Recompute every second layer, or all."""
    key, number = "train.gradient_checkpointing", "train.checkpoint_every_n"
    is_part = settings.checkpointing == "every_n"
    half = Edit(checkpointing="every_n", every_n=2)
    if settings.checkpointing == "off":
        yield (f"{key}=every_n",), "a sixth slower", half
    if is_part and settings.every_n > 2:
        yield (f"{number}=2",), "a sixth slower", half
    if settings.checkpointing != "full":
        # the number has no meaning there, and a job that gives it is refused
        keys = (f"{key}=full", f"{number}=auto") if is_part else (f"{key}=full",)
        yield keys, "a third slower", Edit(checkpointing="full")


def _smaller_batches(settings: Settings, effective_batch_size: int) -> Iterator[Changed]:
    """Halve the micro-batch down to one; accumulation keeps the effective batch."""
    per_sample = 2 if settings.stage == "dpo" else 1
    micro = settings.rows // per_sample
    sizes = [n for n in range(micro - 1, 0, -1) if effective_batch_size % n == 0]
    for size in dict.fromkeys((sizes[0], sizes[-1])) if sizes else ():
        yield (
            (
                f"train.per_device_train_batch_size={size}",
                f"train.gradient_accumulation_steps={effective_batch_size // size}",
            ),
            "same result, more steps in a row",
            Edit(rows=size * per_sample, accumulates=effective_batch_size > size),
        )


def _last_of_each(arguments: list[str]) -> tuple[str, ...]:
    """Return one argument a key: the last."""
    return tuple({argument.partition("=")[0]: argument for argument in arguments}.values())

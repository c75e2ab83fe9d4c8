"""JOB: what a job asks for against what this machine has (`--requirements`)."""

from __future__ import annotations

import re
from typing import Optional

from env_check import remedies, support
from env_check.facts import Device, Facts, Folder, Known, Requirements, Unknown
from env_check.findings import Layer
from env_check.inference import capabilities, card_names, gib, has_gpu
from env_check.rules.rule import Verdict, fault, rule, unseen, warning
from env_check.tables import bitsandbytes_builds

PLAN = "the plan of the job (`trainbox plan`)"
SMALL_MODEL_BYTES = 1 << 30  # the demo's model is a quarter of it, and trains in minutes on a CPU
UNIFIED_MEMORY = ("dgx-spark", "jetson")  # kinds of card that share the machine's memory
GPU_LAYERS = (
    Layer.PLATFORM,
    Layer.HARDWARE,
    Layer.KERNEL_MODULE,
    Layer.DRIVER,
    Layer.CONTAINER,
    Layer.DEVICE,
)


@rule("JOB951", Layer.JOB, source=PLAN, explained_by=GPU_LAYERS)
def too_few_gpus(facts: Facts) -> Optional[Verdict]:
    """The job wants more GPUs than can be used here; a large model on the CPU is a warning."""
    wants, have = facts.requirements, len(facts.gpu.devices)
    if wants is None or wants.num_gpus <= have:
        return None
    falls_back = wants.can_use_cpu and not has_gpu(facts)
    if falls_back and 0 < wants.model_bytes <= SMALL_MODEL_BYTES:
        return None
    evidence = f"resources.gpus: {wants.num_gpus}; usable: {card_names(facts) or 'none'}"
    if falls_back:
        size = f"{gib(wants.model_bytes)} of weights" if wants.model_bytes else "size not known"
        return warning(
            "there is no GPU: the job would train on the CPU",
            evidence=(evidence, f"model: {wants.model} ({size})"),
            why="a step that takes a second on a card takes minutes on a CPU",
            fix="use a machine with a GPU, or a model like that of jobs/demo.yaml",
            verify="`nvidia-smi -L` lists a card",
        )
    return fault(
        f"the job wants {wants.num_gpus} GPU(s), {have or 'none'} can be used",
        evidence=evidence,
        why="the plan was made for that many",
        fix=(f"--set resources.gpus={have}", "or use a machine that has them"),
        verify="`nvidia-smi -L` lists as many",
    )


@rule("JOB952", Layer.JOB, source=PLAN, cause_id="oom_model_too_large")
def device_memory(facts: Facts) -> Optional[Verdict]:
    """The device memory a job needs is more than the card it would get has."""
    wants = facts.requirements
    if wants is None or not wants.device_memory_bytes:
        return None
    meant = [each for each in facts.gpu.devices if _is_meant(each, wants.gpu)]
    if not meant:
        return None  # no card, or not the one asked for: rules of their own
    size = _card_memory(facts, meant[0])
    if isinstance(size, Unknown):
        return unseen(
            "whether the job fits the card is not known",
            evidence=(f"needed: {gib(wants.device_memory_bytes)}", size.reason),
            why="the memory of the card was not printed",
            fix="nvidia-smi --query-gpu=memory.total --format=csv   (run it by hand)",
            verify="`nvidia-smi` prints the memory of the card",
        )
    if wants.device_memory_bytes <= size:
        return None
    return fault(
        f"the job needs {gib(wants.device_memory_bytes)} on a GPU, the card has {gib(size)}",
        evidence=(f"at least: {gib(wants.device_memory_bytes)}", card_names(facts)),
        why="training would end out of memory",
        fix=_smaller(wants),
        verify="`trainbox check --job JOB` reports no JOB952",
    )


def _card_memory(facts: Facts, device: Device) -> Known[int]:
    """Return the memory of a card; one without its own shares the machine's."""
    card = support.gpu(device.name)
    is_unified = card is not None and card.kind in UNIFIED_MEMORY
    is_unread = isinstance(device.memory_total_bytes, Unknown)
    return (
        facts.storage.memory_total_bytes if is_unified and is_unread else device.memory_total_bytes
    )


def _smaller(wants: Requirements) -> tuple[str, ...]:
    """Return what makes a job smaller, the least harmful first."""
    quantise = () if wants.quantization else ("--set method=qlora",)
    return ("--set data.max_length=1024", *quantise, "or a smaller model, or a larger card")


@rule("JOB953", Layer.JOB, source=PLAN, cause_id="oom_host_killed")
def host_memory(facts: Facts) -> Optional[Verdict]:
    """The job needs more main memory than a process may have; on a CPU all of it is there."""
    wants, usable = facts.requirements, facts.storage.usable_memory_bytes
    if wants is None or isinstance(usable, Unknown):
        return None
    on_cpu = not wants.num_gpus or (wants.can_use_cpu and not has_gpu(facts))
    needed = wants.host_memory_bytes + (wants.device_memory_bytes if on_cpu else 0)
    if needed <= usable:
        return None
    limit = " (limit of the container)" if facts.storage.memory_limit_bytes else ""
    return fault(
        f"the job needs {gib(needed)} of memory, there are {gib(usable)}",
        evidence=f"memory for a process: {gib(usable)}{limit}; needed: at least {gib(needed)}",
        why="the kernel kills the process while it loads the model (exit code 137)",
        fix=(
            *((f"docker run --memory {(needed >> 30) + 2}g …",) if limit else ()),
            *((remedies.WSL_MEMORY,) if facts.host.wsl else ()),
            "use a machine with more memory, or a smaller model",
        ),
        verify="`free -h` shows enough",
    )


@rule("JOB954", Layer.JOB, source=PLAN, cause_id="disk_full_cache")
def disk(facts: Facts) -> Optional[Verdict]:
    """The job writes more than a disk has free; folders that share one are added up."""
    wants = facts.requirements
    if wants is None:
        return None
    shares = {
        "hub cache": wants.download_bytes,
        "cache": wants.cache_bytes,
        "runs": wants.run_bytes,
    }
    for free, folders in _file_systems(facts):
        mine = {each.purpose: shares[each.purpose] for each in folders if each.purpose in shares}
        needed = sum(mine.values())
        if needed > free:
            return fault(
                f"the job needs {gib(needed)} of disk, {gib(free)} are free",
                evidence=tuple(
                    f"{each.purpose}: {each.path}: {gib(mine[each.purpose])} to be written"
                    for each in folders
                    if mine.get(each.purpose)
                ),
                why="model, prepared data, checkpoints and adapter are written there",
                fix=tuple(FOLDER_REMEDY[purpose] for purpose, share in mine.items() if share),
                verify="`df -h` shows enough",
            )
    return None


FOLDER_REMEDY = {
    "hub cache": "export HF_HOME=/path/with/room   (models from the hub)",
    "cache": "export TRAINBOX_CACHE=/path/with/room   (prepared data)",
    "runs": "export TRAINBOX_RUNS=/path/with/room, or --set checkpoint.keep=2",
}


def _file_systems(facts: Facts) -> list[tuple[int, list[Folder]]]:
    """Return free bytes and folders of each file system; one of unknown number stands alone."""
    found: dict[object, tuple[int, list[Folder]]] = {}
    for folder in facts.storage.folders:
        if not isinstance(folder.free_bytes, Unknown):
            key = folder.file_system or folder.purpose
            found.setdefault(key, (folder.free_bytes, []))[1].append(folder)
    return list(found.values())


@rule("JOB955", Layer.JOB, source=PLAN, cause_id="shm_too_small")
def shared_memory(facts: Facts) -> Optional[Verdict]:
    """Workers or several ranks with less shared memory than the job asks for."""
    wants, total = facts.requirements, facts.storage.shm_total_bytes
    if wants is None or isinstance(total, Unknown) or total >= wants.shm_bytes:
        return None
    if not (wants.num_workers or wants.num_gpus > 1):
        return None
    return fault(
        f"the job's workers need {gib(wants.shm_bytes)} of shared memory, "
        f"there are {total >> 20} MiB",
        evidence=(f"/dev/shm: {total >> 20} MiB", f"resources.num_workers: {wants.num_workers}"),
        why="workers die with `Bus error … out of shared memory`",
        fix=(
            f"docker run --shm-size={max(1, wants.shm_bytes >> 30)}g …",
            "or --set resources.num_workers=0",
        ),
        verify="`df -h /dev/shm` shows enough",
    )


@rule("JOB956", Layer.JOB, source="torch.cuda.is_bf16_supported", cause_id="bf16_unsupported")
def bfloat16(facts: Facts) -> Optional[Verdict]:
    """The job computes in bfloat16 on a card before Ampere, which only emulates it."""
    wants, low = facts.requirements, _below(facts, "8.0")
    if wants is None or wants.dtype != "bfloat16" or not low:
        return None
    return warning(
        "this card has no bfloat16 of its own",
        evidence=(f"{card_names(facts)}: compute capability {low}", "model.dtype: bfloat16"),
        why="torch emulates it, many times slower; some kernels refuse",
        fix="--set model.dtype=float16",
        verify="`trainbox plan JOB` shows float16",
    )


@rule("JOB957", Layer.JOB, source="torch.amp.GradScaler: for accelerators")
def float16_on_cpu(facts: Facts) -> Optional[Verdict]:
    """The job trains in float16 and would do so on a CPU, which has no gradient scaler for it."""
    wants = facts.requirements
    if wants is None or wants.dtype != "float16" or (wants.num_gpus and has_gpu(facts)):
        return None
    return fault(
        "float16 cannot be trained on a CPU",
        evidence=(f"model.dtype: float16; resources.gpus: {wants.num_gpus}", "GPU: none in use"),
        why="small gradients become zero; `trainbox train` refuses it",
        fix=("--set model.dtype=float32", "or use a machine with a GPU"),
        verify="`trainbox plan JOB` accepts it",
    )


@rule("JOB958", Layer.JOB, source="README of flash-attention: Ampere or newer")
def attention(facts: Facts) -> Optional[Verdict]:
    """The job asks for FlashAttention 2 on a card before Ampere, or where it is not installed."""
    wants, low = facts.requirements, _below(facts, "8.0")
    if wants is None or wants.attention != "flash_attention_2":
        return None
    packages = facts.python.packages
    is_absent = "torch" in packages and "flash-attn" not in packages
    if not low and not is_absent:
        return None
    seen = f"{card_names(facts)}: compute capability {low}" if low else "flash-attn: not installed"
    return fault(
        "FlashAttention 2 does not run here",
        evidence=("model.attn_implementation: flash_attention_2", seen),
        why="the model is not loaded, or the first step fails",
        fix="--set model.attn_implementation=auto   (sdpa has kernels of the same kind)",
        verify="`trainbox plan JOB` shows attn_implementation sdpa",
        cause_id="flash_attn_unsupported_gpu" if low else "",
    )


@rule("JOB959", Layer.JOB, source="bitsandbytes documentation, installation page")
def four_bit(facts: Facts) -> Optional[Verdict]:
    """The job quantises its base to 4 bit on a card that has no kernels for that."""
    floor = bitsandbytes_builds.FEATURES["4-bit"]
    wants, low = facts.requirements, _below(facts, floor)
    if wants is None or not wants.quantization or not low:
        return None
    return fault(
        "4-bit training does not run on this card",
        evidence=(f"{card_names(facts)}: compute capability {low}", f"4-bit kernels from {floor}"),
        why="bitsandbytes has no code for it: `no kernel image is available`",
        fix=("--set method=lora   (16-bit weights, four times the memory)", "or a newer card"),
        verify="`trainbox check --job JOB` reports no JOB959",
    )


@rule("JOB960", Layer.JOB, source=PLAN, explained_by=GPU_LAYERS)
def card_absent(facts: Facts) -> Optional[Verdict]:
    """The job names a card that is not in this machine."""
    wants = facts.requirements
    if wants is None or not wants.gpu:
        return None
    if any(_is_meant(device, wants.gpu) for device in facts.gpu.devices):
        return None
    present = ", ".join(f"{each.index}: {each.name}" for each in facts.gpu.devices)
    if re.match(r"(?:GPU|MIG)-[0-9a-f]", wants.gpu) and facts.gpu.devices:
        return unseen(
            "whether the card the job asks for is here is not known",
            evidence=("resources.gpu: a UUID, of which facts hold none", f"cards: {present}"),
            why="collected facts leave out the serial numbers of cards",
            fix="ask for it by index or name: --set resources.gpu=0",
            verify="`nvidia-smi -L` lists the UUID",
        )
    return fault(
        f"the job asks for the card {wants.gpu}, which is not here",
        evidence=(f"resources.gpu: {wants.gpu}", f"cards: {present or 'none'}"),
        why="training on another card than the one asked for may not fit, or cost more",
        fix="--set resources.gpu=0   (or a name, as `nvidia-smi -L` prints it)",
        verify="`nvidia-smi -L` lists the card",
    )


def _is_meant(device: Device, wanted: str) -> bool:
    return not wanted or wanted == str(device.index) or wanted.lower() in device.name.lower()


@rule("JOB961", Layer.JOB, source="torch.utils.data.DataLoader, its own warning")
def too_many_workers(facts: Facts) -> Optional[Verdict]:
    """The job starts more data workers than there are processors for it."""
    wants, storage = facts.requirements, facts.storage
    usable = min(storage.num_cpus, int(storage.cpu_limit or storage.num_cpus) or 1)
    if wants is None or not storage.num_cpus or wants.num_workers <= usable:
        return None
    return warning(
        f"the job starts {wants.num_workers} data workers on {usable} processor(s)",
        evidence=(f"resources.num_workers: {wants.num_workers}", f"processors: {usable}"),
        why="they take time from each other and from training",
        fix=f"--set resources.num_workers={max(0, usable - 1)}",
        verify="`nproc` prints as many",
    )


def _below(facts: Facts, floor: str) -> str:
    """Return the lowest compute capability here where it is below a floor, else empty."""
    seen = capabilities(facts)
    return seen[0] if seen and support.minor(seen[0]) < support.minor(floor) else ""

"""GPU: what a program sees of the cards, once the driver works."""

from __future__ import annotations

from typing import Optional

from env_check.choose import choose
from env_check.facts import Facts, Unknown, known
from env_check.findings import Layer
from env_check.inference import capabilities, card_names, driver, gib, has_gpu, torch_cuda
from env_check.remedies import sudo, update_driver
from env_check.rules.rule import Verdict, fault, rule, unseen, warning

CUDA_GUIDE = "CUDA C++ Programming Guide, environment variables"
SMI_MANUAL = "nvidia-smi manual"
BELOW = (
    Layer.PLATFORM,
    Layer.HARDWARE,
    Layer.KERNEL_MODULE,
    Layer.DRIVER,
    Layer.CONTAINER,
    Layer.DEVICE,
)
USED_SHARE = 0.25
USED_BYTES = 2 << 30


@rule("GPU301", Layer.DEVICE, source=CUDA_GUIDE, cause_id="cuda_device_index_invalid")
def hidden(facts: Facts) -> Optional[Verdict]:
    """CUDA_VISIBLE_DEVICES hides every GPU: empty, -1, or an index that does not exist."""
    value, devices = facts.gpu.visible_devices, facts.gpu.devices
    if value is None or not devices:
        return None
    first = value.split(",")[0].strip()
    is_hidden = not first or first.startswith("-")
    is_absent = first.isdigit() and int(first) >= len(devices)
    if not is_hidden and not is_absent:
        return None
    return fault(
        "CUDA_VISIBLE_DEVICES hides every GPU",
        evidence=(f'CUDA_VISIBLE_DEVICES="{value}"', f"nvidia-smi lists {len(devices)} GPU(s)"),
        why="CUDA stops reading the list at the first entry it does not know",
        fix=("unset CUDA_VISIBLE_DEVICES", "or export CUDA_VISIBLE_DEVICES=0"),
        verify="`echo $CUDA_VISIBLE_DEVICES` prints nothing, or an index that `nvidia-smi -L` has",
    )


@rule("GPU302", Layer.DEVICE, source=SMI_MANUAL + ", compute mode", cause_id="gpu_exclusive_mode")
def compute_mode(facts: Facts) -> Optional[Verdict]:
    """A GPU whose compute mode is prohibited, or exclusive while another process uses it."""
    for device in facts.gpu.devices:
        used = known(device.memory_used_bytes, 0)
        is_prohibited = device.compute_mode == "Prohibited"
        is_taken = device.compute_mode == "Exclusive_Process" and used > USED_BYTES
        if is_prohibited or is_taken:
            return fault(
                f"GPU {device.index} lets {'no' if is_prohibited else 'only one'} process in",
                evidence=(f"compute mode: {device.compute_mode}", f"memory used: {gib(used)}"),
                why="torch ends with `all CUDA-capable devices are busy or unavailable`",
                fix=f"{sudo(facts)}nvidia-smi -i {device.index} -c DEFAULT",
                verify="`nvidia-smi -q -d COMPUTE` prints Default",
            )
    return None


@rule("GPU303", Layer.DEVICE, source="NVIDIA MIG User Guide")
def mig_without_instance(facts: Facts) -> Optional[Verdict]:
    """MIG is on and the GPU has no instance: CUDA sees no device."""
    for device in facts.gpu.devices:
        if device.mig == "Enabled" and device.mig_instances == 0:
            return fault(
                f"MIG is on for GPU {device.index} and no instance was made",
                evidence="mig.mode: Enabled; `nvidia-smi -L` lists no MIG device",
                why="a GPU in MIG mode is used through its instances alone",
                fix=(
                    f"{sudo(facts)}nvidia-smi -i {device.index} -mig 0   (the whole card)",
                    f"or {sudo(facts)}nvidia-smi mig -i {device.index} -cgi 0 -C   (one instance)",
                ),
                verify="`nvidia-smi -L` lists the card, or a MIG device under it",
            )
    return None


@rule("GPU304", Layer.DEVICE, source=SMI_MANUAL, cause_id="oom_gpu_used_by_other_process")
def memory_in_use(facts: Facts) -> Optional[Verdict]:
    """Another process holds a good part of a GPU's memory."""
    for device in facts.gpu.devices:
        used, total = device.memory_used_bytes, device.memory_total_bytes
        if isinstance(used, Unknown) or isinstance(total, Unknown):
            continue
        if used > USED_BYTES and used > USED_SHARE * total:
            return warning(
                f"another process holds {gib(used)} of {gib(total)} on GPU {device.index}",
                evidence=f"memory used: {gib(used)} of {gib(total)}",
                why="a job that fits the empty card runs out of memory on this one",
                fix=(
                    "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv",
                    "stop that process, or wait for it",
                ),
                verify="`nvidia-smi` shows little memory used",
            )
    return None


@rule(
    "GPU305",
    Layer.DEVICE,
    source="docs: image variants; NVIDIA CUDA Compatibility guide",
    explained_by=BELOW[:-1],
)
def no_variant(facts: Facts) -> Optional[Verdict]:
    """Card and driver are known, and no image variant runs on them."""
    if not has_gpu(facts) or not driver(facts) or not capabilities(facts):
        return None
    choice = choose(facts)
    if choice.variant is not None or not choice.is_decided:
        return None
    is_driver = "driver" in choice.way_out
    return fault(
        "no image variant runs on this card and driver",
        evidence=(
            f"{card_names(facts)}, compute capability {', '.join(capabilities(facts))}",
            f"driver: {driver(facts)}",
            *(f"{each.variant}: {each.reason}" for each in choice.excluded),
        ),
        why="each variant holds code for some cards, and needs a driver of its CUDA version",
        fix=(choice.way_out, *(update_driver(facts) if is_driver else ())),
        verify="`env-check choose` names a variant",
        cause_id="driver_too_old_for_cuda" if is_driver else "gpu_arch_dropped",
    )


@rule("GPU306", Layer.DEVICE, source="docs: unknown is never ok", explained_by=BELOW[:-1])
def capability_unread(facts: Facts) -> Optional[Verdict]:
    """The compute capability of a listed GPU could not be had."""
    for device in facts.gpu.devices:
        if isinstance(device.compute_capability, Unknown):
            return unseen(
                f"the compute capability of {device.name} is not known",
                evidence=device.compute_capability.reason,
                why="it decides which builds have code for the card",
                fix="see https://developer.nvidia.com/cuda-gpus; a newer driver prints it",
                verify="`nvidia-smi --query-gpu=compute_cap --format=csv` prints it",
            )
    return None


@rule("GPU330", Layer.DEVICE, source="torch.cuda.is_available", explained_by=BELOW)
def torch_sees_none(facts: Facts) -> Optional[Verdict]:
    """torch is built for CUDA and will see no GPU on a machine that has one."""
    if not has_gpu(facts) or not torch_cuda(facts):
        return None
    is_fine = facts.gpu.devices and facts.gpu.init_code == 0
    if is_fine and not _is_hidden(facts):
        return None
    code = facts.gpu.init_code
    evidence = (
        f"cuInit: {code.reason if isinstance(code, Unknown) else code}",
        f"nvidia-smi: {facts.gpu.smi}",
    )
    is_seen = facts.gpu.devices and isinstance(code, Unknown) and not _is_hidden(facts)
    return (unseen if is_seen else fault)(
        "whether torch can use the GPU is not known"
        if is_seen
        else "torch sees no GPU (torch.cuda.is_available() is False)",
        evidence=evidence,
        why="training would run on the CPU, or refuse to start",
        fix="env-check --deep   (shows what torch itself says)",
        verify='`python -c "import torch; print(torch.cuda.is_available())"` prints True',
    )


def _is_hidden(facts: Facts) -> bool:
    return hidden.check(facts) is not None

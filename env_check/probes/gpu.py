"""Cards on the bus, the kernel module, device nodes, libcuda, nvidia-smi and cuInit."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Optional

from env_check.facts import Device, Gpu, Known, PciCard, Unknown
from env_check.system import Output, System

VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
MODULES = ("nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm", "nouveau", "nova_core")
NODES = r"nvidia\d+|nvidiactl|nvidia-uvm|dxg"
LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
    "/run/opengl-driver/lib",  # NixOS
)
WSL_LIBRARIES = "/usr/lib/wsl/lib"
FIELDS = "index,name,driver_version,memory.total,memory.used,compute_mode,mig.mode.current"
MIB = 1 << 20
KERNEL_LOG_LINES = 8


@dataclass(frozen=True)
class Smi:
    """What nvidia-smi said."""

    state: str
    driver_version: Known[Optional[str]] = None
    devices: tuple[Device, ...] = ()


def probe(system: System) -> Gpu:
    """Return the GPU side of the machine; what takes a process runs side by side."""
    cards, has_nvswitch = pci_cards(system)
    module_version, module_is_open = kernel_module(system)
    nodes = device_nodes(system)
    versions, folders = libcuda(system)
    has_wsl_libcuda = system.exists(f"{WSL_LIBRARIES}/libcuda.so.1")
    has_card = any(card.vendor == "nvidia" for card in cards)
    has_traces = bool(has_card or module_version or nodes or versions or has_wsl_libcuda)
    with ThreadPoolExecutor(max_workers=4) as pool:
        smi = pool.submit(nvidia_smi, system)
        init = pool.submit(cuda_init, system, has_traces)
        on_disk = pool.submit(module_on_disk, system, has_card and not module_version)
        log = pool.submit(kernel_log, system, has_card or bool(module_version))
        fabric = pool.submit(fabric_manager, system, has_nvswitch)
    listed = smi.result()
    code, cuda_version, compat = init.result()
    return Gpu(
        cards=cards,
        module_version=module_version,
        module_is_open=module_is_open,
        modules=loaded_modules(system),
        module_on_disk=on_disk.result(),
        nodes=nodes,
        libcuda=versions,
        libcuda_folders=folders,
        compat_folders=(compat,) if compat else (),
        has_wsl_libcuda=has_wsl_libcuda,
        smi=listed.state,
        driver_version=listed.driver_version,
        cuda_version=cuda_version,
        devices=listed.devices,
        init_code=code,
        has_nvswitch=has_nvswitch,
        fabric_manager=fabric.result(),
        kernel_log=log.result(),
        visible_devices=_without_ids(system.variable("CUDA_VISIBLE_DEVICES")),
        container_devices=_without_ids(system.variable("NVIDIA_VISIBLE_DEVICES")),
        container_capabilities=system.variable("NVIDIA_DRIVER_CAPABILITIES"),
    )


SERIAL = re.compile(r"(?:GPU|MIG)-[0-9a-f]{4}")


def _without_ids(value: Optional[str]) -> Optional[str]:
    """Return a list of devices with the serial part of each name cut off."""
    return None if value is None else re.sub(r"\b(GPU|MIG)-[\w-]+", r"\1-…", value)


def pci_cards(system: System) -> tuple[tuple[PciCard, ...], bool]:
    """Return the display and compute controllers, and whether there is an NVSwitch."""
    cards, has_nvswitch = [], False
    root = "/sys/bus/pci/devices"
    for address in system.list_folder(root) or ():
        kind = (system.read(f"{root}/{address}/class") or "").strip()
        vendor_id = (system.read(f"{root}/{address}/vendor") or "").strip()
        if kind.startswith("0x0680") and vendor_id == "0x10de":
            has_nvswitch = True
        if not kind.startswith(("0x0300", "0x0302", "0x0380", "0x1200")):
            continue
        link = f"{root}/{address}/driver"
        cards.append(
            PciCard(
                vendor=VENDORS.get(vendor_id, vendor_id),
                device_id=(system.read(f"{root}/{address}/device") or "").strip()[2:],
                memory_bytes=_number(system.read(f"{root}/{address}/mem_info_vram_total")),
                bound_to=os.path.basename(system.real_path(link)) if system.exists(link) else "",
            )
        )
    return tuple(cards), has_nvswitch


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text and text.strip().isdigit() else None


def kernel_module(system: System) -> tuple[Optional[str], Optional[bool]]:
    """Return version and openness of the loaded kernel module, from its own words."""
    text = system.read("/proc/driver/nvidia/version") or ""
    found = re.search(r"NVRM version:.*?(\d{3,}\.\d+(?:\.\d+)?)", text)
    if found:
        return found.group(1), "Open Kernel Module" in text
    version = (system.read("/sys/module/nvidia/version") or "").strip()
    return (version or None), None


def loaded_modules(system: System) -> tuple[str, ...]:
    text = system.read("/proc/modules") or ""
    loaded = {line.split(" ", 1)[0] for line in text.splitlines()}
    return tuple(name for name in MODULES if name in loaded)


def module_on_disk(system: System, is_wanted: bool) -> Known[Optional[str]]:
    """Return the version of the module that is built for the running kernel."""
    if not is_wanted:
        return None
    done = system.run(["modinfo", "-F", "version", "nvidia"], timeout_seconds=2)
    if done.exit_code is None:
        return Unknown(f"modinfo: {done.reason}")
    return done.stdout.strip() or None if done.is_ok else None


def device_nodes(system: System) -> tuple[str, ...]:
    return tuple(name for name in system.list_folder("/dev") or () if re.fullmatch(NODES, name))


def libcuda(system: System) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return versions and folders of the libcuda files that the loader would find by itself."""
    versions, folders = set(), []
    for folder in LIBRARY_FOLDERS:
        names = [
            name
            for name in system.list_folder(folder) or ()
            if re.fullmatch(r"libcuda\.so(\.\d+)*", name)
        ]
        # Debian keeps the file itself in a folder of its alternatives; the name here is a link.
        files = {os.path.basename(system.real_path(f"{folder}/{name}")) for name in names}
        found = {file[len("libcuda.so.") :] for file in files if re.search(r"\.\d{3,}\.\d+", file)}
        if found and system.real_path(folder) not in folders:
            folders.append(system.real_path(folder))
            versions |= found
    return tuple(sorted(versions)), tuple(folders)


def nvidia_smi(system: System) -> Smi:
    """Return driver and devices as nvidia-smi lists them."""
    program = system.find_program("nvidia-smi")
    if program is None and system.exists(f"{WSL_LIBRARIES}/nvidia-smi"):
        program = f"{WSL_LIBRARIES}/nvidia-smi"  # not on the path of every WSL distribution
    if program is None:
        return Smi("absent")
    fields = f"{FIELDS},compute_cap"
    done = _query(system, program, fields)
    if "not a valid field" in done.text:  # drivers before 510 do not know compute_cap
        fields = FIELDS
        done = _query(system, program, fields)
    if not done.is_ok:
        unread = Unknown(f"nvidia-smi: {done.reason}")
        return Smi(done.reason, driver_version=unread)
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    names = fields.split(",")
    records = [
        {name: row[i] for i, name in enumerate(names)} for row in rows if len(row) == len(names)
    ]
    if not records:
        return Smi(done.reason if done.text else "No devices were found")
    instances = _mig_instances(system, program, records)
    return Smi(
        "ok",
        driver_version=records[0]["driver_version"],
        devices=tuple(_device(record, instances) for record in records),
    )


def _query(system: System, program: str, fields: str) -> Output:
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    return system.run(command, timeout_seconds=10)


def _device(record: dict[str, str], instances: dict[int, int]) -> Device:
    index = int(record["index"]) if record["index"].isdigit() else -1
    mig = record["mig.mode.current"]
    return Device(
        index=index,
        name=record["name"],
        memory_total_bytes=_bytes(record["memory.total"]),
        memory_used_bytes=_bytes(record["memory.used"]),
        compute_capability=_capability(record),
        compute_mode=record["compute_mode"].strip("[]"),
        mig=mig if mig in ("Enabled", "Disabled") else "",
        mig_instances=instances.get(index, 0),
    )


def _bytes(mebibytes: str) -> Known[int]:
    return int(mebibytes) * MIB if mebibytes.isdigit() else Unknown(f"nvidia-smi: {mebibytes}")


def _capability(record: dict[str, str]) -> Known[str]:
    from env_check.support import gpu

    value = record.get("compute_cap", "")
    if re.fullmatch(r"\d+\.\d+", value):
        return value
    card = gpu(record["name"])  # an older nvidia-smi has no such field; the name tells
    return card.capability if card else Unknown(f"not printed, and no table has {record['name']}")


def _mig_instances(system: System, program: str, records: list[dict[str, str]]) -> dict[int, int]:
    """Return the number of MIG instances of each GPU that has MIG on."""
    if all(record["mig.mode.current"] != "Enabled" for record in records):
        return {}
    counts: dict[int, int] = {}
    current = -1
    for line in system.run([program, "-L"], timeout_seconds=5).stdout.splitlines():
        found = re.match(r"GPU (\d+):", line)
        if found:
            current = int(found.group(1))
        elif re.match(r"\s+MIG ", line):
            counts[current] = counts.get(current, 0) + 1
    return counts


def card_asked_for(system: System, wanted: str) -> str:
    """Return the index of a card that is given by UUID or CDI name; another name as it is.

    The UUID itself goes no further: facts hold no serial numbers. One that nvidia-smi does not
    list comes back as `GPU-…`, which no card is called.
    """
    device = wanted.rpartition("nvidia.com/gpu=")[2]
    if not SERIAL.match(device):
        return "" if device == "all" else device
    index = ""
    for line in system.run(["nvidia-smi", "-L"], timeout_seconds=5).stdout.splitlines():
        found = re.match(r"GPU (\d+):", line)
        index = found.group(1) if found else index
        if f"(UUID: {device}" in line:  # nvidia-smi and CUDA take the beginning of one too
            return index
    return _without_ids(device) or ""


def cuda_init(
    system: System, is_wanted: bool
) -> tuple[Known[Optional[int]], Known[Optional[str]], str]:
    """Return the code of cuInit, the CUDA API of libcuda, and its folder if a compat one."""
    if not is_wanted:
        return None, None, ""
    from env_check.support import cuda_of_api

    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cuda_init.py")
    done = system.run([system.python().executable, "-S", "-E", script], timeout_seconds=8)
    answer = _json(done.stdout)
    if "absent" in answer:
        return None, None, ""
    code, api = answer.get("code"), answer.get("api")
    if not isinstance(code, int):
        unread = Unknown(f"cuInit in a child process: {done.reason}")
        return unread, unread, ""
    folder = os.path.dirname(system.real_path(str(answer.get("library", ""))))
    compat = folder if "compat" in folder else ""
    return code, cuda_of_api(api) if isinstance(api, int) and api else None, compat


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def fabric_manager(system: System, is_wanted: bool) -> Known[str]:
    if not is_wanted:
        return ""
    done = system.run(["systemctl", "is-active", "nvidia-fabricmanager"], timeout_seconds=2)
    return Unknown(f"systemctl: {done.problem}") if done.problem else done.stdout.strip()


def kernel_log(system: System, is_wanted: bool) -> Known[tuple[str, ...]]:
    """Return the last lines of the kernel log that name an Xid or a module of NVIDIA's card."""
    if not is_wanted:
        return ()
    done = system.run(["dmesg"], timeout_seconds=2)
    if not done.is_ok:
        return Unknown(f"dmesg: {done.reason}")
    lines = [line for line in done.stdout.splitlines() if re.search(r"NVRM|\bXid\b", line)]
    return tuple(line[:300] for line in lines[-KERNEL_LOG_LINES:])

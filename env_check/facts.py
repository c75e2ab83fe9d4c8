"""The frozen snapshot of one machine, and its JSON both ways.

A value that could not be had is `Unknown(reason)`; None and empty mean "looked, and it is not
there". Nothing here judges. No host name, user name, serial number or secret is ever a fact.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar, Union

SCHEMA_VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be had."""

    reason: str


Known = Union[T, Unknown]


def known(value: Known[T], otherwise: T) -> T:
    """Return the value, or `otherwise` where it is unknown."""
    return otherwise if isinstance(value, Unknown) else value


@dataclass(frozen=True)
class Host:
    """Operating system and the box around it."""

    system: str = "Linux"
    """`uname -s`: Linux, Darwin, Windows."""
    kernel: str = ""
    machine: str = ""
    """x86_64, aarch64, …"""
    distribution: str = ""
    """ID of os-release: ubuntu, debian, fedora, …"""
    distribution_like: str = ""
    distribution_name: str = ""
    glibc: Optional[str] = None
    """None on musl."""
    wsl: int = 0
    """0 = no WSL, 1, 2."""
    container: str = ""
    """docker, podman, kubernetes, lxc, container; empty = none seen."""
    service: str = ""
    """Rented machine: runpod, vast; empty = none seen."""
    is_root: bool = False
    secure_boot: Known[bool] = False
    linux_driver_packages: tuple[str, ...] = ()
    """Installed packages of the Linux driver, as the package manager names them."""


@dataclass(frozen=True)
class PciCard:
    """A display or compute controller on the PCI bus, seen without any driver."""

    vendor: str
    """nvidia, amd, intel or the hexadecimal vendor id."""
    device_id: str
    bound_to: str
    """Kernel driver that holds it: nvidia, nouveau, vfio-pci, …; empty = none."""
    memory_bytes: Optional[int] = None
    """Its own memory; AMD's driver alone tells."""


@dataclass(frozen=True)
class Device:
    """One GPU as nvidia-smi lists it."""

    index: int
    name: str
    memory_total_bytes: Known[int]
    memory_used_bytes: Known[int]
    compute_capability: Known[str]
    compute_mode: str = "Default"
    mig: str = ""
    """Enabled, Disabled; empty = not offered."""
    mig_instances: int = 0


@dataclass(frozen=True)
class Gpu:
    """Cards, kernel module, user-space driver, and what CUDA itself says."""

    cards: tuple[PciCard, ...] = ()
    module_version: Optional[str] = None
    """Version of the loaded kernel module (/proc/driver/nvidia/version)."""
    module_is_open: Optional[bool] = None
    modules: tuple[str, ...] = ()
    """Of nvidia, nvidia_uvm, nouveau …: those loaded."""
    module_on_disk: Known[Optional[str]] = None
    """Version that `modinfo` finds for the running kernel."""
    nodes: tuple[str, ...] = ()
    """Names under /dev: nvidia0, nvidiactl, nvidia-uvm, dxg."""
    libcuda: tuple[str, ...] = ()
    """Versions of the libcuda files in the usual folders (compat folders apart)."""
    libcuda_folders: tuple[str, ...] = ()
    compat_folders: tuple[str, ...] = ()
    """Folder of the loaded libcuda, where that is one of a cuda-compat package."""
    has_wsl_libcuda: bool = False
    smi: str = ""
    """ok, absent, or the first line of its failure."""
    driver_version: Known[Optional[str]] = None
    """As nvidia-smi prints it; under WSL that of Windows."""
    cuda_version: Known[Optional[str]] = None
    """The newest CUDA API of the loaded libcuda."""
    devices: tuple[Device, ...] = ()
    init_code: Known[Optional[int]] = None
    """What cuInit(0) returned in a child process; None = there is no libcuda to ask."""
    has_nvswitch: bool = False
    fabric_manager: Known[str] = ""
    """systemctl is-active nvidia-fabricmanager; empty = no NVSwitch."""
    kernel_log: Known[tuple[str, ...]] = ()
    """Lines of the kernel log that name an Xid or the NVIDIA module, newest last, at most 8."""
    visible_devices: Optional[str] = None
    """CUDA_VISIBLE_DEVICES; None = not set."""
    container_devices: Optional[str] = None
    """NVIDIA_VISIBLE_DEVICES."""
    container_capabilities: Optional[str] = None
    """NVIDIA_DRIVER_CAPABILITIES."""


@dataclass(frozen=True)
class Engine:
    """The container engine as its command line sees it."""

    cli_version: Optional[str] = None
    """None = no `docker` command."""
    is_snap: bool = False
    server_version: Known[Optional[str]] = None
    """None = nobody answers."""
    problem: str = ""
    """Why the engine does not answer: `not running`, `not allowed`, or its words."""
    name: str = ""
    """OperatingSystem of `docker info`: `Docker Desktop`, `Ubuntu 24.04 LTS`."""
    runtimes: tuple[str, ...] = ()
    is_rootless: bool = False
    storage_folder: str = ""
    cdi_devices: tuple[str, ...] = ()
    """nvidia.com/gpu=… entries the engine knows, or found in its CDI files."""
    cdi_driver: Optional[str] = None
    """Driver version written into the CDI file."""
    toolkit_version: Optional[str] = None
    """nvidia-ctk or nvidia-container-cli; None = not installed."""
    no_cgroups: Optional[bool] = None
    """The toolkit's switch for rootless engines; None = no configuration found."""


@dataclass(frozen=True)
class LoaderFolder:
    """A folder on LD_LIBRARY_PATH (or LD_PRELOAD) that holds CUDA libraries."""

    path: str
    libraries: tuple[str, ...]


@dataclass(frozen=True)
class DamagedLibrary:
    """A shared library that cannot load here."""

    path: str
    problem: str


@dataclass(frozen=True)
class Python:
    """The interpreter, its packages and what would be needed to build something."""

    version: str = ""
    is_virtual: bool = False
    has_headers: bool = True
    has_ensurepip: bool = True
    packages: dict[str, str] = field(default_factory=dict)
    """Name → version, of those that matter to training."""
    conflicts: tuple[str, ...] = ()
    """Requirements of these packages that the installed versions do not meet."""
    missing: tuple[str, ...] = ()
    """CUDA packages that torch requires and that are not installed."""
    torch_cuda: Known[Optional[str]] = None
    """CUDA version torch was built with; None = no torch, or a build without CUDA."""
    torch_hip: Optional[str] = None
    bnb_libraries: tuple[str, ...] = ()
    """CUDA digits of the libraries in the installed bitsandbytes: 118, 126, …"""
    bnb_override: Optional[str] = None
    """BNB_CUDA_VERSION."""
    torchvision_tag: str = ""
    torchaudio_tag: str = ""
    loader_folders: tuple[LoaderFolder, ...] = ()
    damaged: tuple[DamagedLibrary, ...] = ()
    compiler: Optional[str] = None
    """cc, gcc or clang; None = none found."""
    nvcc: Optional[str] = None


@dataclass(frozen=True)
class Folder:
    """A place training writes to."""

    purpose: str
    """cache, hub cache, temporary files, runs, container engine."""
    path: str
    """With the home folder as `~`."""
    can_write: bool
    is_read_only: bool
    free_bytes: Known[int]
    free_inodes: Optional[int] = None
    is_windows_drive: bool = False
    file_system: int = 0
    """Number of the file system: equal where two folders share one; 0 = not known."""


@dataclass(frozen=True)
class Storage:
    """Memory, processors and disks."""

    memory_total_bytes: Known[int] = Unknown("not read")
    memory_available_bytes: Known[int] = Unknown("not read")
    memory_limit_bytes: Optional[int] = None
    """Of the control group; None = no limit."""
    num_cpus: int = 0
    cpu_limit: Optional[float] = None
    """Processors the control group grants; None = no limit."""
    shm_total_bytes: Known[int] = Unknown("not read")
    shm_free_bytes: Known[int] = Unknown("not read")
    max_open_files: Optional[int] = None
    """Soft limit; None = none."""
    folders: tuple[Folder, ...] = ()

    @property
    def usable_memory_bytes(self) -> Known[int]:
        """What a process may have in all: the machine's memory or the group's limit."""
        total = self.memory_total_bytes
        if isinstance(total, Unknown) or self.memory_limit_bytes is None:
            return total
        return min(total, self.memory_limit_bytes)


@dataclass(frozen=True)
class Network:
    """What training would reach. Nothing is contacted unless asked for."""

    hub: str = "https://huggingface.co"
    is_offline: bool = False
    """HF_HUB_OFFLINE."""
    has_token: bool = False
    token_source: str = ""
    """The name of the variable or `token file`."""
    proxies: tuple[str, ...] = ()
    """Names of the proxy variables that are set."""
    bad_proxies: tuple[str, ...] = ()
    """Of them, those whose value is no URL."""
    tracking_uri: str = ""
    """MLFLOW_TRACKING_URI without user and password."""
    hub_answer: Known[str] = Unknown("not asked")
    """ok, or how it failed: refused, no such host, no answer, certificate, HTTP 503."""
    token_answer: Known[str] = Unknown("not asked")
    """ok, refused."""
    model_answer: Known[str] = Unknown("not asked")
    """ok, gated, not found: of the model that the requirements name."""
    tracking_answer: Known[str] = Unknown("not asked")
    clock_skew_seconds: Known[float] = Unknown("not asked")


@dataclass(frozen=True)
class StepResult:
    """The verdict of one child process of `--deep`."""

    name: str
    status: str
    """ok, fail, skipped, unknown."""
    seconds: float
    detail: str
    """What it measured, or why it was skipped."""
    output: str = ""
    """The end of what a failed step printed."""


@dataclass(frozen=True)
class Requirements:
    """What a job wants of any machine: `trainbox check --job JOB --print-requirements` prints it.

    Bytes are the least that the job can do with; 0 = not known.
    """

    schema_version: int = SCHEMA_VERSION
    model: str = ""
    """Hub id, or the name to show where it is not from the hub."""
    model_bytes: int = 0
    """Size of its weight files."""
    needs_download: bool = False
    """The cache does not hold the model."""
    needs_token: bool = False
    """The hub refused the model to this machine: it is gated or private."""
    needs_hub: bool = False
    """Something besides the model comes from the hub: data sets, whole or streamed."""
    dtype: str = ""
    """float32, float16, bfloat16."""
    quantization: str = ""
    """nf4, fp4; empty = the base model is not quantised."""
    attention: str = ""
    """auto, sdpa, eager, flash_attention_2."""
    num_gpus: int = 0
    """0 = the job runs on a CPU."""
    gpu: str = ""
    """The card asked for, by index or part of its name; empty = any."""
    can_use_cpu: bool = False
    """Where there is no GPU at all it trains on the CPU."""
    device_memory_bytes: int = 0
    """On one GPU; on the CPU it comes on top of host_memory_bytes."""
    host_memory_bytes: int = 0
    download_bytes: int = 0
    """Into the hub's cache."""
    cache_bytes: int = 0
    """Into trainbox's own cache: prepared data, a model that is unpacked there."""
    run_bytes: int = 0
    """Into the run's folder: checkpoints, and the adapter or model."""
    shm_bytes: int = 0
    num_workers: int = 0
    """Processes that read data."""
    tracking_uri: str = ""
    """Where MLflow should answer; empty = as the environment says; none = nowhere."""


@dataclass(frozen=True)
class Image:
    """A container image on this machine, and what a container of it sees (`--image`)."""

    reference: str
    problem: str = ""
    """Why nothing was seen inside: `not on this machine`, `no python3`, or the engine's words."""
    machine: str = ""
    """x86_64, aarch64, … as the image says."""
    variant: str = ""
    """Label of an image of trainbox: cu130, cu128, cu126, cpu."""
    labelled_python: str = ""
    """Label of an image of trainbox: 3.12."""
    required_cuda: str = ""
    """NVIDIA_REQUIRE_CUDA, which the GPU runtime checks before it starts a container."""
    gpu_refusal: str = ""
    """The engine's words where it was asked for the GPU and gave none."""
    has_gpu: bool = False
    """The container was given the GPU."""
    host: Host = Host()
    """Distribution and C library of the image; the kernel is that of this machine."""
    gpu: Gpu = Gpu()
    """As seen inside."""
    python: Python = Python()


@dataclass(frozen=True)
class Facts:
    """Everything known of one machine at one time."""

    schema_version: int = SCHEMA_VERSION
    host: Host = Host()
    gpu: Gpu = Gpu()
    engine: Engine = Engine()
    python: Python = Python()
    storage: Storage = Storage()
    network: Network = Network()
    requirements: Optional[Requirements] = None
    image: Optional[Image] = None
    """Where there is one, `python` and `deep` are those inside it."""
    deep: tuple[StepResult, ...] = ()
    unread: tuple[str, ...] = ()
    """Probes that did not come back, with the reason."""


class FactsError(ValueError):
    """A facts file that is not one."""


def to_json(value: Any) -> Any:
    """Return plain JSON values; Unknown becomes `{"unknown": reason}`."""
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_json(each) for each in value]
    if isinstance(value, dict):
        return {key: to_json(each) for key, each in value.items()}
    return value


def versioned(data: Any, kind: type[T]) -> T:
    """Return a decoded JSON document of this schema version as a dataclass.

    Raises:
        FactsError: another schema version, an unknown key or a value of the wrong type.
    """
    if not isinstance(data, dict):
        raise FactsError(f"the document is a JSON object, not {_kind(data)}")
    if data.get("schema_version") != SCHEMA_VERSION:
        seen = data.get("schema_version")
        raise FactsError(f"schema_version is {seen!r}; this env-check reads {SCHEMA_VERSION}")
    result: T = decode(data, kind, kind.__name__.lower())
    return result


def from_json(data: Any) -> Facts:
    """Return the facts in a decoded JSON document; see `versioned` for what it raises."""
    return versioned(data, Facts)


def decode(data: Any, kind: Any, where: str) -> Any:
    """Return JSON data as an annotated type; keys left out take their default."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union:
        return _decode_union(data, arguments, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise FactsError(f"{where} is a list, not {_kind(data)}")
        return tuple(decode(each, arguments[0], f"{where}[{i}]") for i, each in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict):
            raise FactsError(f"{where} is an object, not {_kind(data)}")
        return {key: decode(each, arguments[1], f"{where}.{key}") for key, each in data.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(data, kind, where)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not kind:
        raise FactsError(f"{where} is {kind.__name__}, not {_kind(data)}")
    return data


def _decode_union(data: Any, kinds: tuple[Any, ...], where: str) -> Any:
    if isinstance(data, dict) and set(data) == {"unknown"} and Unknown in kinds:
        return Unknown(str(data["unknown"]))
    if data is None and type(None) in kinds:
        return None
    rest = [kind for kind in kinds if kind not in (Unknown, type(None))]
    return decode(data, rest[0], where)


def _decode_dataclass(data: Any, kind: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise FactsError(f"{where} is an object, not {_kind(data)}")
    hints = typing.get_type_hints(kind)
    strange = sorted(set(data) - set(hints))
    if strange:
        raise FactsError(f"{where} has no key `{strange[0]}`")
    try:
        return kind(
            **{key: decode(each, hints[key], f"{where}.{key}") for key, each in data.items()}
        )
    except TypeError as error:
        raise FactsError(f"{where}: a key is missing ({error})") from error


def _kind(data: Any) -> str:
    return "null" if data is None else type(data).__name__


def unknowns(value: Any, where: str = "") -> tuple[tuple[str, str], ...]:
    """Return every fact that could not be had, as (dotted name, reason)."""
    if isinstance(value, Unknown):
        return ((where, value.reason),)
    found: list[tuple[str, str]] = []
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for each in dataclasses.fields(value):
            name = f"{where}.{each.name}" if where else each.name
            found += unknowns(getattr(value, each.name), name)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            found += unknowns(item, f"{where}[{index}]")
    return tuple(found)

"""The interpreter, the packages of a training stack and their libraries; imports none of them."""

from __future__ import annotations

import os
import re
import struct
from typing import Optional

from env_check import specifiers
from env_check.facts import DamagedLibrary, Known, LoaderFolder, Python, Unknown
from env_check.privacy import public_path
from env_check.system import Package, System

STACK = frozenset(
    "torch torchvision torchaudio triton bitsandbytes transformers peft trl accelerate datasets "
    "tokenizers huggingface-hub safetensors numpy flash-attn xformers deepspeed liger-kernel "
    "mlflow trainbox axolotl unsloth vllm pyarrow".split()
)
CUDA_LIBRARY = re.compile(
    r"lib(cudart|cublas|cublasLt|cudnn\w*|nvJitLink|nccl|cusparse|cusolver|cufft|curand|nvrtc)\.so"
)
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
COMPILERS = ("cc", "gcc", "clang")


def probe(system: System) -> Python:
    """Return versions and builds from metadata and file names alone."""
    python = system.python()
    packages = {package.name: package for package in system.packages(STACK)}
    machine = system.kernel()[2]
    torch = packages.get("torch")
    cuda, hip = torch_build(system, torch)
    return Python(
        version=python.version,
        is_virtual=python.is_virtual,
        has_headers=python.has_headers,
        has_ensurepip=python.has_ensurepip,
        packages={name: package.version for name, package in packages.items()},
        conflicts=conflicts(packages, python=python.version, machine=machine),
        missing=missing(torch, packages, python=python.version, machine=machine),
        torch_cuda=cuda,
        torch_hip=hip,
        bnb_libraries=bnb_libraries(system, packages.get("bitsandbytes")),
        bnb_override=system.variable("BNB_CUDA_VERSION"),
        torchvision_tag=local_tag(packages.get("torchvision")),
        torchaudio_tag=local_tag(packages.get("torchaudio")),
        loader_folders=loader_folders(system),
        damaged=damaged(system, packages, machine),
        compiler=next((name for name in COMPILERS if system.find_program(name)), None),
        nvcc=nvcc(system),
    )


def torch_build(
    system: System, torch: Optional[Package]
) -> tuple[Known[Optional[str]], Optional[str]]:
    """Return CUDA and HIP version of the build, from the text of torch/version.py."""
    if torch is None:
        return None, None
    text = system.read(os.path.join(torch.folder, "torch", "version.py"))
    if text is None:
        tag = re.search(r"\+cu(\d+)(\d)$", torch.version)
        if tag:
            return f"{tag.group(1)}.{tag.group(2)}", None
        if torch.version.endswith("+cpu"):
            return None, None
        return Unknown("torch/version.py is not there: torch is half installed"), None
    values = dict(re.findall(r"(?m)^(cuda|hip)\b[^=]*=\s*['\"]([^'\"]+)['\"]", text))
    return values.get("cuda"), values.get("hip")


def local_tag(package: Optional[Package]) -> str:
    return package.version.partition("+")[2] if package else ""


def bnb_libraries(system: System, bnb: Optional[Package]) -> tuple[str, ...]:
    """Return the CUDA digits of the libraries in the bitsandbytes folder."""
    if bnb is None:
        return ()
    names = system.list_folder(os.path.join(bnb.folder, "bitsandbytes")) or ()
    found = (re.fullmatch(r"libbitsandbytes_cuda(\d+)\.so", name) for name in names)
    return tuple(match.group(1) for match in found if match)


def conflicts(packages: dict[str, Package], *, python: str, machine: str) -> tuple[str, ...]:
    """Return each requirement between these packages that is not met, as a sentence."""
    found = []
    for package in packages.values():
        for line in package.requires:
            need = specifiers.parse(line)
            if need is None or need.name not in packages:
                continue
            if not specifiers.applies(need.marker, python=python, machine=machine):
                continue
            other = packages[need.name]
            if not specifiers.meets(other.version, need.specifiers):
                wanted = ",".join(operator + version for operator, version in need.specifiers)
                found.append(
                    f"{package.name} {package.version} needs {need.name}{wanted}, "
                    f"installed is {other.version}"
                )
    return tuple(found)


def missing(
    torch: Optional[Package], packages: dict[str, Package], *, python: str, machine: str
) -> tuple[str, ...]:
    """Return the CUDA packages in torch's requirements that are not there."""
    found = []
    for line in torch.requires if torch else ():
        need = specifiers.parse(line)
        if need is None or not need.name.startswith("nvidia-") or need.name in packages:
            continue
        if specifiers.applies(need.marker, python=python, machine=machine):
            found.append(f"torch {torch.version if torch else ''} needs {need.name}")
    return tuple(found)


def loader_folders(system: System) -> tuple[LoaderFolder, ...]:
    """Return the folders of LD_LIBRARY_PATH that hold CUDA libraries, in the loader's order."""
    found = []
    for path in (system.variable("LD_LIBRARY_PATH") or "").split(":"):
        names = system.list_folder(path) if path else None
        files = {
            os.path.basename(system.real_path(os.path.join(path, name)))
            for name in names or ()
            if CUDA_LIBRARY.match(name) and not name.endswith(".a")
        }
        if files:
            found.append(LoaderFolder(public_path(path, system.home()), tuple(sorted(files))))
    return tuple(found)


def damaged(
    system: System, packages: dict[str, Package], machine: str
) -> tuple[DamagedLibrary, ...]:
    """Return the shared libraries of torch and bitsandbytes that are cut off or foreign."""
    folders = [
        (packages[name], part)
        for name, part in (("torch", "torch/lib"), ("bitsandbytes", "bitsandbytes"))
        if name in packages
    ]
    found = []
    for package, part in folders:
        folder = os.path.join(package.folder, part)
        for name in system.list_folder(folder) or ():
            if ".so" in name:
                problem = library_problem(system, os.path.join(folder, name), machine)
                if problem:
                    found.append(DamagedLibrary(f"{part}/{name}", problem))
    return tuple(found)


def library_problem(system: System, path: str, machine: str) -> str:
    """Return what keeps a shared library from loading, from its ELF header; empty if nothing."""
    header, size = system.read_bytes(path, 64), system.size(path)
    if header is None or size is None:
        return ""
    if len(header) < 64:
        return f"cut off: {size} bytes"
    if header[:4] != b"\x7fELF":
        return "not an ELF file"
    (kind,) = struct.unpack_from("<H", header, 18)
    if machine in ELF_MACHINES and kind != ELF_MACHINES[machine]:
        names = {number: name for name, number in ELF_MACHINES.items()}
        return f"built for {names.get(kind, f'machine type {kind}')}, this machine is {machine}"
    (table,) = struct.unpack_from("<Q", header, 40)
    entry_bytes, num_entries = struct.unpack_from("<HH", header, 58)
    whole = table + entry_bytes * num_entries
    return f"cut off: {size} bytes of {whole}" if size < whole else ""


def nvcc(system: System) -> Optional[str]:
    """Return the version of nvcc; it plays no part unless something is compiled."""
    home = system.variable("CUDA_HOME") or system.variable("CUDA_PATH")
    program = f"{home}/bin/nvcc" if home else system.find_program("nvcc")
    if not program or not system.exists(program):
        return None
    found = re.search(r"release (\d+\.\d+)", system.run([program, "--version"]).stdout)
    return found.group(1) if found else None

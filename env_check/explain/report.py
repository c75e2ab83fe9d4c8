# ruff: noqa: E501 (a row is a line)
"""What a pasted text says about a machine: versions, GPUs, platform. Not found stays unknown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from env_check import support
from env_check.explain.pattern import Pattern
from env_check.explain.scan import Match

_V = r"(\d+\.\d+(?:\.\d+)?\w*(?:\+[\w.]+)?)"

# fact, words one of which must be there, pattern on lower-case text. Several rows may feed one fact.
# fmt: off
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("driver", "driver nvidia nvrm", r"driver version\s*[:=]?\s*(\d{3}\.\d{2,3}(?:\.\d{2})?)\b"),
    ("driver", "smi", r"nvidia-smi (\d{3}\.\d{2,3}(?:\.\d{2})?)\b"),
    ("driver", "loading kernel", r"(?:kernel module(?: for x86_64)?|nvrm: loading[^\n]{0,80})\s+(\d{3}\.\d{2,3}(?:\.\d{2})?)\b"),
    ("driver", "driver", r"driver[: ]\s*v?(\d{3}\.\d{2,3}(?:\.\d{2})?)\b"),
    ("module", "nvrm kernel proc", r"(?:nvrm version: nvidia unix [^\n]{0,60}kernel module(?: for \w+)?|kernel reported version is:|this kernel module has the version|nvrm: loading nvidia unix [^\n]{0,60}module(?: for \w+)?)\s+(\d{3}\.\d{2,3}(?:\.\d{1,2})?)\b"),
    ("library", "libcuda libnvidia nvml client", r"(?:libcuda reported version is:|nvml library version:|the client has the version)\s+(\d{3}\.\d{2,3}(?:\.\d{1,2})?)\b|lib(?:cuda|nvidia-ml)\.so\.(\d{3}\.\d{2,3}(?:\.\d{1,2})?)\b"),
    ("smi_cuda", "cuda", r"driver version: [\d.]+\s+cuda version: (\d+\.\d+)"),
    ("driver_api", "too", r"driver on your system is too old \(found version (\d+)\)"),
    ("torch", "pytorch torch", rf"\bpytorch(?: version)?\s*(?:\(gpu\?\))?[`*]*\s*[:=]?[`*]*\s+v?{_V}"),
    ("torch", "torch", rf"torch(?<![^\s\"'|`-]torch)(?:\.__version__|[ _]version)?\s*(?:==|=|:)\s*['\"]?v?{_V}"),
    ("torch", "torch", rf"^torch\s+{_V}\b"),
    ("torch", "version", rf"torch\.__version__\W{{1,14}}{_V}"),
    ("torch", "torch", rf"^name: torch\s+version: {_V}"),
    ("torch", "torch", rf"\btorch-{_V}(?:-cp\d|\.dist-info)"),
    ("torch", "have", rf"\(you have {_V}\)"),
    ("torch", "torch", rf"but you (?:will )?have torch {_V}"),
    ("torch", "torch", r"\btorch(?!vision|audio)[\w .:=-]{0,24}?\b(\d+\.\d+(?:\.\d+)?\+(?:cpu|cu\d+))\b"),
    ("cpu_build", "cpu cpuonly", r"^[ \t-]*pytorch(?:-\w+)?(?:=+|[ \t]+)\d\S*(?:=|[ \t]+)\S*cpu\S*|\btorch[-= ]\d[\w.]*\+cpu\b|\bcpuonly\b|\bpytorch[ =-]\d[\w.]*[ =-]py3\S*_cpu_|\b(?:torch|pytorch)\b[^\n]{0,30}\bcpu(?:[- ]only| build|\))"),
    ("torch_cuda", "cuda pytorch", r"cuda used to build pytorch\s*: *(\d+\.\d+|none|could not collect|n/a)"),
    ("torch_cuda", "version", r"torch\.version\.cuda\W{1,12}(\d+\.\d+|none)"),
    ("torch_cuda", "torch pytorch", r"\b(?:torch|pytorch)\b[^\n+]{0,30}\bcu(9\d|1[0-3]\d)\b"),
    ("torch_cuda", "build torch", r"\btorch build\s*: *cu(\d{2,3})\b"),
    ("rocm", "rocm", r"rocm used to build pytorch\s*: *(\S+)"),
    ("available", "cuda available", r"cuda(?: is)? available\??\s*[:=]\s*(true|false|yes|no)\b"),
    ("available", "available", r"torch\.cuda\.is_available\(\)\W{0,8}(?:out ?\[\d+\]|is|returns|returned|gives|now|still|always){0,2}[^a-z0-9_\n]{0,12}\n?[^a-z0-9_\n]{0,12}(true|false)\b"),
    ("available", "pytorch", r"pytorch version \(gpu\?\)\s*: \S+ \((true|false)\)"),
    ("torchvision", "torchvision", rf"torchvision(?<![^\s\"'`-]torchvision)(?:\s*==\s*|\s*[:=]\s*|\s+version:?\s*|-|\s+(?:version: )?){_V}"),
    ("torchvision", "torchvision", rf"^name: torchvision\s+version: {_V}"),
    ("torchaudio", "torchaudio", rf"torchaudio(?<![^\s\"'`-]torchaudio)(?:\s*==\s*|\s*[:=]\s*|\s+version:?\s*|-|\s+(?:version: )?){_V}"),
    ("torchaudio", "torchaudio", rf"^name: torchaudio\s+version: {_V}"),
    ("bitsandbytes", "bitsandbytes", rf"\bbitsandbytes(?:\s*==\s*|\s*[:=]\s*|\s+version:?\s*|-|\s+)v?{_V}"),
    ("triton", "triton", rf"triton(?<!\Striton)(?: \([\w ]{{1,20}}\))?(?:\s*==\s*|\s*[:=]\s*|\s+){_V}"),
    ("triton", "triton", rf"pytorch-triton(?:\s*==\s*|\s*[:=]\s*|\s+){_V}"),
    ("xformers", "xformers", rf"xformers(?<!\Sxformers)(?:\s*==\s*|\s*[:=]\s*|\s+){_V}"),
    ("python", "python", r"\bpython(?: version)?\s*[:=]?\s*(3\.\d{1,2}(?:\.\d+)?)\b"),
    ("glibc", "glibc", r"\bglibc[- ](\d\.\d+)"),
    ("machine", "aarch arm", r"\b(aarch64|arm64)\b"),
    ("windows", ":\\ windows win win10 win11", r"microsoft windows|\bwin_amd64\b|\bwin(?:dows)? ?(?:10|11|server)\b|:\\(?<=[a-z]:\\)(?<![a-z0-9][a-z]:\\)\\?\w"),
    ("container", "docker dockerenv container kubernetes containerd podman pod exited", r"\bdocker\b|/\.dockerenv|\bcontainer\b|\bkubernetes\b|\bcontainerd\b|\bpodman\b|\bpod\b|_\d exited with code \d"),
    ("container", "devel runtime base cudnn", r"\b[\w./-]{2,60}:[\w.-]*cuda[\w.-]*-(?:devel|runtime|base|cudnn\d?)\b"),
    ("container", "", r"@[0-9a-f]{12}[:# ]"),  # the prompt in a container: user@id
    ("container", "dockerfile", r"\bdockerfile\b"),
    ("container", "run step", r"^step \d+/\d+ : |^#\d+ \[|^ *(?:=> )?(?:error )?\[\w* *\d+/\d+\] run "),
    ("docker_run", "run exec shell", r"\b(?:docker|podman)(?: container)? run\b([^\n]{0,400})|\b(?:singularity|apptainer) (?:exec|run|shell)\b([^\n]{0,400})"),
    ("sm_list", "supports capabilities", r"supports cuda capabilities ([sm_\d acompute]+)"),
    ("capability", "capability detected", r"(?:cuda capability sm_|cuda capability |compute capability(?: \(cc\))?:? |capability among gpus detected: )(\d+\.?\d?)\b"),
    ("sm_list", "arch", r"get_arch_list\(\)[\s\S]{0,40}?(\[[^\]\n]{0,200}\])"),
    ("capability_pair", "capability", r"get_device_capability\([^)\n]{0,12}\)[\s\S]{0,16}?\((\d+), ?(\d+)\)"),
    ("image_cuda", "cuda pytorch", r"(?:nvidia/cuda|pytorch/pytorch):[\w.-]{0,24}?\b(?:cuda)?(1\d\.\d)\b"),
    ("nvcc", "compilation runtime", r"cuda compilation tools, release (\d+\.\d+)|cuda runtime version: (\d+\.\d+)"),
    ("properties", "major", r"name='([^'\n]{1,60})', major=(\d+), minor=(\d+)"),
    ("smi_driver", "smi", r"nvidia-smi (\d{3}\.[\d.]+)\s+driver version: (\d{3}\.\d\d)\s"),
    ("gpu", "nvidia geforce tesla quadro titan grid", r"gpu ?\d+:\s*((?:nvidia|geforce|tesla|quadro|grid|titan)[^\n(]{1,60})"),
    ("gpu", "nvidia geforce tesla quadro rtx titan grid", r"^\|\s+\d+\s+((?:nvidia|geforce|tesla|quadro|rtx|titan|grid)[\w .()/-]{1,40}?)(?:\.\.\.)?\s+(?:on|off|tcc|wddm|mcdm|n/a)\b"),
    ("gpu", "which", r"found gpu\d+ (.{1,60}?) which is of"),
    ("gpu", "capability", r"^\W*(.{1,60}?) with cuda capability sm_"),
    ("gpu", "rtx gtx geforce titan", r"\b((?:rtx|gtx|titan) ?(?:pro |a|x|v|rtx|xp)?-?\d{0,4}(?: ?(?:ti|super|d|ada|max-q)\b)*(?: laptop gpu)?)"),
    ("gpu", "tesla quadro nvidia jetson", r"((?:tesla|quadro|nvidia|jetson)(?: rtx| agx| titan)? ?[a-z]{1,6}\d{1,4}[a-z]{0,2}(?:-[a-z0-9]+)*)\b"),
    ("gpu", "050 060 070 080 090 650 660", r"\b(?:my|an?|single|dual) ((?:10[5-8]|16[56]|20[678]|30[5-9]|40[5-9]|50[5-9])0(?: ?(?:ti|super))?)\b(?! [a-z]+s\b)"),
    ("gpu", "ti super", r"(?<![\w.-])((?:10[5-8]|16[56]|20[678]|30[5-9]|40[5-9]|50[5-9])0 ?(?:ti|super))\b"),
    ("device_count", "count", r"device_count\(\)[\s>=:-]{0,12}(?:(?:returns?|is|gives|==) ?)?(?:out\[\d+\]: )?(\d+)\b"),
)
# fmt: on
# Chips as people write them; the words are their digits, or GPU for the short ones.
_CHIPS = "|".join(
    rf"({chip})s?\b"
    for chip in (
        "a100",
        "h100",
        "h200",
        "h800",
        "a800",
        "v100",
        "p100",
        "gh200",
        "gb200",
        "b200",
        "a6000",
        "a5000",
        "a4000",
        "k80",
        "m40",
        "p40",
    )
)  # fmt: skip
_SHORT_CHIPS = (
    r"gpus?(?: type| name)? ?[:=]? ?(?:\d ?[x*] ?)?(?:nvidia |tesla )?"
    r"(l40s|l40|l20|l4|t4|a10g|a10|a30|a40|k80|gb10|m40|p40|p4)\b"
)


def _patterns() -> tuple[Pattern, ...]:
    found = [
        Pattern(f"{name}#{place}", tuple(words.split()), regex)
        for place, (name, words, regex) in enumerate(_ROWS)
    ]
    digits = ("100", "200", "800", "4000", "5000", "6000", "k80", "m40", "p40")
    chips = Pattern("gpu#chip", digits, _CHIPS)
    return (*found, chips, Pattern("gpu#short", ("gpu", "gpus"), _SHORT_CHIPS))


PATTERNS = _patterns()
_SHORT = {"a100": "A100-SXM4-80GB", "h100": "H100 PCIe", "v100": "Tesla V100-SXM2-16GB",
          "p100": "Tesla P100-PCIE-16GB", "t4": "Tesla T4", "k80": "Tesla K80", "m40": "Tesla M40",
          "p40": "Tesla P40", "p4": "Tesla P4", "gh200": "GH200 480GB"}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """The facts of one text; None, "" and () mean that the text does not say."""

    driver: str
    module: str  # version of the loaded kernel module
    library: str  # version of the user-space driver libraries
    smi_cuda: str
    torch: str
    is_cpu_build: bool
    torch_cuda: str  # "12.1"; "none" where the report says there is none
    cuda_available: Optional[bool]
    gpus: tuple[support.Gpu, ...]
    capabilities: tuple[str, ...]
    sm_list: tuple[str, ...]
    image_cuda: str  # of the tag of a container image
    nvcc: str  # CUDA version of the compiler
    torchvision: str
    torchaudio: str
    bitsandbytes: str
    triton: str
    xformers: str
    python: str
    glibc: str
    machine: str
    platform: str  # linux, wsl, windows, macos
    is_container: bool
    is_amd: bool
    device_count: Optional[int]
    matches: dict[str, Match]  # fact → the first line that says it

    def knows(self) -> tuple[str, ...]:
        """Return the names of the facts the text states."""
        names = ("driver", "torch", "gpus", "python", "bitsandbytes", "glibc")
        return tuple(name for name in names if getattr(self, name))


def read_report(found: dict[str, list[Match]]) -> Report:
    """Compose the facts from the matches of PATTERNS and of the clue signatures."""
    facts: dict[str, list[Match]] = {}
    for id, matches in found.items():
        if "#" in id:
            facts.setdefault(id.split("#")[0], []).extend(matches)
    for matches in facts.values():
        matches.sort(key=lambda match: match.line)

    def first(name: str) -> str:
        texts = (text.strip() for match in facts.get(name, ()) for text in match.groups)
        return next((text for text in texts if text), "")

    torch = _torch(facts.get("torch", []))
    return Report(
        driver=first("driver"),
        module=first("module"),
        library=first("library"),
        smi_cuda=first("smi_cuda"),
        torch=torch,
        is_cpu_build=torch.endswith("+cpu") or ("cpu_build" in facts and "+" not in torch),
        torch_cuda=_torch_cuda(first("torch_cuda").lower(), torch),
        cuda_available=_available(facts.get("available", [])),
        gpus=_gpus(facts.get("gpu", [])),
        capabilities=_capabilities(facts),
        sm_list=_sm_list(facts, found),
        image_cuda=first("image_cuda"),
        nvcc=first("nvcc"),
        torchvision=first("torchvision"),
        torchaudio=first("torchaudio"),
        bitsandbytes=first("bitsandbytes"),
        triton=first("triton"),
        xformers=first("xformers"),
        python=first("python"),
        glibc=first("glibc"),
        machine="aarch64" if "machine" in facts else "x86_64",
        platform=_platform(facts, found),
        is_container="container" in facts,
        is_amd="amd" in found,
        device_count=int(first("device_count")) if first("device_count") else None,
        matches={name: matches[0] for name, matches in facts.items()},
    )


def _torch(matches: list[Match]) -> str:
    """Prefer a version with a build tag: it says more."""
    versions = [match.groups[0] for match in matches]
    return next((each for each in versions if "+" in each), versions[0] if versions else "")


def _torch_cuda(stated: str, torch: str) -> str:
    if re.fullmatch(r"\d{2,3}", stated):
        return f"{stated[:-1]}.{stated[-1]}"
    if stated in ("none", "could not collect", "n/a"):
        return "none"
    return stated or support.cuda_of_tag(torch.partition("+")[2]) or ""


def _available(matches: list[Match]) -> Optional[bool]:
    if not matches:
        return None
    return any(match.groups[0].lower() in ("true", "yes") for match in matches)


def _gpus(matches: list[Match]) -> tuple[support.Gpu, ...]:
    cards: dict[str, support.Gpu] = {}
    for match in matches:
        name = match.groups[0].strip()
        if name[:4].isdigit():  # "my 3090"
            name = f"{'GTX' if name.startswith('1') else 'RTX'} {name}"
        card = support.gpu(_SHORT.get(name.lower(), name))
        if card:
            cards.setdefault(card.name, card)
    return tuple(cards.values())


def _capabilities(facts: dict[str, list[Match]]) -> tuple[str, ...]:
    found = []
    for match in facts.get("capability", ()):
        text = match.groups[0]
        found.append(text if "." in text else support.capability_of_sm(text))
    found.extend(f"{match.groups[1]}.{match.groups[2]}" for match in facts.get("properties", ()))
    found.extend(".".join(match.groups) for match in facts.get("capability_pair", ()))
    return tuple(dict.fromkeys(each for each in found if support.minor(each) < (20, 0)))


def _sm_list(facts: dict[str, list[Match]], found: dict[str, list[Match]]) -> tuple[str, ...]:
    for match in facts.get("sm_list", ()):
        return tuple(
            support.capability_of_sm(name)
            for name in re.findall(r"sm_\d{2,3}", match.groups[0].lower())
        )
    return tuple(match.groups[0] for match in found.get("gpu-cc-supported", ()))


def _platform(facts: dict[str, list[Match]], found: dict[str, list[Match]]) -> str:
    if "wsl" in found:
        return "wsl"
    if any(
        smi != driver for smi, driver in (match.groups for match in facts.get("smi_driver", ()))
    ):
        return "wsl"  # its nvidia-smi is Linux's, its driver is that of Windows
    if "macos" in found and "gpu" not in facts:
        return "macos"
    return "windows" if "windows" in facts else "linux"

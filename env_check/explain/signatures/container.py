# ruff: noqa: E501 (a row is a line)
"""What container engines and WSL say when they cannot hand over the GPU."""

from __future__ import annotations

from env_check.explain.signatures.row import Signature as S
from env_check.explain.signatures.row import not_loaded, same_line

# fmt: off
ROWS: tuple[S, ...] = (
    # ---- container engine
    S("docker-device-driver", "container_toolkit_missing", 0.97, "capabilities select", r"could not select device driver (?:\S{0,12} )?with capabilities: \[\[|could not select device driver", "dockerd"),
    S("docker-runtime", "container_toolkit_missing", 0.96, "runtime", r"(?:unknown or invalid runtime name|unknown runtime specified|invalid runtime name|runtime not found)[: ]{1,2}\"?nvidia|no runtime for \"nvidia\" is configured|failed to find runtime handler nvidia|no runtime for nvidia|runtime \"?nvidia\"? (?:not found|is not (?:installed|registered|supported))|unknown runtime:? \"?nvidia|unable to find runtime \"?nvidia", "dockerd, containerd, cri-o"),
    S("hook-missing", "container_toolkit_missing", 0.95, "container ctk executable docker plugin", r"(?:exec:? \"?|fork/exec |stat |executable file ')\S{0,40}nvidia-(?:container-(?:runtime(?:-hook)?|toolkit|cli(?:\.real)?)|ctk)\"?'?[^\n]{0,120}(?:executable file not found|no such file or directory|not found)|executable file [`'\"]nvidia[`'\"] not found|nvidia-container-runtime\S*:? no such file|plugin \"?nvidia-docker\"? not found|could not find nvidia-docker plugin", "runc, dockerd"),
    S("hook-not-found", "container_toolkit_missing", 0.8, "container ctk docker", r"nvidia-(?:ctk|docker2?|container-(?:cli|toolkit)): (?:command )?not found", "shell"),
    S("cdi", "container_toolkit_missing", 0.93, "cdi stat custom", r"unresolvable cdi devices|cdi device injection failed|failed to inject cdi devices|could not apply required modification[^\n]{0,120}cdi|stat nvidia\.com/gpu=\S{1,20}: no such file|error setting up cdi|cdi registry[^\n]{0,120}(?:not|unresolv)|adding custom device \"nvidia\.com/gpu", "podman, dockerd, containerd"),
    S("k8s-no-gpu", "container_toolkit_missing", 0.55, "insufficient", r"insufficient nvidia\.com/gpu", "Kubernetes scheduler"),
    S("docker-no-gpu-runtime", "container_toolkit_missing", 0.85, "container docker", r"nvidia[- ]container[- ](?:toolkit|runtime)[^\n]{0,80}(?:is not installed|not (?:be )?(?:found|detected)|missing)|nvidia-docker2?[^\n]{0,20}is not installed", "several programs"),
    S("k8s-plugin", "container_toolkit_missing", 0.93, "incompatible configure platform", r"incompatible (?:platform|strategy) detected|did you configure the nvidia container toolkit", "k8s-device-plugin"),
    S("toolkit-prose", "container_toolkit_missing", 0.72, "toolkit docker runtime", same_line(r"(?:nvidia[- ](?:container[- ])?(?:toolkit|runtime)|nvidia-docker2?)\b", r"(?:(?:is )?not (?:installed|configured|set up|found|registered|available)|missing|was not found)", 60) + r"|gpu support not available|toolkit not configured|docker default runtime to `?nvidia", "several programs"),
    S("toolkit-package", "container_toolkit_missing", 0.8, "locate package", r"unable to locate package nvidia-(?:container-(?:toolkit|runtime)|docker2?)|no package nvidia-(?:container-toolkit|docker2?) available|package '?nvidia-(?:container-toolkit|docker2?)'? has no installation candidate", "apt, yum"),
    S("docker-no-gpus-flag", "container_toolkit_missing", 0.75, "unknown unexpected", r"unknown flag: --gpus|'devices' was unexpected|unknown flag:? -*gpus", "docker before 19.03, old compose", "This engine or compose is too old to know GPUs."),
    S("runtimes", "", 0.0, "runtimes", r"^ *runtimes: (?![^\n]*nvidia)[^\n]+", "docker info"),
    S("smi-not-found", "container_no_gpu_flag", 0.6, "smi", r"nvidia-smi['\"]?:? (?:command )?not found|executable file .?nvidia-smi.? not found|exec: \"nvidia-smi\": executable file not found|nvidia-smi: no such file|no such file or directory: ['\"]nvidia-smi", "shell, runc"),
    S("ngc-no-driver", "container_no_gpu_flag", 0.85, "functionality", r"the nvidia driver was not detected\. ?gpu functionality will not be available", "entrypoint of NVIDIA images"),
    S("ngc-start-with", "container_no_gpu_flag", 0.85, "container", r"use (?:the nvidia container toolkit|'?nvidia-docker run'?) to start this container", "entrypoint of NVIDIA images"),
    S("no-gpu-prose", "", 0.0, "detected found available visible recognized recognised find", r"\b(?:no|any|a) (?:usable |nvidia |cuda |compatible )?gpus? (?:was |were )?(?:detected|found|available|visible)|could not find any gpus?|cuda (?:is )?not available|\bgpus? (?:is |was |are )?not (?:detected|found|available|recogni[sz]ed|visible)", "several programs"),
    S("nvml-unknown", "container_lost_gpu_cgroup", 0.9, "unknown nvml", r"failed to initialize nvml: unknown error|nvml: unknown error|nvmlerror_unknown: unknown error|nvml[^\n]{0,20}\bunknown error", "nvidia-smi, NVML error 999"),
    S("container-lost", "container_lost_gpu_cgroup", 0.78, "lost loses lose losing permitted", same_line(r"\b(?:container|docker|pod)s?\b", r"\b(?:lost|loses?|losing)\b[^\n]{0,20}(?:gpus?|/dev/nvidia|access)") + r"|operation not permitted[^\n]{0,40}/dev/nvidia", "a reporter's words"),
    S("nvml-no-permission", "container_lost_gpu_cgroup", 0.6, "permissions", r"failed to initialize nvml: insufficient permissions", "nvidia-smi"),
    S("mount-exists", "container_image_bundles_driver_libs", 0.95, "mount", r"mount error: file creation failed: [^\n]{0,300}(?:lib(?:nvidia|cuda|nvcuvid|nvoptix|vdpau)|nvidia-)[^\n]{0,160}: file exists", "libnvidia-container"),
    S("library-exists", "container_image_bundles_driver_libs", 0.88, "exists", r"lib(?:cuda|nvidia-ml)\.so[.\d]*\S*[^\n]{0,40}: file exists", "libnvidia-container, runc"),
    S("ldconfig-empty-lib", "container_image_bundles_driver_libs", 0.6, "ldconfig", r"ldconfig(?:\.real)?: file \S*lib(?:cuda|nvidia)[\w.-]+ is empty, not checked", "ldconfig"),
    # ---- WSL
    S("wsl-blocked", "wsl_gpu_not_exposed", 0.94, "blocked", r"gpu access blocked by the operating system", "NVML, error 17"),
    S("wsl-no-adapter", "wsl_gpu_not_exposed", 0.96, "dxcore environment adapters", r"wsl environment detected but no adapters were found|no adapters (?:were )?found[^\n]{0,40}dxcore|dxcore(?! initialization failed, continuing)[^\n]{0,120}(?:fail|error|no adapters)", "libnvidia-container"),
    S("wsl-dxg", "wsl_gpu_not_exposed", 0.85, "dxg ioctl", r"/dev/dxg[^\n]{0,40}(?:no such file|cannot|not there|(?:is )?missing|does(?:n't| not) exist|not found|(?:is )?not present|is absent|disappeared)|no /dev/dxg\b|dxgkio_query_adapter_info: ioctl failed|dxgk: dxgkio_\w+: ioctl failed|dxgkio_is_feature_enabled: ioctl failed", "shell, WSL kernel"),
    S("wsl-one", "wsl_gpu_not_exposed", 0.6, "microsoft wsl wslversion running stopped", r"\b4\.4\.0-\d+-microsoft\b|\bwsl ?(?:version)?:? ?1\b|(?:running|stopped) +1 *$", "uname of WSL1", "This is WSL1, which has no GPU."),
    S("wsl-tcc", "", 0.0, "tcc", r"^\|[^\n]{0,120}\btcc\b", "nvidia-smi on Windows"),
    S("windows-build", "", 0.0, "windows 1836 1904 2004 20h2 21h1", r"(?:10\.0\.|build )1(?:8362|8363|9041|9042|9043)\b|windows 10[^\n]{0,30}\b(?:1903|1909|2004|20h2|21h1)\b", "ver, winver", "Windows 10 before 21H2 has no CUDA in WSL2."),
    S("dockerfile-driver", "", 0.0, "apt dnf yum", r"(?:^|\d\] |: )run [^\n]{0,160}(?:apt(?:-get)?|yum|dnf) (?:-\S+ )?install[^\n]{0,200}(?:nvidia-(?:driver|utils|headless)|libnvidia-(?:compute|gl)|cuda-drivers)", "Dockerfile"),
    S("smi-segfault", "driver_missing_or_not_loaded", 0.4, "segmentation", r"nvidia-smi\b[^\n]{0,160}\n?[^\n]{0,160}segmentation fault|segmentation fault[^\n]{0,120}nvidia-smi", "shell"),
    S("smi-cuda-err", "driver_missing_or_not_loaded", 0.5, "err", r"driver version: [\d.]+ +cuda version: err!", "nvidia-smi", "nvidia-smi cannot load libcuda."),
    S("wsl-libcuda-link", "", 0.0, "symbolic", r"/usr/lib/wsl/lib/libcuda\.so\.1 is not a symbolic link", "ldconfig"),
    S("wsl", "", 0.0, "wsl microsoft mnt windows", r"microsoft-standard|\bwsl2?\b(?<!non-wsl)(?<!linux[ ][(]wsl)|/usr/lib/wsl|/mnt/[cd]/|-microsoft\b|windows subsystem for linux(?<!under[ ]windows[ ]subsystem[ ]for[ ]linux)", "uname, paths"),
    S("wsl-driver-package", "", 0.0, "apt aptitude dkms drivers headless kernel libnvidia linux nvidia utils", r"(?:nvidia-(?:driver|utils|dkms|compute-utils)|libnvidia-(?:compute|gl|decode|encode|extra|common))-\d[^\n]{0,60}(?:\binstall$|\[installed)|ii\s+(?:nvidia-(?:driver|utils|dkms|kernel-\w+|compute-utils)|libnvidia-(?:compute|gl|cfg\d|decode|encode|fbc\d|extra|common))-\d[^\n]{0,120}|apt(?:-get|itude)?\b[^\n]{0,80}install[^\n]{0,120}\bnvidia-(?:driver|utils|headless)-\d+|install(?:ed)?\b[^\n]{0,20}\bcuda-drivers\b|(?:apt|apt-get) (?:-\S+ )?install (?:-\S+ )?cuda(?:-1\d-\d)?(?:[ ][(]|[,.]|$)|/usr/lib/x86_64-linux-gnu/lib(?:cuda|nvidia-ml)\.so\.\d{3}[\d.]*", "dpkg, apt"),
    S("libcuda-so-missing", "wsl_libcuda_not_found", 0.72, "libcuda", not_loaded(r"libcuda\.so(?![.\w])"), "loader, bitsandbytes up to 0.42, triton",
      "libcuda.so without a number is looked for: WSL keeps it in /usr/lib/wsl/lib only."),
)
# fmt: on

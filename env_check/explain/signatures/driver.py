# ruff: noqa: E501 (a row is a line)
"""What NVIDIA drivers, NVML, the kernel and the CUDA runtime say about driver and devices."""

from __future__ import annotations

from env_check.explain.signatures.row import Signature as S

# fmt: off
ROWS: tuple[S, ...] = (
    # ---- driver too old
    S("driver-insufficient", "driver_too_old_for_cuda", 0.95, "insufficient cudaerrorinsufficientdriver",
      r"cuda driver version is insufficient|cudaerrorinsufficientdriver", "CUDA runtime, error 35"),
    S("driver-too-old-torch", "driver_too_old_for_cuda", 0.97, "too", r"nvidia driver on your system is too old \(found version (\d+)\)",
      "torch/cuda/__init__.py"),
    S("driver-requirement", "driver_too_old_for_cuda", 0.97, "unsatisfied", r"unsatisfied condition: (?:cuda|driver|brand)\b[^\n]{0,80}",
      "libnvidia-container", "The image's NVIDIA_REQUIRE_CUDA asks for more than the driver offers."),
    S("driver-ngc-release", "driver_too_old_for_cuda", 0.93, "container",
      r"container was built for nvidia driver release [\d.]+ or later[^\n]{0,20},? but version [\d.]+ was detected(?! and compatibility mode is enabled)",
      "entrypoint of NVIDIA images"),
    S("driver-ngc-unsupported", "driver_too_old_for_cuda", 0.9, "which",
      r"detected nvidia [^\n]{0,60}driver[^\n]{0,60}which is not supported in this container", "entrypoint of NVIDIA images"),
    S("driver-newer-call", "driver_too_old_for_cuda", 0.9, "call cudaerrorcallrequiresnewerdriver",
      r"cudaerrorcallrequiresnewerdriver|api call is not supported in the installed cuda driver", "CUDA runtime, error 36"),
    S("driver-symbol", "driver_too_old_for_cuda", 0.8, "undefined",
      r"undefined symbol: cu(?:tensormap|multicast|ctx|device|mem[a-z]|kernel|launch|stream|getproc|graph|library|module|green)\w*",
      "loader, libcuda", "libcuda lacks a driver function of a newer CUDA."),
    S("driver-minimum", "driver_too_old_for_cuda", 0.8, "higher later least minimum newer older requires too",
      r"minimum (?:required )?(?:cuda|nvidia) driver (?:version )?(?:is|required)|(?:nvidia|cuda|display|installed) driver(?: version)? (?:[\w.]+ )?is (?:too old|older than)|"
      r"requires (?:an? )?nvidia driver (?:version )?(?:>=|of at least|[\d.]+ or (?:newer|later|higher))", "several programs"),
    # ---- PTX
    S("ptx-toolchain", "ptx_newer_than_driver", 0.96, "cudaerrorunsupportedptxversion unsupported",
      r"provided ptx was compiled with an unsupported toolchain|cudaerrorunsupportedptxversion|cuda_error_unsupported_ptx_version", "CUDA runtime, error 222"),
    S("ptx-version", "ptx_newer_than_driver", 0.85, "unsupported", r"unsupported \.version [\d.]+ ?; current version is", "ptxas and the driver's compiler"),
    S("ptx-jit-failed", "ptx_newer_than_driver", 0.55, "compilation cudaerrorinvalidptx ptx", r"a ptx jit compilation failed|cudaerrorinvalidptx|cuda_error_invalid_ptx", "CUDA runtime, error 218"),
    S("ptx-invalid-image", "ptx_newer_than_driver", 0.45, "cudaerrorinvalidkernelimage image", r"device kernel image is invalid|cudaerrorinvalidkernelimage", "CUDA runtime, error 200"),
    # ---- forward compatibility
    S("compat-hardware", "forward_compat_unsupported_hw", 0.97, "804 compat cudaerrorcompatnotsupportedondevice forward",
      r"forward compatibility was attempted on non[- ]supported hw|error 804\b|cudaerrorcompatnotsupportedondevice|cuda_error_compat_not_supported_on_device", "CUDA runtime, error 804"),
    S("compat-driver", "forward_compat_unsupported_hw", 0.93, "803 cudaerrorsystemdrivermismatch mismatch unsupported",
      r"unsupported display driver ?/ ?cuda driver combination|error 803\b|cudaerrorsystemdrivermismatch|cuda_error_system_driver_mismatch", "CUDA runtime, error 803"),
    # ---- module and library of two versions
    S("nvml-mismatch", "nvml_version_mismatch_reboot", 0.98, "librmversionmismatch mismatch mversionmismatch", r"driver/library version mismatch|nvml_error_lib_rm_version_mismatch|libr_?mversionmismatch|detected an nvml/rm version mismatch", "NVML, error 18"),
    S("nvrm-api-mismatch", "nvml_version_mismatch_reboot", 0.97, "kernel mismatch", r"nvrm: api mismatch|this kernel module has the version", "nvidia kernel module"),
    S("dso-mismatch", "nvml_version_mismatch_reboot", 0.95, "match", r"kernel version [\d.]+ does not match dso version", "TensorFlow and XLA, cuda_diagnostics"),
    # ---- no driver
    S("smi-no-driver", "driver_missing_or_not_loaded", 0.93, "communicate", r"couldn't communicate with the nvidia driver", "nvidia-smi"),
    S("torch-no-driver", "driver_missing_or_not_loaded", 0.7, "found", r"found no nvidia driver on your system", "torch/cuda/__init__.py"),
    S("nvml-not-loaded", "driver_missing_or_not_loaded", 0.95, "loaded", r"nvml error: driver not loaded|driver not loaded|nvidia driver is not loaded|nvml_error_driver_not_loaded", "NVML, error 9"),
    S("nvml-not-found", "driver_missing_or_not_loaded", 0.65, "initialize library nvmlerror", r"nvml shared library not found|nvmlerror_librarynotfound|failed to initialize nvml: could not find", "NVML"),
    S("libnvml-missing", "driver_missing_or_not_loaded", 0.85, "libnvidia", r"libnvidia-ml\.so(?:\.1)?: cannot open shared object file", "libnvidia-container, loader"),
    S("cli-driver-error", "driver_missing_or_not_loaded", 0.85, "request", r"nvidia-container-cli: (?:initialization error: )?driver error: failed to process request", "libnvidia-container"),
    S("cli-permission", "driver_missing_or_not_loaded", 0.8, "container", r"nvidia-container-cli: [^\n]{0,60}(?:insufficient permissions|permission denied)", "libnvidia-container",
      "The device nodes cannot be opened: check ls -l /dev/nvidia*."),
    S("module-key", "driver_missing_or_not_loaded", 0.97, "required unsigned verification", r"required key not available|lockdown: [^\n]{0,80}unsigned module|module verification failed: signature[^\n]{0,60}nvidia|loading of unsigned module is (?:restricted|rejected)", "Linux kernel",
      "Secure Boot refuses the unsigned NVIDIA module."),
    S("module-missing", "driver_missing_or_not_loaded", 0.95, "modprobe", r"modprobe: (?:fatal|error): [^\n]{0,60}nvidia(?![-_](?:peermem|fs|gds))[^\n]{0,120}", "modprobe"),
    S("module-nouveau", "driver_missing_or_not_loaded", 0.95, "nouveau", r"nouveau kernel driver is currently in use|nvrm: nouveau, ?rivafb|already bound to nouveau|nouveau[^\n]{0,60}(?:conflict|incompatible)|kernel driver in use: nouveau", "nvidia kernel module, installer",
      "nouveau owns the GPU."),
    S("module-probe", "driver_missing_or_not_loaded", 0.9, "nvrm probed", r"nvrm: no nvidia (?:graphics adapter|gpu|devices?) (?:probed|found)|nvrm: the nvidia probe routine was not called", "nvidia kernel module"),
    S("module-open-needed", "driver_missing_or_not_loaded", 0.96, "modules", r"requires use of the nvidia open kernel modules", "nvidia kernel module",
      "This GPU runs with the open kernel modules only: install nvidia-open."),
    S("module-legacy", "driver_missing_or_not_loaded", 0.93, "legacy nvrm supported", r"installed in this system is\s+(?:nvrm: )?not supported by the|nvidia [\d.]+xx legacy drivers?|is supported through the nvidia [\d.]+(?:xx|\.xx) legacy", "nvidia kernel module",
      "This driver release does not know this GPU: another branch is needed."),
    S("module-dkms", "driver_missing_or_not_loaded", 0.85, "return unable", r"bad return status for module build on kernel|unable to build the nvidia kernel module|unable to load the (?:kernel module )?['\"]?nvidia(?:-drm|-uvm)?(?:\.ko)?['\"]?(?: kernel module)?|unable to find the kernel source tree for the currently running kernel", "dkms, NVIDIA installer",
      "The module was not built for the running kernel."),
    S("module-proc", "driver_missing_or_not_loaded", 0.8, "proc", r"/proc/driver/nvidia/version:? [^\n]{0,20}no such file", "shell"),
    S("smi-no-devices", "driver_missing_or_not_loaded", 0.75, "devices", r"^no devices were found", "nvidia-smi"),
    S("libcuda-missing", "driver_missing_or_not_loaded", 0.7, "libcuda", r"libcuda\.so\.1: cannot open shared object file|could not load dynamic library 'libcuda\.so\.1'|could not (?:find|load) (?:library )?['\"]?libcuda\.so\.1|libcuda\.so\.1: file not found", "loader",
      "The driver's own library is missing: no driver on the host, or a container without GPU access."),
    S("no-device", "driver_missing_or_not_loaded", 0.5, "capable cudaerrornodevice device", r"no cuda-capable device is detected|cudaerrornodevice|cuda_error_no_device", "CUDA runtime, error 100"),
    # ---- stale driver state
    S("cuda-unknown", "cuda_unknown_error_stale_driver_state", 0.85, "999 cudaerrorunknown error runtime unknown",
      r"cuda unknown error - this may be due to|error 999\b|cuda error: unknown error|cudaerrorunknown|cuda_error_unknown|cuinit\b[^\n]{0,60}\b999\b|cuda failed with error unknown error|cuda (?:runtime )?error \(999\)|cuda (?:runtime )?error \(30\)",
      "CUDA runtime, error 999"),
    S("cuda-launch-failure", "cuda_unknown_error_stale_driver_state", 0.42, "unspecified", r"cuda error: unspecified launch failure|unspecified launch failure", "CUDA runtime, error 719"),
    S("cuda-init-failed", "cuda_unknown_error_stale_driver_state", 0.5, "initialization", r"cuda driver initialization failed, you might not have a cuda gpu", "torch/csrc/cuda/Module.cpp"),
    # ---- fabric manager
    S("system-not-ready", "fabric_manager_not_running", 0.96, "802 cudaerrorsystemnotready initialized ready", r"error 802\b|system not yet initialized|cudaerrorsystemnotready|cuda_error_system_not_ready", "CUDA runtime, error 802"),
    S("fabric-version", "fabric_manager_not_running", 0.96, "fabricmanager fabric", r"fabric ?manager[^\n]{0,80}(?:don.?t match|version mismatch|does not match|failed to (?:start|initialize)|exited|entered failed state|not running)", "nvidia-fabricmanager"),
    S("fabric-state", "fabric_manager_not_running", 0.85, "fabric", r"fabric\n\s*state\s*: in progress", "nvidia-smi -q"),
    S("fabric-nvswitch", "fabric_manager_not_running", 0.8, "nvswitch", r"(?:failed|unable) to initialize (?:all the )?(?:nvidia )?nvswitch|nvidia-nvswitch[^\n]{0,60}fatal", "nvidia-fabricmanager, kernel module"),
    # ---- hardware
    S("xid", "gpu_hardware_xid", 0.95, "xid", r"\bxid\b ?(?:\([^)\n]{1,40}\))?:? ?(?:error )?(48|6[1-4]|69|74|79|8[08]|92|94|95|109|110|119|12[0-5]|13[67]|140|14[3-9]|15[0-9]|16[0-9])\b", "nvidia kernel module",
      "This Xid is a hardware or firmware event."),
    S("off-the-bus", "gpu_hardware_xid", 0.97, "fallen", r"fallen off the bus", "nvidia kernel module"),
    S("ecc", "gpu_hardware_xid", 0.95, "cudaerroreccuncorrectable uncorrectable", r"uncorrectable ecc error encountered|cudaerroreccuncorrectable|cuda_error_ecc_uncorrectable", "CUDA runtime, error 214"),
    S("ecc-remap", "gpu_hardware_xid", 0.85, "failure pending", r"remapping failure occurred\s*: yes|row remapper failure|pending\s*: yes", "nvidia-smi -q"),
    S("gpu-lost", "gpu_hardware_xid", 0.95, "handle lost reset", r"gpu is lost|unable to determine the device handle for gpu|nvml_error_gpu_is_lost|gpu requires reset|\[gpu requires reset\]", "NVML, nvidia-smi"),
    S("nvlink-error", "gpu_hardware_xid", 0.9, "nvlink cudaerrornvlinkuncorrectable", r"uncorrectable nvlink error|cudaerrornvlinkuncorrectable", "CUDA runtime, error 220"),
    S("rm-init", "gpu_hardware_xid", 0.65, "rminitadapter", r"rminitadapter failed|gpu \S+ rminitadapter", "nvidia kernel module", "The driver could not start the GPU."),
    S("smi-err", "gpu_hardware_xid", 0.7, "err", r"^\|[^\n]{0,60}\berr!", "nvidia-smi"),
    S("hw-stack", "gpu_hardware_xid", 0.75, "hardware cudaerrorhardwarestackerror", r"cudaerrorhardwarestackerror|cuda error: hardware stack error", "CUDA runtime, error 714"),
    # ---- compute mode, MIG, indices
    S("gpu-busy", "gpu_exclusive_mode", 0.9, "cudaerrordevicealreadyinuse cudaerrordevicesunavailable unavailable", r"cuda-capable device(?:\(s\)|s) (?:is/)?are busy or unavailable|cudaerrordevicesunavailable|cudaerrordevicealreadyinuse|cuda_error_device_unavailable|cuda_error_devices_unavailable", "CUDA runtime, error 46"),
    S("smi-exclusive", "gpu_exclusive_mode", 0.6, "process thread prohibited", r"(?:\||%)\s{1,12}(?:e\. (?:process|thread)|prohibited)\s*\|", "nvidia-smi"),
    S("smi-q-exclusive", "gpu_exclusive_mode", 0.6, "exclusive prohibited", r"compute mode\s*: (?:exclusive_process|exclusive_thread|prohibited)", "nvidia-smi -q"),
    S("mig-instance", "", 0.0, "enabled mig", r"\bmig[- ](?:\d|<)[^\n]{0,40}|\bmig-(?:gpu-)?[0-9a-f]{4}|mig_uu?id|\bmig\b[^\n]{0,30}(?:slice|instance|enabled|profile)|\bmig devices:|^\|[ \t]+\|[ \t]+\|[ \t]+enabled[ \t]*\|", "nvidia-smi -L"),
    S("mig-torch-assert", "mig_single_instance_visible", 0.5, "success", r"nvml_success == r internal assert failed at[^\n]{0,60}cudacachingallocator", "torch c10/cuda",
      "Seen on MIG instances, where NVML cannot be asked about the device."),
    S("bad-ordinal", "cuda_device_index_invalid", 0.88, "ordinal cudaerrorinvaliddevice invalid", r"invalid device ordinal|cudaerrorinvaliddevice\b|cuda_error_invalid_device", "CUDA runtime, error 101"),
    S("device-assert-index", "cuda_device_index_invalid", 0.7, "internal", r"device >= 0 && device < num_gpus internal assert failed", "torch ATen CUDAContext"),
    S("no-cuda-gpus", "cuda_device_index_invalid", 0.5, "available", r"no cuda gpus are available", "torch/csrc/cuda"),
    S("bad-device-name", "cuda_device_index_invalid", 0.75, "index invalid", r"invalid cuda '?device(?: index)?\b[^\n]{0,60}|invalid device id\b|invalid cuda device|device index must be in the range", "several programs"),
    S("too-many-requested", "cuda_device_index_invalid", 0.88, "count local machine nproc number only proc specified tensor there world",
      r"you requested gpus?: \[[\s\S]{0,80}?but your machine only has|attempting to deserialize object on cuda device \d+ but torch\.cuda\.device_count\(\) is|no slot '\d+' specified on host|"
      r"(?:tensor[ _-]parallel(?: size)?|world size|number of required gpus)[^\n]{0,60}(?:larger than|exceeds|greater than)[^\n]{0,40}(?:available|gpus)|requested \d+ gpus?,? but only \d+|"
      r"local rank \d+ is out of bounds|there (?:are|is) only \d+ (?:gpu|device)s? available|n?proc_per_node[^\n]{0,60}(?:exceeds|greater|more than)|device_count[^\n]{0,30}(?:less|fewer) than",
      "Lightning, torch.load, DeepSpeed, vLLM"),
    S("visible-devices-set", "", 0.0, "visible", r"cuda_visible_devices['\"]?\]? ?[=:] ?['\"]?([^\s'\",;)]*)", "shell, Python"),
    # ---- no NVIDIA GPU
    S("bnb-no-device", "no_nvidia_gpu", 0.7, "bitsandbytes", r"none of the available devices [^\n]{0,120}(?:are|is) supported by the bitsandbytes version", "transformers, quantizer_bnb"),
    S("bnb-needs-gpu", "no_nvidia_gpu", 0.6, "quantization quantize required", r"no gpu found\. a gpu is needed for quantization|gpu is required to (?:quantize|run)", "transformers, quantizer_bnb"),
    S("unsloth-no-gpu", "no_nvidia_gpu", 0.8, "unsloth", r"unsloth (?:currently )?(?:only )?(?:works|cannot find any torch accelerator)|unsloth: no (?:nvidia )?gpu", "unsloth"),
    S("bnb-macos", "no_nvidia_gpu", 0.85, "libbitsandbytes", r"dlopen\([^\n]{0,200}libbitsandbytes|libbitsandbytes_\w+\.dylib", "macOS loader", "The loader is that of macOS: there is no CUDA."),
    S("bnb-rocm", "no_nvidia_gpu", 0.6, "bitsandbytes libbitsandbytes", r"could not (?:find|load) the bitsandbytes rocm binary|libbitsandbytes_rocm\d*\.so[^\n]{0,60}(?:no such file|not found|cannot open)", "bitsandbytes"),
    S("macos", "", 0.0, "air apple chip darwin dylib homebrew mac macbook macos macosx max pro ultra users", r"\bmac ?os\b|\bdarwin\b|macosx_|\bapple m\d\b|\bm[1-4] (?:pro|max|ultra|mac|chip|air)|\.dylib|\bmacbook\b|/opt/homebrew|/users/[^/\n]{1,40}/(?:opt|library|miniforge|miniconda|anaconda)", "several programs"),
    S("amd", "", 0.0, "amd amdgpu gfx hip instinct navi radeon rocm xtx", r"\bradeon\b|\bamdgpu\b|\bgfx\d{3,4}\b|rocm used to build pytorch: \d|\+rocm\d|\bnavi ?\d\d\b|\brx ?\d{4} ?xtx?\b|\bamd (?:instinct|radeon|gpu)\b|\bmi[23]\d\dx?\b", "several programs"),
)
# fmt: on

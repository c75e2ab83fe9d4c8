# ruff: noqa: E501 (a row is a line)
"""What reporters say helped: a cure that worked names the cause better than the symptom does.

A cure alone is no evidence (a guide lists them all); a word of success has to stand in its line.
"""

from __future__ import annotations

from env_check.explain.signatures.row import Signature

# Inflected forms only: "did not help" and "does not fix it" say the opposite.
_SUCCESS = (
    r"^(?![^\n]*(?:n't|\b(?:not|none|nothing|never|neither|still)\b)[^\n]{0,60}"
    r"\b(?:fixed|solved|resolved|helped|worked|works)\b)"
    r"[^\n]*?\b(?:fixed|fixes|solved|solves|resolved|resolves|helped|helps|worked|"
    r"(?<!training[ ])(?<!already[ ])(?<!still[ ])works|cured|cures|(?:did|does) the trick|"
    r"was the (?:problem|cause|culprit|solution|fix|issue|answer)|is the (?:solution|fix)|"
    r"brings? (?:it|the gpus?) back|(?:goes|going) well|forgot|forgotten|was missing|had to)\b"
)
_PUT = r"\b(?:re-?install|install|upgrad|updat|downgrad|pin|switch|mov|build|rebuild|compil|recompil|chang|roll)\w*"
_ANY_PART = r"[^\n]{0,40}?\b"


def _cure(name: str, cause_id: str, strength: float, words: str, expression: str) -> Signature:
    """Return the row for one cure, which counts beside a word of success."""
    return Signature(
        f"cure-{name}", cause_id, strength, words, expression, "a reporter's words", beside=_SUCCESS
    )


# fmt: off
ROWS: tuple[Signature, ...] = (
    # ---- driver and devices
    _cure("driver-update", "driver_too_old_for_cuda", 0.6, "driver drivers", r"\b(?:upgrad\w*|updat\w*|newer|newest|latest)(?: (?:to|the|my|of|a|version|host|host's)){0,3} (?:nvidia |gpu |cuda |graphics |display |video |geforce |host |windows ){0,2}drivers?\b|\bdrivers? (?:upgrade|update)\b|\b(?:upgrad|updat)\w+ (?:nvidia )?drivers?\b"),
    _cure("driver-install", "driver_missing_or_not_loaded", 0.65, "driver drivers secure secureboot nouveau dkms modprobe", r"\b(?:re-?)?install\w*(?: (?:the|an|a|proper|right|correct|missing)){0,2} (?:nvidia|gpu|proprietary|graphics)[- ](?:\w+ )?drivers?\b|\binstall\w* nvidia-driver-\d+|\bdisabl\w* (?:the )?secure ?boot|\bsecure ?boot\b|\bblacklist\w* nouveau|\bnouveau\b|\brebuil\w*" + _ANY_PART + r"dkms|\bmodprobe nvidia\b(?![-_])"),
    _cure("reboot", "cuda_unknown_error_stale_driver_state", 0.5, "reboot rebooting rebooted reboots restart restarting restarted", r"\b(?:re-?boot\w*|restart\w* (?:the |my |of the )?(?:machine|computer|host|pc|server|system|laptop|node))\b"),
    _cure("uvm", "cuda_unknown_error_stale_driver_state", 0.8, "modprobe uvm", r"\bnvidia[-_]modprobe\b|\bnvidia[-_]uvm\b"),
    _cure("version-reboot", "nvml_version_mismatch_reboot", 0.8, "reboot rebooting rebooted restart restarting", r"\b(?:re-?boot\w*|restart\w*)\b[^\n]{0,60}\b(?:mismatch|kernel module|nvml)|\b(?:mismatch|nvml)\b[^\n]{0,60}\bre-?boot"),
    _cure("fabric", "fabric_manager_not_running", 0.85, "fabric fabricmanager", r"\bfabric[- ]?manager\b"),
    _cure("hardware", "gpu_hardware_xid", 0.7, "psu rma card supply riser gpu cable cables defective faulty", r"\b(?:replac\w*|swapp?\w*|re-?seat\w*|rma\w*|chang\w*)(?: (?:the|my|this|a|of|one|faulty|broken|new|other)){0,4} (?:power supply|psu|gpu|graphics card|video card|card|riser(?: card)?|pci-?e? cable|power cables?)\b|\b(?:rma'?d?|defective (?:gpu|card)|faulty (?:gpu|card|psu|riser))\b"),
    _cure("compute-mode", "gpu_exclusive_mode", 0.8, "compute smi", r"\bnvidia-smi (?:-i \S+ )?(?:-c|--compute-mode)[= ]?(?:0|default)\b|\bcompute[- ]mode\b"),
    _cure("mig-off", "mig_single_instance_visible", 0.75, "mig", r"\b(?:disabl\w*|switch\w*|turn\w*) (?:off )?mig\b|\bnvidia-smi (?:-i \S+ )?-mig 0"),
    _cure("device-index", "cuda_device_index_invalid", 0.6, "cuda_visible_devices cuda gpu device nproc_per_node tensor tensor_parallel_size", r"\bcuda_visible_devices\b(?! ?=? ?['\"]?['\"]?\b(?:mig|gpu)-)|\bcuda:\d\b[^\n]{0,20}\bcuda:\d\b|\b(?:gpu|device)[-_ ]ids?\b|--nproc_per_node\b|\btensor[-_]parallel[-_]size\b"),
    # ---- containers and WSL
    _cure("toolkit", "container_toolkit_missing", 0.75, "toolkit docker runtime ctk", r"\bnvidia[- ](?:container[- ](?:toolkit|runtime)|docker2?)\b|\bnvidia-ctk (?:runtime|cdi)\b|\bdefault-runtime\b"),
    _cure("gpu-flag", "container_no_gpu_flag", 0.75, "gpus gpu runtime device deploy nvidia_visible_devices nvidia_driver_capabilities --nv", r"--gpus?\b(?![- ]?(?:ids?|num|memory|util))|--nv\b(?!-)|--runtime[= ]nvidia\b|\bruntime: nvidia\b|--device[= ]nvidia\.com/gpu|\bdeploy\.resources\b|\bnvidia_visible_devices\b|\bnvidia_driver_capabilities\b"),
    _cure("cgroup", "container_lost_gpu_cgroup", 0.85, "cgroupdriver cgroups unified_cgroup_hierarchy daemon", r"\bnative\.cgroupdriver\b|\bno-cgroups\b|\bsystemd\.unified_cgroup_hierarchy\b|\bdaemon-reload\b[^\n]{0,40}\b(?:los|container)"),
    _cure("restart-container", "container_lost_gpu_cgroup", 0.6, "restart restarting restarted restarts", r"\b(?:docker restart|restart\w* (?:the |my )?(?:container|docker container|pod))\b[^\n]{0,60}\b(?:gpu|nvidia|cuda)|\b(?:gpu|nvidia)\b[^\n]{0,60}\brestart\w* (?:the |my )?(?:container|docker container|pod)\b"),
    _cure("image-libraries", "container_image_bundles_driver_libs", 0.8, "libcuda libnvidia", r"\b(?:remov\w*|delet\w*|rm)\b[^\n]{0,60}\blib(?:cuda|nvidia)\S*[^\n]{0,60}\b(?:image|container|dockerfile)|\b(?:image|container|dockerfile)\b[^\n]{0,60}\b(?:remov\w*|delet\w*|rm)\b[^\n]{0,40}\blib(?:cuda|nvidia)"),
    _cure("wsl-update", "wsl_gpu_not_exposed", 0.8, "wsl windows", r"\bwsl(?:\.exe)? --(?:update|set-version|set-default-version)|\b(?:updat|upgrad)\w*(?: (?:to|the|my)){0,2} (?:wsl\b|wsl2|windows (?:10|11|to|build|driver|version)|wsl kernel)|\bwsl ?1\b"),
    _cure("wsl-path", "wsl_libcuda_not_found", 0.85, "wsl", r"/usr/lib/wsl/lib"),
    _cure("wsl-purge", "wsl_driver_installed_inside", 0.85, "wsl", r"\b(?:purg|uninstall|remov)\w*\b[^\n]{0,40}\b(?:nvidia\S*|linux|cuda-drivers)\b[^\n]{0,40}\bwsl2?\b|\bwsl2?\b[^\n]{0,60}\b(?:purg|uninstall|remov)\w*\b[^\n]{0,40}\b(?:nvidia|linux) ?\S*"),
    # ---- torch and its companions
    _cure("cuda-torch", "cpu_only_torch", 0.7, "torch pytorch", r"\binstall\w*\b[^\n]{0,40}\b(?:cuda|gpu)[- ]?(?:enabled)?[- ]?(?:version|build|wheels?|variant)?(?: of)? (?:torch|pytorch)\b|\b(?:torch|pytorch) with (?:cuda|gpu)(?: support)?\b|\bcpu[- ]only (?:torch|pytorch|build|version)\b"),
    _cure("nightly", "gpu_arch_not_in_wheel", 0.65, "nightly blackwell cu128 cu129", r"\bnightly\b[^\n]{0,30}\bcu1[23]\d|\bcu12[89]\b[^\n]{0,60}\b(?:50[5-9]0|blackwell)|\b(?:50[5-9]0|blackwell)\b[^\n]{0,60}\bcu12[89]\b"),
    _cure("library-path", "mixed_cuda_libs", 0.7, "ld_library_path cudnn nvidia-c nvidia-n", r"\bunset\w* ld_library_path|\b(?:remov|clear|clean|empty)\w*\b[^\n]{0,30}\bld_library_path|" + _PUT + r" nvidia-(?:cudnn|nccl|cublas|cusparse\w*|nvjitlink|cuda-\w+)(?:-cu1\d)?\b|\b(?:remov|delet|uninstall)\w*\b[^\n]{0,30}\bcudnn\b"),
    _cure("vision-pair", "torchvision_torchaudio_mismatch", 0.72, "torchvision torchaudio torchtext", _PUT + r"(?: (?:the|to|torch|pytorch|and|matching|correct|right|version|of))* (?:torchvision|torchaudio|torchtext)\b"),
    _cure("numpy", "numpy_abi_mismatch", 0.72, "numpy", _PUT + r"(?: (?:the|to|version|of))* [\"'`]?numpy\b"),
    _cure("libstdcxx", "glibc_or_libstdcxx_too_old", 0.78, "libstdcxx libstdc glibc gcc libgcc", r"\blibstdcxx(?:-ng)?\b|\blibstdc\+\+|\bglibc\b|\bconda install[^\n]{0,30}\b(?:gcc|libgcc)"),
    _cure("half", "bf16_unsupported", 0.65, "bf16 bfloat16 dtype", r"\bbf(?:loat)?16\b[^\n]{0,20}\b(?:to|->|with|by|false)\b[^\n]{0,16}\b(?:fp16|float16|false|half)|\b(?:fp16|float16) instead of bf(?:loat)?16|--dtype[= ](?:half|float16)"),
    _cure("bitsandbytes", "bnb_cuda_setup_failed", 0.65, "bitsandbytes bnb libbitsandbytes_cuda", _PUT + r"(?: (?:the|to|version|of))* (?:bitsandbytes|bnb)\b|\bbitsandbytes-windows\b|\blibbitsandbytes_cuda\d+\S*\.so\b"),
    _cure("flash-attn", "flash_attn_abi_mismatch", 0.65, "flash flash_attn flashattn attn extension extensions", r"\b(?:re-?install|upgrad|updat|downgrad|rebuild|recompil)\w*(?: (?:the|to|version|of))* flash[-_ ]?attn\b|\b(?:rebuil|recompil)\w*\b[^\n]{0,30}\bextensions?\b"),
    _cure("no-flash", "flash_attn_unsupported_gpu", 0.62, "use_flash_attn flash flashattention", r"\buse_flash_attn\b|\b(?:disabl|uninstall|without|remov)\w* (?:the )?flash[-_ ]?(?:attn|attention)"),
    _cure("xformers", "xformers_torch_mismatch", 0.7, "xformers", _PUT + r"(?: (?:the|to|-u|version|of))* xformers\b"),
    _cure("triton", "triton_torch_mismatch", 0.65, "triton", _PUT + r"(?: (?:the|to|version|of|pytorch-))* ?triton\b(?!-windows)"),
    _cure("compiler", "triton_no_compiler", 0.7, "gcc clang build dev devel triton g++", r"\binstall\w*(?: -y)? (?:gcc|g\+\+|clang|build-essential|python3[\d.]*-dev(?:el)?|triton-windows)\b|\btriton-windows\b"),
    _cure("ptxas", "triton_arch_unsupported", 0.85, "triton_ptxas_path", r"\btriton_ptxas_path\b"),
    _cure("cuda-home", "nvcc_torch_cuda_mismatch", 0.65, "cuda_home toolkit cuda ds_skip_cuda_check", r"\bcuda_home ?= ?/usr/local/cuda-1\d|\binstall\w*\b[^\n]{0,20}\bcuda(?:[- ]toolkit)? 1\d\.\d\b[^\n]{0,40}\b(?:match|same|torch)|\bds_skip_cuda_check\b"),
    _cure("toolkit-install", "nvcc_missing_for_build", 0.7, "toolkit nvcc isolation devel ninja cuda_home", r"\binstall\w*\b[^\n]{0,30}\b(?:(?:nvidia-)?cuda[- ]toolkit|cuda-nvcc|nvcc)\b|--no-build-isolation\b|\bdevel image\b|\b(?:pip )?install\w* ninja\b|\bcuda_home\b(?! ?= ?/usr/local/cuda-1\d)"),
    # ---- several GPUs
    _cure("p2p", "nccl_p2p_broken", 0.8, "nccl_p2p_disable nccl_p2p_level iommu acs p2p peer amd_iommu all_reduce reduce vt-d", r"\bnccl_p2p_(?:disable|level)\b|\b(?:amd_)?iommu ?= ?(?:off|pt|soft)|\b(?:disabl|turn)\w* (?:off )?(?:the )?(?:p2p|acs|iommu|peer[- ]to[- ]peer|vt-d)|\bdisable[-_]custom[-_]all[-_]reduce\b|\bp2p (?:is |was )?disabled\b"),
    _cure("interface", "nccl_network_interface", 0.8, "nccl_socket_ifname gloo_socket_ifname nccl_ib_disable nccl_ib_hca nccl_ib_gid_index firewall firewalld ufw hosts master_addr master_port", r"\b(?:nccl|gloo)_socket_ifname\b|\bnccl_ib_(?:disable|hca|gid_index)\b(?![^\n]{0,40}nccl_p2p)|\bfirewall\w*\b|\bufw\b|/etc/hosts\b|\bmaster_(?:addr|port)\b"),
    _cure("set-device", "nccl_duplicate_gpu", 0.7, "set_device", r"\btorch\.cuda\.set_device\b|\bset_device\((?:int\()?(?:args\.)?(?:local_)?rank\b"),
    _cure("patience", "nccl_timeout_slow_rank", 0.78, "ddp_timeout timedelta nccl_blocking_wait nccl_timeout heartbeat_timeout_sec dist_timeout nccl_heartbeat_timeout_sec torch_nccl_blocking_wait", r"\bddp_timeout\b|\btimeout ?= ?(?:datetime\.)?timedelta|\b(?:torch_)?nccl_(?:heartbeat_timeout_sec|blocking_wait|timeout)\b|\bdist_timeout\b"),
    # ---- memory and disk
    _cure("smaller", "oom_model_too_large", 0.45, "batch checkpointing expandable_segments max_split_size_mb", r"\b(?:reduc|lower|decreas|smaller|less|halv)\w*(?: \w+){0,3} batch[- _]?size\b|\bgradient[- _]checkpointing\b|\bexpandable_segments\b|\bmax_split_size_mb\b"),
    _cure("kill", "oom_gpu_used_by_other_process", 0.7, "kill killed killing kills", r"\bkill\w*\b[^\n]{0,40}\b(?:process\w*|pids?|kernels?|zombies?)\b[^\n]{0,60}\b(?:memory|gpu|vram|oom)|\b(?:memory|gpu|vram|oom)\b[^\n]{0,60}\bkill\w*\b[^\n]{0,30}\b(?:process\w*|pids?|kernels?|zombies?)\b"),
    _cure("more-memory", "oom_host_killed", 0.72, "swap swapfile ram page paging memory max_jobs low_cpu_mem_usage", r"\b(?:add|increas|enlarg|more|larger|bigger|extra)\w*(?: \w+){0,3} (?:swap(?:file)?|ram|page ?file|paging file|system memory|cpu memory)\b|\bmax_jobs ?= ?\d|\blow_cpu_mem_usage\b"),
    _cure("shm", "shm_too_small", 0.85, "shm ipc shm_size emptydir", r"--shm-size\b|--ipc[= ]host\b|\bshm_size\b|\bemptydir\b[^\n]{0,40}\bmemory\b"),
    _cure("no-workers", "shm_too_small", 0.5, "workers num_workers", r"\bnum[-_]?workers\b ?(?:=|to|:)? ?0\b[^\n]{0,60}\b(?:bus error|shm|shared memory)|\b(?:bus error|shm|shared memory)\b[^\n]{0,60}\bnum[-_]?workers\b"),
    _cure("disk", "disk_full_cache", 0.65, "disk space storage cache prune hf_home tmpdir transformers_cache pip_cache_dir", r"\b(?:free|clear|clean)\w*(?: up)?(?: \w+){0,3} (?:disk|space|storage|cache)\b|\bdocker system prune\b|\b(?:hf_home|tmpdir|transformers_cache|pip_cache_dir|--cache-dir)\b[^\n]{0,40}\b(?:disk|space|quota|drive)"),
    # ---- hub, data, tracking
    _cure("terms", "gated_model_no_access", 0.75, "license licence terms conditions agreement access", r"\b(?:accept|agree)\w*(?: \w+){0,3} (?:license|licence|terms|conditions|agreement)\b|\b(?:request|ask)\w*(?: \w+){0,2} access\b|\baccess (?:request )?(?:was|has been|is) (?:granted|approved|accepted)"),
    _cure("log-in", "hf_token_missing", 0.72, "login hf_token use_auth_token hub_token logged logging", r"\b(?:huggingface-cli|hf auth|hf) login\b|\bhf_token\b(?! ?was)|\buse_auth_token\b|\bhugging_?face_hub_token\b|\blogg(?:ing|ed) in(?: to| with)? (?:hugging|hf|the hub)"),
    _cure("new-token", "hf_token_invalid", 0.74, "token tokens hf_token", r"\b(?:new|fresh|regenerat\w*|recreat\w*|another|renew\w*) (?:hf |huggingface |hugging face |access |the |my |read )*tokens?\b|\bunset hf_token\b"),
    _cure("mirror", "hf_hub_unreachable", 0.75, "hf_endpoint mirror vpn proxy _proxy _offline", r"\bhf_endpoint\b|\bhf-mirror\b|\b(?:using|with|through|turn\w* on|enabl\w*) (?:a |the |my )?(?:vpn|proxy)\b|\bhttps?_proxy\b|\b(?:hf_hub|transformers|hf_datasets)_offline\b"),
    _cure("hub-packages", "hf_stack_version_conflict", 0.7, "transformers peft trl accelerate datasets tokenizers huggingface diffusers sentence", _PUT + r"(?: (?:the|to|-u|version|of|latest|my))* [\"'`]?(?:transformers|peft|trl|accelerate|datasets|tokenizers|huggingface[-_]hub|diffusers|sentence-transformers)\b|\b(?:transformers|peft|trl|accelerate|datasets|tokenizers|huggingface[-_]hub) ?== ?\d|\btransformers from (?:source|git)|\b(?:transformers|peft|trl|accelerate|datasets|tokenizers)\b[^\n]{0,30}\b(?:downgrad|upgrad)\w*"),
    _cure("resize", "device_side_assert_token_ids", 0.8, "resize_token_embeddings", r"\bresize_token_embeddings\b"),
    _cure("template", "chat_template_missing", 0.8, "template chat_template", r"--chat-template\b|\btokenizer\.chat_template\b|\bchat_template\.jinja\b"),
    _cure("offline-tracker", "tracking_server_unreachable", 0.75, "wandb_mode wandb_disabled wandb_api_key wandb_base_url wandb mlflow_tracking_uri report_to", r"\bwandb_(?:mode|disabled|api_key|base_url)\b|\bwandb (?:offline|disabled|login)\b|\bmlflow_tracking_uri\b|\breport_to ?=? ?[\"'\[]*none"),
)
# fmt: on

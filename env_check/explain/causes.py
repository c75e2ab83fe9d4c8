# ruff: noqa: E501 (a command is a line)
"""The closed list of causes: what each means, the commands that mend it, and how to verify.

Ids, layers, families and definitions are those of the labelled reports; a diagnosis names one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

# Lowest first: a broken lower layer explains the ones above it.
LAYERS = (
    "driver", "wsl", "container-runtime", "torch", "bitsandbytes", "flash-attn/triton", "nccl",
    "memory/oom", "disk/shm", "huggingface/hub", "data/tokenizer", "mlflow",
)  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """One environment fault."""

    id: str
    layer: str
    family: str
    definition: str
    fix: tuple[str, ...]
    verify: str


@dataclass(frozen=True)
class Diagnosis:
    """One cause found in a text, with the lines that speak for it."""

    cause_id: str
    layer: str
    family: str
    confidence: float  # 0 to 1
    evidence: tuple[str, ...]  # "line 12: text", masked
    why: str
    fix: tuple[str, ...]
    verify: str


_SMI = "nvidia-smi"
_TORCH = 'python -c "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())"'
_MATMUL = "python -c \"import torch; a = torch.ones(64, 64, device='cuda'); print((a @ a).sum())\""
_DOCKER_SMI = "docker run --rm --gpus all ubuntu nvidia-smi"

# fmt: off
CAUSES: tuple[Cause, ...] = (
    # ---- driver
    Cause("driver_too_old_for_cuda", "driver", "driver_version",
          "The NVIDIA driver is older than the CUDA of torch, the image or the program needs.",
          ("nvidia-smi --query-gpu=name,driver_version --format=csv",
           "upgrade the host driver, e.g. sudo apt-get install nvidia-driver-580 && sudo reboot (WSL2: the Windows driver)",
           "or install a torch build, or take an image tag, of a CUDA the driver can run"), _TORCH),
    Cause("ptx_newer_than_driver", "driver", "driver_version",
          "PTX made by a newer CUDA toolkit than the driver can compile: minor-version compatibility does not cover PTX.",
          ("nvidia-smi | head -4",
           "upgrade the driver to the branch of that CUDA version, e.g. sudo apt-get install nvidia-driver-580 && sudo reboot",
           "or use a build of an older CUDA, or one with machine code for this GPU"), _MATMUL),
    Cause("forward_compat_unsupported_hw", "driver", "driver_version",
          "A cuda-compat libcuda newer than the kernel driver is loaded, on a GPU or driver without forward compatibility.",
          ("ldconfig -p | grep libcuda.so; cat /proc/driver/nvidia/version",
           "take the cuda-compat directory off LD_LIBRARY_PATH (in an image: rm -rf /usr/local/cuda*/compat)",
           "or upgrade the host driver"), _TORCH),
    Cause("nvml_version_mismatch_reboot", "driver", "driver_state",
          "The driver's user-space libraries were updated while the older kernel module stayed loaded.",
          ("sudo reboot",
           "or, with no process on the GPU: sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && sudo modprobe nvidia",
           "to keep it from coming back: sudo apt-mark hold 'nvidia-driver-*' 'libnvidia-*'"), _SMI),
    Cause("driver_missing_or_not_loaded", "driver", "driver_state",
          "No NVIDIA kernel module: not installed, blocked (Secure Boot, nouveau), not for this GPU or not built for this kernel.",
          ("sudo modprobe nvidia; sudo dmesg | grep -iE 'nvrm|nouveau' | tail; mokutil --sb-state",
           "sudo ubuntu-drivers install && sudo reboot",
           "Secure Boot: enrol the module key (sudo mokutil --import /var/lib/shim-signed/mok/MOK.der) or switch it off; "
           "nouveau: blacklist it and rebuild the initramfs"), _SMI),
    Cause("cuda_unknown_error_stale_driver_state", "driver", "driver_state",
          "The driver's state is stale (suspend and resume, a crashed process, missing nvidia_uvm): CUDA unknown error.",
          ("sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm", "sudo nvidia-modprobe -u -c=0", "sudo reboot"), _MATMUL),
    Cause("fabric_manager_not_running", "driver", "driver_state",
          "An NVSwitch machine without a running Fabric Manager of exactly the driver's version.",
          ("systemctl status nvidia-fabricmanager; cat /proc/driver/nvidia/version",
           "sudo apt-get install nvidia-fabricmanager-<driver branch>=<driver version>*",
           "sudo systemctl enable --now nvidia-fabricmanager"), "nvidia-smi -q | grep -A2 Fabric"),
    Cause("gpu_hardware_xid", "driver", "hardware",
          "The GPU reported a hardware fault (Xid, ECC, fallen off the bus): power, heat, PCIe or the card itself.",
          ("sudo dmesg | grep -iE 'xid|nvrm' | tail -20; nvidia-smi -q -d ECC,ROW_REMAPPER,TEMPERATURE",
           "power-cycle the machine; check power cables, seating and cooling",
           "if it returns, take the GPU out of service and have it replaced"), _SMI),
    Cause("gpu_exclusive_mode", "driver", "device_visibility",
          "The GPU's compute mode is exclusive or prohibited and another process owns it.",
          ("nvidia-smi -q -d COMPUTE; nvidia-smi --query-compute-apps=pid,name --format=csv",
           "sudo nvidia-smi -c 0", "or use another GPU: CUDA_VISIBLE_DEVICES=<index>"), _MATMUL),
    Cause("mig_single_instance_visible", "driver", "device_visibility",
          "MIG is on: one process sees one instance only, so multi-GPU code fails.",
          ("nvidia-smi -L", "one process per instance: CUDA_VISIBLE_DEVICES=MIG-<uuid>",
           "for multi-GPU training: sudo nvidia-smi -mig 0"), "nvidia-smi -L"),
    Cause("cuda_device_index_invalid", "driver", "device_visibility",
          "A device index or CUDA_VISIBLE_DEVICES that names no visible GPU, or more ranks than GPUs.",
          ("nvidia-smi -L; echo \"$CUDA_VISIBLE_DEVICES\"", "unset CUDA_VISIBLE_DEVICES",
           "start as many processes as visible GPUs: torchrun --nproc_per_node=$(nvidia-smi -L | wc -l)"),
          'python -c "import torch; print(torch.cuda.device_count())"'),
    Cause("no_nvidia_gpu", "bitsandbytes", "device_visibility",
          "There is no NVIDIA GPU here (Apple, AMD, CPU host) but CUDA-only code is used.",
          ("run it on a machine with an NVIDIA GPU",
           "or go without CUDA-only parts: no load_in_4bit/load_in_8bit, optim=adamw_torch, device cpu or mps"),
          "lspci | grep -i nvidia"),
    # ---- containers and WSL
    Cause("container_toolkit_missing", "container-runtime", "container",
          "The NVIDIA Container Toolkit is not installed, or the container engine is not configured for it.",
          ("sudo apt-get install -y nvidia-container-toolkit",
           "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
           "podman or CDI: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
           "docker from snap cannot use it: install docker-ce"), _DOCKER_SMI),
    Cause("container_no_gpu_flag", "container-runtime", "container",
          "The container was started without access to a GPU.",
          ("docker run --gpus all …",
           "compose: deploy.resources.reservations.devices with driver nvidia and capabilities [gpu]",
           "podman run --device nvidia.com/gpu=all …"), _DOCKER_SMI),
    Cause("container_lost_gpu_cgroup", "container-runtime", "container",
          "A running container lost its GPU devices: systemd rewrote the device rules of its cgroup.",
          ("docker restart <container>", "sudo nvidia-ctk system create-dev-char-symlinks --create-all",
           'lasting: "exec-opts": ["native.cgroupdriver=cgroupfs"] in /etc/docker/daemon.json, or CDI devices'),
          "docker exec <container> nvidia-smi -L"),
    Cause("container_image_bundles_driver_libs", "container-runtime", "container",
          "The image carries libcuda or libnvidia-ml itself and clashes with the injected ones.",
          ("docker run --rm --entrypoint sh <image> -c 'find / -name \"libcuda.so*\" -o -name \"libnvidia-ml.so*\"'",
           "in the Dockerfile: RUN rm -f /usr/lib/x86_64-linux-gnu/libcuda.so* /usr/lib/x86_64-linux-gnu/libnvidia-*.so*",
           "install no nvidia-driver or libnvidia-* package in an image"), "docker run --rm --gpus all <image> nvidia-smi"),
    Cause("wsl_gpu_not_exposed", "wsl", "wsl",
          "WSL1, an old Windows or WSL, TCC mode or missing paravirtualisation: there is no GPU inside WSL.",
          ("in PowerShell: wsl --update; wsl --shutdown; wsl -l -v (VERSION must be 2)",
           "install the current NVIDIA driver in Windows, none in Linux",
           "a card in TCC mode: nvidia-smi -dm 0 in an administrator's shell"), "/usr/lib/wsl/lib/nvidia-smi"),
    Cause("wsl_libcuda_not_found", "wsl", "wsl",
          "The GPU works in WSL, but libcuda of /usr/lib/wsl/lib is not on the loader's path.",
          ("export LD_LIBRARY_PATH=/usr/lib/wsl/lib:$LD_LIBRARY_PATH",
           "lasting: echo /usr/lib/wsl/lib | sudo tee /etc/ld.so.conf.d/wsl.conf && sudo ldconfig"),
          "ldconfig -p | grep libcuda"),
    Cause("wsl_driver_installed_inside", "wsl", "wsl",
          "A Linux NVIDIA driver (or its libraries) was installed inside WSL and shadows the Windows one.",
          ("sudo apt-get purge -y 'nvidia-driver-*' 'nvidia-utils-*' 'libnvidia-*' && sudo apt-get autoremove -y",
           "in PowerShell: wsl --shutdown"), "ldconfig -p | grep libcuda   # only /usr/lib/wsl/lib"),
    # ---- torch and its companions
    Cause("cpu_only_torch", "torch", "torch_build",
          "torch is a CPU build (+cpu, Windows default, aarch64 default, wrong index).",
          ("pip uninstall -y torch torchvision torchaudio",), _TORCH),
    Cause("gpu_arch_not_in_wheel", "torch", "torch_build",
          "The GPU is newer than every architecture in the build: a newer CUDA build is needed.", (), _MATMUL),
    Cause("gpu_arch_dropped", "torch", "torch_build",
          "The GPU is older than the architectures in the build: an older CUDA build or torch is needed.", (), _MATMUL),
    Cause("mixed_cuda_libs", "torch", "torch_libs",
          "CUDA or cuDNN libraries of two installations are mixed (LD_LIBRARY_PATH, system cuDNN, other wheels).",
          ("unset LD_LIBRARY_PATH", "pip list | grep -i '^nvidia'",
           "pip install --force-reinstall torch   # with the nvidia wheels it pins; best in a fresh environment"), _MATMUL),
    Cause("torchvision_torchaudio_mismatch", "torch", "torch_pair",
          "torchvision or torchaudio belongs to another torch release or CUDA build.",
          ("pip uninstall -y torchvision torchaudio", "pip install torch torchvision torchaudio   # all from one index, in one command"),
          'python -c "import torch, torchvision; print(torch.__version__, torchvision.__version__)"'),
    Cause("numpy_abi_mismatch", "torch", "torch_pair",
          "torch or an extension was built for NumPy 1.x and NumPy 2 is installed, or the reverse.",
          ('pip install "numpy<2"', "or upgrade what was built for NumPy 1 (torch >= 2.3)"),
          'python -c "import torch; torch.ones(2).numpy()"'),
    Cause("glibc_or_libstdcxx_too_old", "torch", "system_libs",
          "The system's glibc or libstdc++ is older than the binary needs.",
          ("ldd --version; strings $(gcc -print-file-name=libstdc++.so.6) | grep GLIBCXX | tail -1",
           "use an image with a newer system, e.g. ubuntu:22.04 or newer",
           "GLIBCXX in conda: conda install -c conda-forge libstdcxx-ng; or build the package here: pip install --no-binary"),
          'python -c "import torch"'),
    Cause("cuda_major_mismatch_extension", "torch", "torch_pair",
          "An extension was linked to another CUDA major than the one torch brings.",
          (_TORCH, "install the build of the extension for torch's CUDA (look for cu12 or cu13 in its wheel name), or rebuild it"),
          'python -c "import <extension>"'),
    Cause("bf16_unsupported", "torch", "gpu_feature",
          "bf16 or tf32 is asked of a GPU older than Ampere, or of no GPU.",
          ("set bf16: false, fp16: true, tf32: false", "4-bit: bnb_4bit_compute_dtype=torch.float16; vLLM: --dtype=half"),
          'python -c "import torch; print(torch.cuda.get_device_capability())"'),
    # ---- bitsandbytes
    Cause("bnb_missing_cuda_lib", "bitsandbytes", "bitsandbytes",
          "This bitsandbytes release has no prebuilt library for the CUDA version of torch.",
          ("pip install -U bitsandbytes", "stopgap: export BNB_CUDA_VERSION=<a version the wheel has>"),
          "python -m bitsandbytes"),
    Cause("bnb_cuda_setup_failed", "bitsandbytes", "bitsandbytes",
          "bitsandbytes cannot load its CUDA library or what that depends on (paths, override, wrong runtime).",
          ("unset BNB_CUDA_VERSION; python -m bitsandbytes", "pip install -U bitsandbytes",
           "torch must see the GPU first: " + _TORCH), "python -m bitsandbytes"),
    # ---- extensions
    Cause("flash_attn_abi_mismatch", "flash-attn/triton", "extension_abi",
          "A compiled extension (flash-attn) was built for another torch or C++ ABI.",
          ("pip uninstall -y flash-attn",
           'python -c "import torch, sys; print(torch.__version__, torch.version.cuda, torch.compiled_with_cxx11_abi(), sys.version_info[:2])"',
           "install the release wheel whose name has these (cuNN, torchX.Y, cxx11abi, cpXY), or build it: "
           "pip install flash-attn --no-build-isolation --no-cache-dir"), 'python -c "import flash_attn"'),
    Cause("flash_attn_unsupported_gpu", "flash-attn/triton", "extension_arch",
          "The GPU is older than flash-attn supports (Ampere or newer).",
          ('attn_implementation="sdpa"   # or "eager"', "pip uninstall -y flash-attn where the framework picks it by itself"),
          'python -c "import torch; print(torch.cuda.get_device_capability())"'),
    Cause("xformers_torch_mismatch", "flash-attn/triton", "extension_abi",
          "xformers was built for another torch or CUDA.",
          ("pip uninstall -y xformers", "pip install xformers   # the release for the installed torch, from the same index"),
          "python -m xformers.info"),
    Cause("triton_torch_mismatch", "flash-attn/triton", "extension_abi",
          "The installed triton is not the one this torch expects.",
          ("pip show torch | grep -i requires", "pip install --force-reinstall --no-deps triton==<the one torch pins>"),
          "pip check"),
    Cause("triton_no_compiler", "flash-attn/triton", "toolchain",
          "Triton needs a C compiler, Python headers and libcuda to build its launcher.",
          ("sudo apt-get install -y gcc python3-dev", "libcuda not found by the linker: sudo ldconfig; export LIBRARY_PATH=/usr/local/cuda/lib64/stubs",
           "Windows: pip install triton-windows"), "gcc --version; python3-config --includes"),
    Cause("triton_arch_unsupported", "flash-attn/triton", "extension_arch",
          "Triton's compiler does not know the GPU, or the GPU lacks the instruction (bf16 below 8.0).",
          ("older than Ampere: fp16 instead of bf16, no torch.compile below 7.0",
           "newer than triton: upgrade torch with its triton, or export TRITON_PTXAS_PATH=/usr/local/cuda/bin/ptxas"), _MATMUL),
    Cause("nvcc_torch_cuda_mismatch", "flash-attn/triton", "toolchain",
          "Source build: nvcc's version does not fit the CUDA of torch or the GPU.",
          ("nvcc --version; " + _TORCH, "export CUDA_HOME=/usr/local/cuda-<torch.version.cuda> PATH=$CUDA_HOME/bin:$PATH",
           "or take a prebuilt wheel"), "$CUDA_HOME/bin/nvcc --version"),
    Cause("nvcc_missing_for_build", "flash-attn/triton", "toolchain",
          "Source build without a CUDA toolkit (CUDA_HOME unset, nvcc not found) or hidden from torch.",
          ("take a prebuilt wheel of the package",
           "or install the toolkit: sudo apt-get install cuda-toolkit-<X-Y> && export CUDA_HOME=/usr/local/cuda (or a -devel image)",
           "torch not found in the build: pip install ninja packaging psutil && pip install <package> --no-build-isolation"), "nvcc --version"),
    # ---- NCCL
    Cause("nccl_p2p_broken", "nccl", "nccl",
          "Peer-to-peer between the GPUs hangs or corrupts (ACS, IOMMU, consumer cards).",
          ("export NCCL_P2P_DISABLE=1", "consumer cards with accelerate: export NCCL_IB_DISABLE=1 too",
           "lasting: switch IOMMU/ACS off in the BIOS"), "nvidia-smi topo -p2p r"),
    Cause("nccl_network_interface", "nccl", "nccl",
          "NCCL or gloo picks no, or a wrong, network interface, or the ranks cannot reach each other.",
          ("ip -br addr", "export NCCL_SOCKET_IFNAME=<interface> GLOO_SOCKET_IFNAME=<interface>   # or ^docker0,lo,veth",
           "open the ports between the nodes; MASTER_ADDR must resolve on all of them"), "NCCL_DEBUG=INFO torchrun …"),
    Cause("nccl_duplicate_gpu", "nccl", "nccl",
          "Two ranks use the same GPU.",
          ('torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))', "as many processes as GPUs: torchrun --nproc_per_node=$(nvidia-smi -L | wc -l)"),
          "NCCL_DEBUG=INFO torchrun …"),
    Cause("nccl_timeout_slow_rank", "nccl", "nccl",
          "A collective timed out because one rank does long work (tokenising, saving) or died while the others wait.",
          ("prepare and cache the data set before the launch",
           "ddp_timeout: 7200   # TrainingArguments; plain torch: init_process_group(timeout=timedelta(hours=2))",
           "if all ranks are idle: NCCL_DEBUG=INFO, then NCCL_P2P_DISABLE=1 to test peer-to-peer"), "TORCH_NCCL_TRACE_BUFFER_SIZE=2000 torchrun …"),
    # ---- memory and disk
    Cause("oom_model_too_large", "memory/oom", "oom",
          "The job needs more GPU memory than the card has.",
          ("per_device_train_batch_size: 1 with gradient_accumulation_steps; gradient_checkpointing: true",
           "load_in_4bit: true (QLoRA); shorter max_length",
           "export PYTORCH_ALLOC_CONF=expandable_segments:True   # when reserved is far above allocated"),
          "nvidia-smi --query-gpu=memory.used,memory.total --format=csv"),
    Cause("oom_gpu_used_by_other_process", "memory/oom", "oom",
          "Another process holds most of the GPU memory.",
          ("nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv", "end that process: kill <pid>",
           "or use another GPU: CUDA_VISIBLE_DEVICES=<index>"), "nvidia-smi --query-gpu=memory.used,memory.total --format=csv"),
    Cause("oom_host_killed", "memory/oom", "oom",
          "Host RAM is exhausted; the kernel kills the process (SIGKILL, -9, 137).",
          ("free -g; sudo dmesg | grep -iE 'out of memory|oom' | tail",
           "fewer dataloader_num_workers and num_proc; low_cpu_mem_usage=True; less CPU offload",
           "more RAM or swap; a container: docker run --memory=<n>g"), "free -g"),
    Cause("shm_too_small", "disk/shm", "shm",
          "/dev/shm of the container is too small (Docker gives 64 MB).",
          ("docker run --shm-size=16g …   # or --ipc=host", "compose: shm_size: 16gb; Kubernetes: emptyDir with medium Memory at /dev/shm",
           "stopgap: dataloader_num_workers: 0"), "df -h /dev/shm"),
    Cause("disk_full_cache", "disk/shm", "disk",
          "No space (or no right to write): hub cache, data set cache, temp, checkpoints or image build.",
          ("df -h . ~ /tmp; df -i .; du -sh ~/.cache/huggingface ~/.cache/pip",
           "export HF_HOME=<bigger disk>/huggingface TMPDIR=<bigger disk>/tmp",
           "docker system prune; hf cache scan; save_total_limit: 2"), "df -h"),
    # ---- hub, data, tracking
    Cause("gated_model_no_access", "huggingface/hub", "hub_auth",
          "The token is fine, but its account has no access to the gated repository.",
          ("open the model's page with the account of the token and accept the terms",
           "a fine-grained token needs \"read access to public gated repositories\""), "hf auth whoami"),
    Cause("hf_token_missing", "huggingface/hub", "hub_auth",
          "No token is sent for a gated or private repository.",
          ("hf auth login", "container: docker run -e HF_TOKEN …"), "hf auth whoami"),
    Cause("hf_token_invalid", "huggingface/hub", "hub_auth",
          "The token is expired, revoked or malformed.",
          ("make a new token in the account's settings", "unset HF_TOKEN HUGGING_FACE_HUB_TOKEN && hf auth login   # a variable wins over the saved token"),
          "hf auth whoami"),
    Cause("hf_hub_unreachable", "huggingface/hub", "hub_network",
          "No route to the hub (firewall, proxy, DNS, offline mode, outage).",
          ("curl -sSI https://huggingface.co | head -1", "export HTTPS_PROXY=http://<proxy>:<port>   # or HF_ENDPOINT=<mirror>",
           "download elsewhere and set HF_HUB_OFFLINE=1; if it is set by mistake: unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE"),
          "curl -sSI https://huggingface.co | head -1"),
    Cause("hf_stack_version_conflict", "huggingface/hub", "hf_versions",
          "transformers, peft, trl, accelerate and their companions do not fit each other.",
          ("pip check", "pip install -U transformers peft trl accelerate datasets huggingface_hub tokenizers",
           "or install the set of one lock file"), "pip check"),
    Cause("device_side_assert_token_ids", "data/tokenizer", "data",
          "Token or label ids outside the embedding: device-side assert.",
          ("model.resize_token_embeddings(len(tokenizer))",
           "assert max(ids) < model.get_input_embeddings().num_embeddings; labels are -100 or below num_labels",
           "CUDA_LAUNCH_BLOCKING=1 shows the line"), "run one batch on the CPU"),
    Cause("chat_template_missing", "data/tokenizer", "data",
          "The tokenizer has no chat template (base model).",
          ("use the Instruct model, or set tokenizer.chat_template (a job: chat_template_path)",),
          'python -c "from transformers import AutoTokenizer as T; print(T.from_pretrained(\'<model>\').chat_template)"'),
    Cause("tracking_server_unreachable", "mlflow", "tracking",
          "The experiment tracking server does not answer, or refuses, at the configured address.",
          ("curl -s $MLFLOW_TRACKING_URI/health", "mlflow server --host 0.0.0.0 --port 5000",
           "inside a container localhost is the container: use the service name or host.docker.internal",
           "or without a server: export MLFLOW_TRACKING_URI=file:./mlruns WANDB_MODE=offline"), "curl -s $MLFLOW_TRACKING_URI/health"),
)
# fmt: on

BY_ID: dict[str, Cause] = {cause.id: cause for cause in CAUSES}

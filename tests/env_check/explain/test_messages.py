# ruff: noqa: E501 (a message is a line, with the quotes people paste)
"""Messages as programs print them, one cause each: a probe of every signature's variants."""

from __future__ import annotations

import pytest

from env_check.explain import explain_text

MESSAGES: dict[str, list[str]] = {
    "driver_too_old_for_cuda": [
        "Status: CUDA driver version is insufficient for CUDA runtime version",
        "CUDA error 35 at x.cu: CUDA driver version is insufficient",
        "nvidia-container-cli: requirement error: unsatisfied condition: driver >= 525\nplease update your driver to a newer version",
        "ERROR: This container was built for NVIDIA Driver Release 555.42 or later, but\n       version 470.82.01 was detected and compatibility mode is UNAVAILABLE.",
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11080).",
        "GPU 0: NVIDIA A10\nNvidia driver version: 470.82.01\nPyTorch version: 2.1.0+cu121\nCUDA used to build PyTorch: 12.1\nIs CUDA available: False",
        "torch.cuda.is_available() False, torch 2.11.0+cu130, driver 550.54.15, CUDA Version: 12.4",
        "NVIDIA-SMI 535.104.05   Driver Version: 535.104.05   CUDA Version: 12.2\n>>> torch.__version__\n'2.12.0+cu130'\n>>> torch.cuda.is_available()\nFalse",
    ],
    "ptx_newer_than_driver": [
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with an unsupported toolchain.",
        "numba.cuda.cudadrv.driver.LinkerError: [222] Call to cuLinkAddData results in CUDA_ERROR_UNSUPPORTED_PTX_VERSION\nptxas application ptx input, line 9; fatal   : Unsupported .version 8.7; current version is '8.4'",
    ],
    "nvml_version_mismatch_reboot": [
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.183",
        "pynvml.NVMLError_LibRmVersionMismatch: RM has detected an NVML/RM version mismatch.",
    ],
    "driver_missing_or_not_loaded": [
        "modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.8.0-40-generic",
        "NVIDIA-SMI has failed because it couldn’t communicate with the NVIDIA driver.",
        "pynvml.NVMLError_DriverNotLoaded: Driver Not Loaded",
        "[drm:nv_drm_load [nvidia_drm]] *ERROR* [nvidia-drm] [GPU ID 0x00000100] Failed to allocate NvKmsKapiDevice\nNVRM: The NVIDIA GPU 0000:01:00.0 (PCI ID: 10de:2684)\nNVRM: installed in this system is not supported by the\nNVRM: NVIDIA 470.256.02 driver release.",
        "nvidia: module verification failed: signature and/or required key missing - tainting kernel\nNo devices were found",
        "ERROR: The Nouveau kernel driver is currently in use by your system.  This driver is incompatible with the NVIDIA driver",
        "Error! Bad return status for module build on kernel: 6.8.0 (x86_64)\nConsult /var/lib/dkms/nvidia/535.183/build/make.log for more information.",
    ],
    "cuda_unknown_error_stale_driver_state": [
        "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment",
        "cuInit(0) returned 999",
        "RuntimeError: CUDA error: unknown error",
        "failed call to cuInit: CUDA_ERROR_UNKNOWN: unknown error",
    ],
    "fabric_manager_not_running": [
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
        "cuda failure 802 'system not yet initialized'",
    ],
    "gpu_hardware_xid": [
        "kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "NVRM: Xid (PCI:0000:81:00): 48, pid=1234, An uncorrectable double bit error (DBE) has been detected on GPU",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "Unable to determine the device handle for GPU0000:4B:00.0: Unknown Error",
        "NVRM: Xid (PCI:0000:c1:00): 119, pid=2351, name=python, Timeout waiting for RPC from GSP!",
        "Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system to recover this GPU",
        "| 36%   ERR!  P0    ERR! / 300W |",
        "NVRM: Xid (PCI:0000:17:00): 94, Contained: CE User Channel",
    ],
    "gpu_exclusive_mode": [
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "Compute Mode                          : Exclusive_Process\nRuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable",
    ],
    "cuda_device_index_invalid": [
        "RuntimeError: CUDA error: invalid device ordinal",
        "RuntimeError: No CUDA GPUs are available\nos.environ['CUDA_VISIBLE_DEVICES']='3'",
        "ValueError: Invalid CUDA 'device=0,1' requested. Use 'device=cpu' or pass valid CUDA device(s) if available",
        "lightning.fabric.utilities.exceptions.MisconfigurationException: You requested gpu: [0, 1]\n But your machine only has: [0]",
        "ValueError: The number of required GPUs exceeds the total number of available GPUs in the placement group.",
        "AssertionError: Invalid device id",
        "ValueError: No slot '2' specified on host 'localhost'",
        "RuntimeError: Attempting to deserialize object on CUDA device 2 but torch.cuda.device_count() is 1.",
    ],
    "no_nvidia_gpu": [
        "Unsloth: No NVIDIA GPU found? Unsloth currently only supports GPUs!",
        "NotImplementedError: Unsloth cannot find any torch accelerator? You need a GPU.",
        "AssertionError: Torch not compiled with CUDA enabled\nmacOS-14.5-arm64",
        "RuntimeError: Found no NVIDIA driver on your system.\nGPU: AMD Radeon RX 6700 XT",
        "RuntimeError: No GPU found. A GPU is needed for quantization.\nMacBook Pro M2",
        "Could not find the bitsandbytes ROCm binary\nAMD Instinct MI250",
    ],
    "container_toolkit_missing": [
        "docker: Error response from daemon: Unknown runtime specified nvidia.",
        "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all",
        "docker: Error response from daemon: unknown or invalid runtime name: nvidia.",
        'error running hook: exec: "nvidia-container-runtime-hook": executable file not found in $PATH',
        "Error: stat nvidia.com/gpu=all: no such file or directory",
        'Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]',
        "docker: Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime create failed: unable to retrieve OCI runtime error (open /run/containerd/io.containerd.runtime.v2.task/moby/x/log.json: no such file or directory): fork/exec /usr/bin/nvidia-container-runtime: no such file or directory: unknown.",
        "docker: Error response from daemon: CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=0",
        'Failed to create pod sandbox: rpc error: no runtime for "nvidia" is configured',
    ],
    "container_no_gpu_flag": [
        'exec: "nvidia-smi": executable file not found in $PATH: unknown.\ndocker run --rm nvidia/cuda:12.2.0-base nvidia-smi',
        "root@a1b2c3d4e5f6:/# nvidia-smi\nbash: nvidia-smi: command not found",
        "WARNING: The NVIDIA Driver was not detected.  GPU functionality will not be available.",
        "docker run -it pytorch/pytorch python -c 'import torch; print(torch.cuda.is_available())'\nFalse\nCUDA available: False",
        "docker exec app python x\nImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
    ],
    "container_image_bundles_driver_libs": [
        "nvidia-container-cli: mount error: file creation failed: /var/lib/docker/overlay2/x/merged/usr/lib/x86_64-linux-gnu/libcuda.so.1: file exists: unknown",
    ],
    "wsl_gpu_not_exposed": [
        "nvidia-container-cli: initialization error: WSL environment detected but no adapters were found: unknown",
        "Failed to initialize NVML: GPU access blocked by the operating system\nFailed to properly shut down NVML: GPU access blocked by the operating system",
        "Linux DESKTOP 4.4.0-19041-Microsoft #1237-Microsoft\nRuntimeError: Found no NVIDIA driver on your system.",
    ],
    "wsl_libcuda_not_found": [
        "OSError: libcuda.so.1: cannot open shared object file: No such file or directory\nLinux-5.15.90.1-microsoft-standard-WSL2",
        "/mnt/c/Users/x$ python -m bitsandbytes\nCUDA SETUP: WARNING! libcuda.so not found! Do you have a CUDA driver installed?",
    ],
    "cpu_only_torch": [
        "AssertionError: Torch not compiled with CUDA enabled",
        "PyTorch version: 2.2.0+cpu\nIs CUDA available: False\nGPU models and configuration: GPU 0: NVIDIA GeForce RTX 3060",
        "AttributeError: module 'torch._C' has no attribute '_cuda_setDevice'",
        "RuntimeError: No GPU found. A GPU is needed for quantization.\ntorch==2.3.0+cpu",
        "- `PyTorch version (GPU?)`: 2.1.0+cpu (False)\nGPU: RTX 4070",
    ],
    "mixed_cuda_libs": [
        "ImportError: /lib/x86_64-linux-gnu/libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12",
        "RuntimeError: cuDNN version incompatibility: PyTorch was compiled  against (9, 1, 0) but found runtime version (8, 9, 7).",
        "ImportError: libtorch_cuda.so: undefined symbol: ncclCommRegister",
        "OSError: libcudnn.so.9: cannot open shared object file: No such file or directory",
        "nvrtc: error: failed to open nvrtc-builtins64_118.dll",
        "RuntimeError: cuDNN error: CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED",
        "Could not load library libcudnn_ops_infer.so.8. Error: libcudnn_ops_infer.so.8: cannot open shared object file",
    ],
    "numpy_abi_mismatch": [
        "UserWarning: Failed to initialize NumPy: _ARRAY_API not found (Triggered internally at tensor_numpy.cpp:84.)",
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from PyObject",
        "AttributeError: `np.float_` was removed in the NumPy 2.0 release. Use `np.float64` instead.",
        "ImportError: numpy.core.multiarray failed to import",
        "AttributeError: _ARRAY_API not found",
    ],
    "glibc_or_libstdcxx_too_old": [
        "OSError: /lib64/libm.so.6: version `GLIBC_2.29' not found (required by libtorch.so)",
        "ImportError: /lib64/libstdc++.so.6: version `CXXABI_1.3.13' not found",
    ],
    "bnb_cuda_setup_failed": [
        "AttributeError: 'NoneType' object has no attribute 'cquantize_blockwise_fp16_nf4'",
        "UserWarning: The installed version of bitsandbytes was compiled without GPU support.",
        "bitsandbytes library load error: libcudart.so.12: cannot open shared object file: No such file or directory",
        "CUDA SETUP: CUDA detection failed! Possible reasons:",
        "RuntimeError: 🚨 Forgot to compile the bitsandbytes library? 🚨",
        "libbitsandbytes_cpu.so: undefined symbol: cget_col_row_stats",
    ],
    "bnb_missing_cuda_lib": [
        "Could not find the bitsandbytes CUDA binary at PosixPath('/x/bitsandbytes/libbitsandbytes_cuda124.so')",
        "RuntimeError: Configured CUDA binary not found at /x/libbitsandbytes_cuda130.so",
        "CUDA SETUP: Required library version not found: libbitsandbytes_cuda116.so. Maybe you need to compile it from source?",
    ],
    "flash_attn_abi_mismatch": [
        "ImportError: /x/flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: _ZN2at4_ops5zeros4callE",
        "ImportError: DLL load failed while importing flash_attn_2_cuda: The specified procedure could not be found.",
        "RuntimeError: Failed to import transformers.models.llama.modeling_llama because of the following error (look up to see its traceback):\n/x/flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZNK3c105Error4whatEv",
    ],
    "flash_attn_unsupported_gpu": [
        "RuntimeError: FlashAttention only supports Ampere GPUs or newer.",
        "RuntimeError: Expected is_sm80 || is_sm90 to be true, but got false.",
        "RuntimeError: FlashAttention-2 only supports Ampere or newer GPUs",
        "RuntimeError: FlashAttention backward for head dim > 192 requires A100/A800 or H100/H800",
        "ValueError: FlashAttention2 requires a GPU with compute capability >= 8.0",
    ],
    "xformers_torch_mismatch": [
        "WARNING[XFORMERS]: xFormers can't load C++/CUDA extensions. xFormers was built for:",
        "NotImplementedError: No operator found for `memory_efficient_attention_forward` with inputs:",
        "ImportError: xformers/_C.so: undefined symbol: _ZNK3c10",
    ],
    "triton_no_compiler": [
        "RuntimeError: Failed to find C compiler. Please specify via CC environment variable.",
        "/tmp/x/main.c:4:10: fatal error: Python.h: No such file or directory",
        "torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found",
        "AssertionError: libcuda.so cannot found!\nPossible files are located at ['/usr/lib/x86_64-linux-gnu/libcuda.so.1'].",
        "RuntimeError: Cannot find a working triton installation.",
    ],
    "triton_arch_unsupported": [
        "ptxas fatal   : Value 'sm_120' is not defined for option 'gpu-name'",
        "RuntimeError: Internal Triton PTX codegen error",
        "'sm_121a' is not a recognized processor for this target (ignoring processor)",
        "triton.compiler.errors.CompilationError: type fp8e4nv not supported in this architecture. The supported fp8 dtypes are ('fp8e4b15', 'fp8e5')",
    ],
    "nvcc_torch_cuda_mismatch": [
        "RuntimeError: The detected CUDA version (12.4) mismatches the version that was used to compile PyTorch (11.8)",
        "nvcc fatal   : Unsupported gpu architecture 'compute_90a'",
        "RuntimeError: FlashAttention is only supported on CUDA 11.7 and above.  Note: make sure nvcc has a supported version by running nvcc -V.",
        "RuntimeError: Cuda extensions are being compiled with a version of Cuda that does not match the version used to compile Pytorch binaries.",
    ],
    "nvcc_missing_for_build": [
        "OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root.",
        "/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found",
        "FileNotFoundError: [Errno 2] No such file or directory: '/usr/local/cuda/bin/nvcc'",
        "deepspeed.ops.op_builder.builder.MissingCUDAException: CUDA_HOME does not exist, unable to compile CUDA op(s)",
        "error: [Errno 2] No such file or directory: ':/usr/local/cuda/bin/nvcc'",
    ],
    "nccl_p2p_broken": [
        'NotImplementedError: Using RTX 4000 series doesn\'t support faster communication broadband via P2P or IB. Please set `NCCL_P2P_DISABLE="1"` and `NCCL_IB_DISABLE="1"',
        "setting NCCL_P2P_DISABLE=1 solved the hang",
        "misc/ipc... NCCL WARN Cuda failure 'peer access is not supported between these two devices'",
        "training hangs on 2x RTX 4090\nNCCL INFO Channel 00 : 0[1000] -> 1[2000] via P2P/direct pointer",
    ],
    "nccl_network_interface": [
        "NCCL WARN Bootstrap : no socket interface found",
        "RuntimeError: Gloo connectFullMesh failed with [../third_party/gloo/gloo/transport/tcp/pair.cc:144] no error",
        "[E socket.cpp:922] [c10d] The client socket has timed out after 60s while trying to connect to (10.0.0.1, 29500).",
        "RuntimeError: [enforce fail at gloo/transport/tcp/device.cc] rv != -1. Unable to find address for: eth9",
    ],
    "nccl_timeout_slow_rank": [
        "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7, OpType=BROADCAST, Timeout(ms)=1800000) ran for 1800123 milliseconds",
        "torch.distributed.DistStoreError: wait timeout after 900000ms, keys: /default_pg/0//cuda//0",
        "RuntimeError: Timed out waiting 1800000ms for recv operation to complete",
    ],
    "shm_too_small": [
        "RuntimeError: unable to open shared memory object </torch_29919_1396182366> in read-write mode",
        "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
        "OSError: [Errno 28] No space left on device: '/dev/shm/psm_1234'",
        "Fatal Python error: Bus error",
        "NCCL WARN Error while creating shared memory segment /dev/shm/nccl-AbCd (size 9637888)",
    ],
    "disk_full_cache": [
        "OSError: [Errno 28] No space left on device",
        "RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 1472 vs 1366",
        "OSError: [Errno 122] Disk quota exceeded",
        "failed to register layer: write /usr/lib/x: no space left on device",
    ],
    "gated_model_no_access": [
        "huggingface_hub.errors.GatedRepoError: 403 Client Error.",
        "Access to model google/gemma-2-9b is restricted and you are not in the authorized list. Visit https://huggingface.co/google/gemma-2-9b to ask for access.",
        "403 Forbidden: Please enable access to public gated repositories in your fine-grained token settings to view this repository.",
    ],
    "hf_token_missing": [
        "huggingface_hub.utils._errors.LocalTokenNotFoundError: Token is required (`token=True`), but no token found.",
        "Access to model meta-llama/Llama-2-7b is restricted. You must be authenticated to access it.",
        "401 Client Error: Unauthorized for url: https://huggingface.co/api/models/x/y",
    ],
    "hf_token_invalid": [
        "ValueError: Invalid token passed!",
        "httpx.LocalProtocolError: Illegal header value b'Bearer '",
        "requests.exceptions.HTTPError: Invalid user token.",
        'User Access Token "x" is expired',
    ],
    "hf_hub_unreachable": [
        "OSError: We couldn't connect to 'https://huggingface.co' to load this file",
        "ConnectionError: Couldn't reach 'tatsu-lab/alpaca' on the Hub (ConnectionError)",
        "httpx.ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate\nhttps://huggingface.co/x",
        "huggingface_hub.errors.OfflineModeIsEnabled: Cannot reach https://huggingface.co/api: offline mode is enabled.",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution\nHTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded",
    ],
    "hf_stack_version_conflict": [
        "TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'tokenizer'",
        "ImportError: cannot import name 'is_torch_fx_available' from 'transformers.utils.import_utils'",
        "ValueError: The checkpoint you are trying to load has model type `qwen3` but Transformers does not recognize this architecture.",
        "Exception: data did not match any variant of untagged enum ModelWrapper at line 757479 column 3",
        "TypeError: LoraConfig.__init__() got an unexpected keyword argument 'corda_config'",
        "ImportError: huggingface-hub>=0.34.0,<1.0 is required for a normal functioning of this module, but found huggingface-hub==1.0.1.",
        "AttributeError: 'DynamicCache' object has no attribute 'seen_tokens'",
    ],
    "oom_host_killed": [
        "Killed",
        "[1]    12345 killed     python train.py",
        "Out of memory: Killed process 4242 (python) total-vm:98765432kB",
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: exitcode  : -9 (pid: 1)",
        "command terminated with exit code 137",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried to allocate 90177536 bytes.",
        "OSError: The paging file is too small for this operation to complete. (os error 1455)",
        "RuntimeError: DataLoader worker (pid 3105) is killed by signal: Killed.",
    ],
    "device_side_assert_token_ids": [
        "RuntimeError: CUDA error: device-side assert triggered",
        "IndexError: index out of range in self",
        "Assertion `t >= 0 && t < n_classes` failed.",
    ],
    "tracking_server_unreachable": [
        "wandb: Network error (ConnectionError), entering retry loop.",
        "mlflow.exceptions.MlflowException: API request to endpoint /api/2.0/mlflow/runs/create failed with error code 403 != 200.",
        "requests.exceptions.ConnectionError: HTTPConnectionPool(host='mlflow', port=5000): Max retries exceeded with url: /api/2.0/mlflow/experiments/get-by-name",
        "wandb.errors.errors.CommError: Run initialization has timed out after 90.0 sec.",
    ],
    "bf16_unsupported": [
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.",
        "RuntimeError: Current CUDA Device does not support bfloat16. Please switch dtype to float16.",
        "ValueError: Your setup doesn't support bf16/gpu.",
    ],
    "gpu_arch_dropped": [
        "Found GPU0 GeForce GTX 770 which is of cuda capability 3.0.\n    PyTorch no longer supports this GPU because it is too old.",
        "Found GPU0 NVIDIA GeForce GTX 1080 which is of cuda capability 6.1.\n    Minimum and Maximum cuda capability supported by this version of PyTorch is\n    (7.5) - (12.0)",
        "Tesla K80\ntorch==1.13.1\nRuntimeError: CUDA error: no kernel image is available for execution on the device",
        "torch 2.8.0+cu129, GPU: GTX 1080 Ti, CUDA error: no kernel image is available for execution on the device",
    ],
    "gpu_arch_not_in_wheel": [
        "RTX 5070 Ti: RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "Error no kernel image is available for execution on the device at line 167 in file D:\\ai\\tool\\bitsandbytes\\csrc\\ops.cu\nNVIDIA GeForce RTX 5090",
        "NVIDIA H100 80GB HBM3 with CUDA capability sm_90 is not compatible with the current PyTorch installation.\nThe current PyTorch install supports CUDA capabilities sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86.",
    ],
    "mig_single_instance_visible": [
        "GPU 0: NVIDIA H100 (UUID: GPU-1)\n  MIG 1g.10gb     Device  0: (UUID: MIG-1)\n  MIG 1g.10gb     Device  1: (UUID: MIG-2)\nRuntimeError: CUDA error: invalid device ordinal",
    ],
    "chat_template_missing": [
        "ValueError: As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if the tokenizer does not define one.",
        "The tokenizer does not have a chat template.",
    ],
    "cuda_major_mismatch_extension": [
        "ImportError: libcudart.so.11.0: cannot open shared object file: No such file or directory\ntorch 2.4.0+cu121",
        "ImportError: libcudart.so.13: cannot open shared object file",
        "ImportError: libnvrtc.so.11.2: cannot open shared object file: No such file or directory",
    ],
    "triton_torch_mismatch": [
        "ModuleNotFoundError: No module named 'triton.ops'",
        "ImportError: cannot import name 'AttrsDescriptor' from 'triton.backends.compiler'",
        'torch 2.6.0 requires triton==3.2.0; platform_system == "Linux", but you have triton 3.1.0 which is incompatible.',
    ],
    "torchvision_torchaudio_mismatch": [
        "OSError: /x/torchaudio/lib/libtorchaudio.so: undefined symbol: _ZN3c10",
        "RuntimeError: Detected that PyTorch and torchvision were compiled with different CUDA major versions.",
        "AttributeError: partially initialized module 'torchvision' has no attribute 'extension' (most likely due to a circular import)",
        "RuntimeError: Detected that PyTorch and TorchAudio were compiled with different CUDA versions.",
    ],
}
ROWS = [(cause_id, text) for cause_id, texts in MESSAGES.items() for text in texts]


@pytest.mark.parametrize(
    ("cause_id", "text"), ROWS, ids=[f"{c}-{n}" for n, (c, _) in enumerate(ROWS)]
)
def test_a_bare_message_names_its_cause(cause_id: str, text: str) -> None:
    """One line, without the report around it, is enough."""
    assert explain_text(text)[0].cause_id == cause_id

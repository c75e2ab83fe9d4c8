# ruff: noqa: E501 (a row is a line)
"""What torch, its companions and the loader say about builds and libraries."""

from __future__ import annotations

from env_check.explain.signatures.row import Signature as S
from env_check.explain.signatures.row import not_loaded, same_line

# fmt: off
ROWS: tuple[S, ...] = (
    # ---- torch builds
    S("not-compiled", "cpu_only_torch", 0.92, "enabled", r"torch not compiled with cuda enabled", "torch/cuda/__init__.py"),
    S("webui-no-gpu", "cpu_only_torch", 0.5, "able", r"torch is not able to use gpu", "stable-diffusion-webui"),
    S("no-cuda-functions", "cpu_only_torch", 0.85, "attribute", r"module 'torch\._c' has no attribute '_cuda_\w+'|'torch\._c' has no attribute '_cuda\w*'", "torch"),
    S("load-on-cpu", "cpu_only_torch", 0.5, "deserialize", r"attempting to deserialize object on a cuda device but torch\.cuda\.is_available\(\) is false", "torch.load"),
    S("asks-cuda", "", 0.0, "available", r">>> ?(?:print\()?torch\.cuda\.is_available\(\)|^(?:print\()?torch\.cuda\.is_available\(\)|-c ['\"][^\n]{0,200}torch\.cuda\.is_available", "a person at a prompt"),
    S("nvcc-release", "", 0.0, "compilation", r"cuda compilation tools, release \d", "nvcc"),
    S("no-nccl-built", "cpu_only_torch", 0.5, "distributed", r"distributed package doesn't have nccl built[ -]in", "torch.distributed"),
    S("gpu-incompatible", "", 0.0, "supports", r"with cuda capability sm_(\d+) is not compatible with the current pytorch installation[\s\S]{0,200}?supports cuda capabilities ([sm_\d acompute]+)", "torch/cuda/__init__.py"),
    S("gpu-incompatible-short", "gpu_arch_not_in_wheel", 0.5, "installation", r"with cuda capability sm_(\d+) is not compatible with the current pytorch installation", "torch/cuda/__init__.py"),
    S("gpu-cc-warning", "", 0.0, "which", r"which is of compute capability \(cc\) (\d+\.\d)", "torch >= 2.12"),
    S("gpu-cc-supported", "", 0.0, "supports", r"^\W*(\d+\.\d) which supports hardware cc", "torch >= 2.12"),
    S("gpu-no-kernels", "gpu_arch_dropped", 0.6, "kernels published", r"does not include kernels for this gpu|no published pytorch cuda builds for release", "torch >= 2.12"),
    S("gpu-cc-range", "", 0.0, "which", r"which is of cuda capability (\d+\.\d)[\s\S]{0,120}?supported by this version of pytorch is \((\d+\.\d)\) - \((\d+\.\d)\)", "torch 2.8 to 2.11"),
    S("gpu-too-old", "gpu_arch_dropped", 0.97, "longer minimum", r"pytorch no longer supports this gpu because it is too old|minimum cuda capability supported by this library is", "torch < 2.12"),
    S("arch-refused", "", 0.0, "supported unsupported compatible low old below minimum required", same_line(r"(?:\bsm_?|capability:? |compute )\d{1,3}(?:\.\d)?", r"(?:not supported|unsupported|not compatible|incompatible|too low|too old|minimum required|below)", 60), "several programs"),
    S("no-kernel-image", "gpu_arch_not_in_wheel", 0.55, "binary cudaerrornokernelimagefordevice image", r"no kernel image\b|cudaerrornokernelimagefordevice|cuda_error_no_binary_for_gpu", "CUDA runtime, error 209",
      "Some binary has no machine code for this GPU."),
    S("invalid-device-function", "gpu_arch_not_in_wheel", 0.42, "function cudaerrorinvaliddevicefunction", r"invalid device function|cudaerrorinvaliddevicefunction", "CUDA runtime, error 98"),
    S("cublas-arch", "gpu_arch_not_in_wheel", 0.6, "arch mismatch", r"cu(?:blas|dnn|sparse|solver)_status_arch_mismatch", "cuBLAS, cuDNN"),
    S("nvrtc-arch", "gpu_arch_not_in_wheel", 0.85, "invalid", r"nvrtc: error: invalid value for --gpu-architecture", "NVRTC", "The runtime compiler of this CUDA does not know the GPU."),
    S("arch-unknown", "gpu_arch_not_in_wheel", 0.7, "unknown", r"unknown cuda arch \([\d.]+\) or gpu not supported", "torch/utils/cpp_extension.py"),
    # ---- libraries
    S("nvjitlink", "mixed_cuda_libs", 0.96, "symbol", r"(?:undefined symbol|symbol):? _{0,2}(?:nvjitlink|cublaslt|cusparse|cublas[a-z]|cusolver|cufft)\w*", "loader",
      "A CUDA library of another version is found first."),
    S("nccl-symbol", "mixed_cuda_libs", 0.93, "undefined", r"undefined symbol: (?:nccl[a-z]\w+|cudagetdriverentrypoint\w*|cudnn[a-z]\w+|cuda[a-z]\w+, version libcudart\S*|nvrtc[a-z]\w+|nvtx[a-z]\w+)", "loader"),
    S("cudnn-sublibrary", "mixed_cuda_libs", 0.96, "defined incompatibility libcudnn mismatch sublibrary symbol system", r"cudnn_status_(?:sublibrary_version|sublibrary|version)_mismatch|cudnn_status_sublibrary_loading_failed|cudnn version incompatibility|could not load library libcudnn_\w+\.so|libcudnn\w*\.so[.\d]*[^\n]{0,200}version [^\n]{0,120}not defined|unable to load any of \{libcudnn[^\n]{0,120}|cannot load symbol cudnn\w+|lib\w+\.so\.\*\S* not found in the system path", "cuDNN, torch"),
    S("cudnn-runtime", "mixed_cuda_libs", 0.9, "runtime linked", r"compiled against \([\d, ]+\) but found runtime version|loaded runtime cudnn library: [\d.]+ but source was compiled with|compiled against \([\d, ]+\) but linked against", "torch, TensorFlow"),
    S("cudnn-prose", "mixed_cuda_libs", 0.75, "cudnn", same_line(r"\bcudnn\b", r"(?:version mismatch|incompatib\w+|different versions?|compiled against[^\n]{0,40}runtime)"), "several programs"),
    S("cudnn-dll", "mixed_cuda_libs", 0.85, "locate", r"could not locate (?:cudnn\w*64_\d+|zlibwapi)\.dll", "cuDNN on Windows"),
    S("jax-library", "mixed_cuda_libs", 0.6, "unable", r"unable to load cu(?:sparse|blas|dnn|solver|fft)\. is it installed", "jax", "A library of the wheels is missing, or another one is found first."),
    S("cudnn-not-initialized", "mixed_cuda_libs", 0.45, "initialized", r"cudnn_status_not_initialized", "cuDNN, torch"),
    S("nvrtc-builtins", "mixed_cuda_libs", 0.85, "builtins", r"failed to open (?:lib)?nvrtc-builtins|libnvrtc-builtins\.so\.[\d.]+: cannot open", "NVRTC"),
    S("dll-of-torch", "mixed_cuda_libs", 0.5, "winerror", r"\[winerror 12[67]\][^\n]{0,200}error loading \"?[^\n]{0,160}torch\\+lib\\+", "Windows loader", "A DLL of torch, or one it needs, is missing or of another installation."),
    S("library-path", "", 0.0, "library", r"\bld_library_path['\"]?\]? ?[=:] ?['\"]?([^\s'\",;)]*)|unset ld_library_path|ld_library_path=? [^\n]{0,80}(?:fix|solve|work)|\(ld_library_path\)", "shell"),
    S("cublas-value", "", 0.0, "cublas", r"cublas_status_invalid_value when calling", "cuBLAS, torch"),
    S("cudnn-error", "", 0.0, "cudnn", r"cudnn error|cudnn_status_\w+", "cuDNN, torch"),
    S("wheel-library-missing", "mixed_cuda_libs", 0.7, "libcudnn libcusparselt libcupti libnccl libcufile libnvshmem libnvtoolsext", not_loaded(r"lib(?:cudnn(?:_\w+)?|cusparselt|cupti|nccl|cufile|nvshmem_host|nvtoolsext)\.so\.\d[\d.]*"), "loader",
      "A library from torch's own nvidia wheels is missing or shadowed."),
    S("lib-version-symbol", "mixed_cuda_libs", 0.9, "symbol", r"symbol \S+,? version lib(?:cublas|cublaslt|cudnn|cudart|nvjitlink|cusparse)\S* not defined", "loader"),
    S("cudart-missing", "cuda_major_mismatch_extension", 0.82, "libcudart libcublas libcublaslt libcusparse libcufft libcurand libcusolver libnvrtc libnvjitlink libnpp libnppc libnppial libnppicc libnppig", not_loaded(r"lib(?:cudart|cublas|cublaslt|cusparse|cufft|curand|cusolver|nvrtc|nvjitlink|npp\w+)\.so\.\d[\d.]*"), "loader",
      "An extension asks for a CUDA major that is not installed."),
    S("torch-global-deps", "", 0.0, "global preload", r"_load_global_deps|_preload_cuda_deps", "torch/__init__.py"),
    S("tensorflow-goes-on", "", 0.0, "dlerror skipping", r"ignore above cud\w+ dlerror|skipping registering gpu devices", "TensorFlow"),
    S("cudart-dll", "cuda_major_mismatch_extension", 0.8, "cublas cudart dynamic", r"could not load dynamic library '(?:lib)?cud(?:art|nn)\S*'|could not find module '[^'\n]{0,120}(?:cudart|cublas)64_\d+\.dll|(?:cublas|cudart|cublaslt)64_\d+\.dll (?:is not found|not found)", "TensorFlow, Windows loader"),
    S("broken-binary", "", 0.0, "undefined load winerror procedure entry", r"undefined symbol:? ?(\S*)|dll load failed while importing (\w+)|\[winerror 1(?:26|27|82|93|114)\]|procedure entry point", "loaders of Linux and Windows"),
    S("nvidia-wheel", "", 0.0, "nvidia", r"\bnvidia-(?:cublas|cudnn|nccl|cuda-runtime|cusparse|nvjitlink)-cu(1\d)\b", "pip"),
    S("torch-library-missing", "flash_attn_abi_mismatch", 0.6, "libc libtorch", not_loaded(r"lib(?:c10_cuda|torch_cuda|torch_cuda_cu|torch_cuda_cpp|torch_python|c10)\.so"), "loader", "The extension asks for a library of torch that this torch does not have."),
    S("vision-ops", "torchvision_torchaudio_mismatch", 0.96, "custom torchvision image torchaudio", r"operator torchvision::\w+ does not exist|no such operator torchvision::\w+|could not run 'torchvision::\w+' with arguments from the 'cuda' backend|couldn't load custom c\+\+ ops|partially initialized module 'torchvision'|no such operator image::\w+|module 'torch(?:vision|audio)' has no attribute|cannot import name '\w+' from (?:partially initialized module )?'torch(?:vision|audio)[\w.]*'|no module named 'torch(?:vision|audio)\.[\w.]+'|dll load failed while importing _c[^\n]{0,120}torchvision|torchvision::\w+ is not available|torchvision has not been built with cuda|\btorchvision[^\n]{0,60}not (?:been )?(?:compiled|built) with cuda", "torchvision"),
    S("vision-cuda", "torchvision_torchaudio_mismatch", 0.97, "torchaudio torchvision", r"pytorch and torch ?(?:audio|vision) were compiled with different cuda|pytorch has cuda version[\s\S]{0,40}(?:torchvision|torchaudio) (?:has|was)", "torchvision, torchaudio"),
    S("extension-cuda", "flash_attn_abi_mismatch", 0.85, "different", r"detected that pytorch and (?!torch ?audio|torch ?vision)\w+ were compiled with different cuda", "torch_scatter, torch_sparse", "The extension was compiled for another CUDA than torch."),
    S("vision-symbol", "torchvision_torchaudio_mismatch", 0.9, "dll libtorchaudio not pyd symbol torchaudio torchvision", r"(?:torchvision|torchaudio)\S*\.(?:so|pyd|dll)['\"]?[^\n]{0,120}(?:undefined symbol|could not be found|symbol not found)|(?:libtorchaudio|torchvision/_c|torchvision/image)\S*: undefined symbol|failed to load image python extension: [^\n]{0,160}undefined symbol|could not load this library: [^\n]{0,160}torchaudio", "loader"),
    S("vision-pip", "torchvision_torchaudio_mismatch", 0.85, "torchvision torchaudio", r"(?:torchvision|torchaudio) \S+ (?:requires|depends on|has requirement) torch ?==[^\n]{0,20},?[^\n]{0,20}(?:but you(?:'ll)? (?:have|will have)|which is incompatible)|conflict is caused by:[\s\S]{0,800}?(?:torchvision|torchaudio) \S+ depends on torch", "pip"),
    S("numpy-abi", "numpy_abi_mismatch", 0.95, "array indicate numpy", r"compiled using numpy 1\.x cannot be run in|_array_api not found|numpy\.(?:dtype|ndarray|ufunc) size changed|may indicate binary incompatibility\. expected \d+ from c header|module compiled against (?:abi|api) version 0x\w+ but this version of numpy", "NumPy"),
    S("numpy-na", "numpy_abi_mismatch", 0.9, "numpy", r"runtimeerror: numpy is not available|pytorch was compiled without numpy support|could not infer dtype of numpy\.\w+|numpy\.core\.(?:multiarray|umath) failed to import|numpy\._core\.multiarray failed to import|no module named 'numpy\._core", "torch, NumPy"),
    S("numpy-removed", "numpy_abi_mismatch", 0.75, "removed", r"was removed in the numpy 2\.0 release|`np\.\w+` was removed", "NumPy 2", "A package still uses names that NumPy 2 removed."),
    S("numpy-alias", "numpy_abi_mismatch", 0.7, "numpy", r"module 'numpy' has no attribute '(?:float|int|bool8?|object|complex|str|long|unicode|float_|typedict|product|cumproduct|sctypes|asscalar|in1d|trapz|row_stack|inf|nan|mat|string_|unicode_)'|cannot import name '\w+' from (?:partially initialized module )?'numpy(?:\.\w+)*'", "NumPy", "The package uses names that this NumPy does not have."),
    S("glibc", "glibc_or_libstdcxx_too_old", 0.96, "glibc glibcxx cxxabi gcc undefined", r"(?:version )?[`'\"]?(?:glibc|glibcxx|cxxabi)_[\d.]+[`'\"]? not found|version [`']gcc_[\d.]+' not found|undefined symbol: _zst\d\w+|undefined symbol: \w+, version (?:glibc|glibcxx|cxxabi)_", "loader"),
    S("glibc-private", "glibc_or_libstdcxx_too_old", 0.8, "symbol loading relocating", r"symbol lookup error: [^\n]{0,160}glibc_private|error loading shared library ld-linux-\S+:|error relocating [^\n]{0,160}symbol not found", "loader"),
    S("wheel-platform", "glibc_or_libstdcxx_too_old", 0.5, "manylinux", r"manylinux_2_\d+\S{0,40} is not a supported wheel on this platform", "pip"),
    S("bf16-setup", "bf16_unsupported", 0.96, "ampere bfloat doesn precision requires support supported unsupported cublas", r"your setup doesn't support bf16|bfloat16 is only supported on gpus with compute capability|(?:current )?cuda device does not support bfloat16|gpu(?: device)? does(?:n't| not) support bf(?:loat)?16|tf32 requires ampere|bf16 (?:is not|isn't) supported (?:on|by)|bf16 requires (?:ampere|compute capability)|does not support bf16|bf16 mixed precision requires|type bf16 is not supported|\b(?:bf16|bfloat16)\b[^\n]{0,80}(?:(?:is |are )?not supported|isn't supported|unsupported)|cublas_status_not_supported[^\n]{0,200}r_16bf", "transformers, vLLM, accelerate, DeepSpeed"),
    S("error", "", 0.0, "error runtimeerror valueerror failed assertionerror importerror typeerror", r"\berror\b|\b(?:runtime|value|assertion|import|type)error\b|\bfailed\b", "all programs"),
)
# fmt: on

# ruff: noqa: E501 (a row is a line)
"""What bitsandbytes, flash-attn, xformers, triton and source builds say."""

from __future__ import annotations

from env_check.explain.signatures.row import Signature as S

# fmt: off
ROWS: tuple[S, ...] = (
    # ---- bitsandbytes
    S("bnb-library-missing", "bnb_missing_cuda_lib", 0.93, "configured library prebuilt", r"required library version not found: libs?bitsandbytes_\w+|configured (?:cuda|rocm)? ?binary not found|no prebuilt binary for cuda|library not (?:pre-?)?compiled for cuda", "bitsandbytes"),
    S("bnb-binary-missing", "bnb_missing_cuda_lib", 0.85, "bitsandbytes libbitsandbytes", r"could not find the bitsandbytes cuda binary at|libbitsandbytes_cuda\d+\w*\.(?:so|dll)['\")]{0,3}[^\n]{0,120}(?:no such file|not found|does not exist|cannot find|cannot open shared object file)", "bitsandbytes"),
    S("bnb-cuda-ten", "bnb_missing_cuda_lib", 0.7, "lower", r"cuda version lower than 11 are currently not supported", "bitsandbytes up to 0.42"),
    S("bnb-override", "bnb_cuda_setup_failed", 0.5, "variable", r"bnb_cuda_version=\d+ environment variable detected", "bitsandbytes",
      "BNB_CUDA_VERSION overrides torch's CUDA version."),
    S("bnb-despite-gpu", "bnb_cuda_setup_failed", 0.8, "setup", r"cuda setup failed despite (?:gpu|cuda) being available", "bitsandbytes"),
    S("bnb-detection", "bnb_cuda_setup_failed", 0.6, "detection", r"cuda setup: cuda detection failed", "bitsandbytes up to 0.42"),
    S("bnb-load-error", "bnb_cuda_setup_failed", 0.75, "bitsandbytes native", r"bitsandbytes library load error|forgot to compile the bitsandbytes library|could not load bitsandbytes native library|bitsandbytes is not (?:properly )?(?:installed|loaded)|native code method attempted to call lib\.\w+", "bitsandbytes"),
    S("bnb-cpu-library", "bnb_cuda_setup_failed", 0.6, "bitsandbytes libbitsandbytes nonetype", r"bitsandbytes was compiled without gpu support|'nonetype' object has no attribute '(?:c(?:adam|get_|quantize|dequantize|igemm|lamb|rmsprop|momentum|gemm|lion|percentile)\w*|split)'|libbitsandbytes_cpu\.so: undefined symbol|module 'bitsandbytes' has no attribute 'nn'", "bitsandbytes",
      "Its CPU library is in use: torch sees no GPU, or the CUDA library did not load."),
    S("bnb-no-gpu", "bnb_cuda_setup_failed", 0.62, "check iterable", r"no gpu detected! check your cuda paths|argument of type '(?:windows|posix)path' is not iterable|unknown cuda exception! please check your cuda install", "bitsandbytes up to 0.42"),
    S("bnb-cudart", "bnb_cuda_setup_failed", 0.6, "exception setup", r"cuda setup: (?:problem: the main issue seems to be|the cuda version for the compile might depend|solution [12][ab]?\b|something unexpected happened)|cuda exception! error code|cuda_setup: [^\n]{0,80}libcudart\.so[^\n]{0,40}not found! ", "bitsandbytes"),
    S("bnb-ops-error", "bnb_cuda_setup_failed", 0.55, "cublas provided symbol", r"error named symbol not found at line \d+ in file|cublas api failed with status 15|error the provided ptx", "bitsandbytes ops.cu"),
    S("bnb-kernel-image", "", 0.0, "image", r"error no kernel image is available for execution on the device at line \d+ in file", "bitsandbytes ops.cu"),
    # ---- flash-attn, xformers, triton
    S("fa-symbol", "flash_attn_abi_mismatch", 0.97, "undefined", r"flash_?attn[\w./-]{0,200}\.so: undefined symbol|flash_attn[\w./-]{0,120}: undefined symbol", "loader"),
    S("fa-dll", "flash_attn_abi_mismatch", 0.88, "flash", r"dll load failed while importing flash_attn\w*|no module named 'flash_attn_(?:2|3)_cuda'|no module named 'flash_attn_cuda'", "Python"),
    S("fa-wheel", "flash_attn_abi_mismatch", 0.75, "flash", r"flash_attn-\S+\.whl is not a supported wheel on this platform", "pip"),
    S("torch-symbol", "flash_attn_abi_mismatch", 0.6, "undefined", r"undefined symbol: _zn?k?\d*(?:3c10|2at|5torch)\w*|undefined symbol: _z\w*(?:c10|at6tensor|torch)\w*", "loader", "An extension was compiled for another torch."),
    S("fa-gpu", "flash_attn_unsupported_gpu", 0.96, "flash flashattention true", r"flash ?attention(?:[- ]?[23])? (?:only supports?|requires?|is only supported on) [^\n]{0,30}(?:ampere|hopper|turing|sm ?\d|compute capability)[^\n]{0,30}|flashattention backward for head dim > \d+ requires|expected is_sm\w+(?: \|\| is_sm\w+)* to be true|flash attention only supports gpu architectures in the range|flash attention currently only supported for compute capability", "flash-attn, torch"),
    S("xformers-build", "xformers_torch_mismatch", 0.93, "undefined xformers", r"xformers can't load c\+\+/cuda extensions|xformers\S{0,200}_c\S*\.(?:so|pyd): undefined symbol|xformers wasn't build with cuda support|xformers was built for", "xformers"),
    S("xformers-operator", "xformers_torch_mismatch", 0.6, "operator", r"no operator found for `?memory_efficient_attention", "xformers"),
    S("xformers-pip", "xformers_torch_mismatch", 0.88, "xformers", r"xformers \S+ (?:requires|depends on|has requirement) torch ?==[^\n]{0,20},?[^\n]{0,30}(?:but you|which is incompatible)", "pip"),
    S("triton-import", "triton_torch_mismatch", 0.95, "cannot module partially triton", r"cannot import name '\w+' from (?:partially initialized module )?'triton[\w.]*'|module 'triton[\w.]*' has no attribute|no module named 'triton\.(?:ops|language|backends|runtime|compiler|common|tools|_c)[\w.]*'", "Python"),
    S("triton-pip", "triton_torch_mismatch", 0.9, "triton", r"torch \S+ (?:requires|depends on|has requirement) (?:pytorch-)?triton ?==[^\n]{0,20},?[^\n]{0,30}(?:but you|which is incompatible)", "pip"),
    S("triton-api", "triton_torch_mismatch", 0.75, "astsource autotuner compiledkernel jitfunction unexpected", r"(?:jitfunction|astsource|compiledkernel|attrsdescriptor)\S{0,20} got an unexpected keyword argument|(?:'(?:jitfunction|compiledkernel|autotuner)' object|type object '(?:compiledkernel|jitfunction|astsource)') has no attribute", "Python"),
    S("triton-cc", "triton_no_compiler", 0.95, "clang compiler gcc invalidcxxcompiler such", r"failed to find c compiler\. please specify via cc|no working c\+\+ compiler found|invalidcxxcompiler|compiler: cl is not found|no such file or directory: '(?:/usr/bin/)?(?:gcc|cc|clang|g\+\+)'", "triton, torch inductor"),
    S("triton-launcher", "triton_no_compiler", 0.93, "lcuda returned", r"cannot find -lcuda\b|command '\['?[^\n]{0,60}(?:gcc|cc|clang|cl)'?,[^\n]{0,200}(?:main\.c|cuda_utils|\.c)'[^\n]{0,600}returned non-zero exit status", "triton"),
    S("triton-headers", "triton_no_compiler", 0.85, "fatal", r"fatal error: python\.h: no such file", "gcc"),
    S("gcc-missing", "triton_no_compiler", 0.6, "command execute gcc", r"gcc: (?:command )?not found|unable to execute '\S{0,40}gcc': no such file|error: command '\S{0,40}gcc' failed: no such file", "shell, setuptools"),
    S("triton-none", "triton_no_compiler", 0.6, "triton tritonmissing", r"cannot find a working triton installation|tritonmissing", "torch inductor"),
    S("ptxas-arch", "triton_arch_unsupported", 0.95, "codegen processor ptxas unsupported", r"ptxas fatal\s*: value 'sm_\w+' is not defined|ptxas error: internal triton ptx codegen error|internal triton ptx codegen error|'sm_\w+' is not a recognized processor|unsupported gpu arch\w*:? sm_\w+", "ptxas, LLVM"),
    S("ptxas-feature", "triton_arch_unsupported", 0.95, "target", r"feature '[^'\n]{1,60}' requires \.target sm_\d+|requires \.target sm_\d+ or higher", "ptxas"),
    S("triton-old-gpu", "triton_arch_unsupported", 0.88, "architecture gputooooldfortriton triton", r"too old to be supported by the triton gpu compiler|triton only supports devices of cuda capability|type fp8e\w+ not supported in this architecture|gputooooldfortriton", "torch inductor, triton"),
    S("triton-no-kernel", "triton_arch_unsupported", 0.7, "triton", r"triton error \[cuda\]: (?:device kernel image is invalid|no kernel image)", "triton"),
    # ---- building
    S("nvcc-mismatch", "nvcc_torch_cuda_mismatch", 0.97, "match mismatches", r"detected cuda version \([\d.]+\) mismatches the version that was used to compile|installed cuda version [\d.]+ does not match the version torch was compiled with|does not match the version used to compile pytorch binaries", "torch cpp_extension, DeepSpeed, apex"),
    S("nvcc-old-arch", "nvcc_torch_cuda_mismatch", 0.8, "unsupported", r"nvcc fatal\s*: unsupported gpu architecture 'compute_\w+'", "nvcc", "nvcc is older (or newer) than the GPU it compiles for."),
    S("nvcc-too-old", "nvcc_torch_cuda_mismatch", 0.88, "above nvcc", r"flashattention is only supported on cuda [\d.]+ and above|requires cuda [\d.]+ (?:and above|or (?:higher|newer|later))[^\n]{0,80}nvcc", "flash-attn setup.py"),
    S("nvcc-gcc", "nvcc_torch_cuda_mismatch", 0.6, "versions", r"unsupported gnu version! gcc versions later than", "CUDA headers", "This nvcc does not take this gcc."),
    S("cuda-home", "nvcc_missing_for_build", 0.93, "home missingcudaexception please", r"cuda_home(?: environment variable)? (?:is not set|does not exist|is none|not found|undefined)|(?:unable to|cannot|could not|can't) (?:find|locate) cuda_home|please set (?:it|cuda_home) to your cuda install root|missingcudaexception", "torch cpp_extension, DeepSpeed"),
    S("nvcc-not-found", "nvcc_missing_for_build", 0.9, "nvcc", r"nvcc was not found|failed to find nvcc|no such file or directory: '[^'\n]{0,80}/?nvcc'|/bin/nvcc: (?:no such file|not found)|could not find nvcc|nvcc not found", "setup.py of extensions"),
    S("nvcc-command", "nvcc_missing_for_build", 0.45, "nvcc", r"nvcc: (?:command )?not found|command 'nvcc' not found", "shell"),
    S("cmake-cuda", "nvcc_missing_for_build", 0.88, "compiler detect find toolkit", r"could not find cuda \(missing|could not find cudatoolkit|failed to find nvcc|no cmake_cuda_compiler could be found|failed to detect a default cuda architecture|cuda_toolkit_root_dir not found", "CMake"),
    S("build-no-torch", "nvcc_missing_for_build", 0.88, "named", r"modulenotfounderror: no module named '(?:torch|packaging|psutil|wheel|ninja)'\s+[^\n]{0,20}\[end of output\]|(?:get_requires_for_build|prepare_metadata_for_build|build_wheel|setup\.py)[\s\S]{0,900}?no module named '(?:torch|packaging|psutil)'", "pip build isolation",
      "Build isolation hides the installed torch from the build."),
    S("cuda-header", "nvcc_missing_for_build", 0.75, "fatal", r"fatal error: (?:cuda_runtime(?:_api)?|cuda|cublas_v2|cusparse|cusolverdn|cuda_fp16|nv/target)\.h(?:pp)?: no such file", "gcc"),
)
# fmt: on

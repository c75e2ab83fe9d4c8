# ruff: noqa: E501 (a row is a line)
"""What is said when GPU memory, host memory, shared memory or disk is exhausted."""

from __future__ import annotations

from env_check.explain.signatures.row import Signature as S

# fmt: off
ROWS: tuple[S, ...] = (
    # ---- memory
    S("oom-cuda", "", 0.0, "alloc cudaerrormemoryallocation gib hip memory mib outofmemoryerror runtime cudamalloc driver oom exhausted cudnn mps failed", r"cuda out of memory[^\n]{0,700}(?:\n[^\n]{0,300}(?:gib|mib|gb)[^\n]{0,400})?|outofmemoryerror: (?:cuda|allocation on device)[^\n]{0,300}|cuda error: out of memory|error=2 ?: out of memory|cuda (?:runtime )?error \(2\) ?: out of memory|cuda_error_out_of_memory|cudaerrormemoryallocation|cublas_status_alloc_failed|torch\.outofmemoryerror|hip out of memory[^\n]{0,300}|cudamalloc failed: out of memory|cuda driver error: out of memory|oom when allocating tensor[^\n]{0,160}|resource_exhausted: [^\n]{0,80}out of memory[^\n]{0,160}|cudnn_status_alloc_failed|mps backend out of memory[^\n]{0,200}|failed to allocate [^\n]{0,80}(?:cuda|gpu)[^\n]{0,20}(?:memory|buffer)|cublas_status_alloc_failed", "torch, CUDA runtime"),
    S("oom-process", "", 0.0, "gib mib process", r"process (?:\d+|<\w*>) has ([\d.]+) ([gm]i?b) memory in use", "torch OOM text"),
    S("smi-memory", "", 0.0, "mib", r"\|\s*(\d{3,6})mib ?/ ?(\d{4,6})mib \|", "nvidia-smi"),
    S("oom-vllm-kv", "oom_model_too_large", 0.85, "cache mem", r"no available memory for the cache blocks|is larger than the maximum number of tokens that can be stored in kv cache|out of memory with --mem", "vLLM"),
    S("oom-vllm-other", "oom_gpu_used_by_other_process", 0.85, "desired", r"free memory on device [^\n]{0,20}\([\d.]+/[\d.]+ ?gib\)[^\n]{0,80}(?:on startup )?is less than desired", "vLLM"),
    S("oom-dispatched", "oom_model_too_large", 0.8, "modules", r"some modules are dispatched on the cpu or the disk", "transformers, quantizer_bnb", "The model did not fit on the GPU and was spread to the CPU."),
    S("oom-killed", "oom_host_killed", 0.95, "cgroup kill killed oom oomkilled tried crashed", r"\boom-kill(?:er)?\b|out of memory: kill(?:ed)? process|memory cgroup out of memory|oomkilled|oom_reaper: reaped|tried to allocate more memory than is available|due to memory pressure \(oom\)|task was killed due to the node running low on memory|crashed after using all available ram", "Linux kernel, Kubernetes, Ray, Kaggle"),
    S("oom-signal", "oom_host_killed", 0.85, "137 exitcode killed sigkill signal exited terminated code status", r"signals?\.sigkill|signal 9 \(sigkill\)|\bexitcode ?[:=]? ?-9\b|returned non-zero exit status -9\b|return(?:ed)? code[:=]? ?=? ?-9\b|exit(?:ed)?(?: with)?(?: status| code)?:? 137\b|exit code:? 137|died with <signals\.sigkill|is killed by signal: killed|terminated by signal sigkill|process killed by signal 9|was killed by sig(?:nal)?\s*kill|received signal: 9\b|\bexited \(137\)|terminated with signal sigkill|\bkilled signal terminated program", "launchers, shells"),
    S("oom-killed-line", "oom_host_killed", 0.7, "killed", r"^(?:[^\n]{0,160}line \d+:\s+\d+ |\[\d+\]\s+\d+ )?killed(?:[ ]{2,40}[^\n]{0,200}|[ ](?:python|torchrun|accelerate|deepspeed|\./)[^\n]{0,200})?$", "shell"),
    S("oom-cpu-alloc", "oom_host_killed", 0.85, "1455 allocate arraymemoryerror defaultcpuallocator numpy paging", r"defaultcpuallocator: (?:can't|not enough) (?:allocate )?memory|_arraymemoryerror|paging file is too small|\(os error 1455\)|numpy\.core\._exceptions\.\S*memoryerror|oserror: \[errno 12\] cannot allocate memory|cannot allocate memory \(12\)|cannot allocate memory \(os error 12\)", "torch, NumPy, Windows"),
    S("oom-bad-alloc", "oom_host_killed", 0.6, "alloc allocate memoryerror", r"std::bad_alloc|^memoryerror\b|cannot allocate memory", "C++, Python"),
    S("oom-subprocess", "oom_host_killed", 0.5, "subprocesses", r"one of the subprocesses has abruptly died during map operation", "datasets"),
    # ---- shared memory and disk
    S("shm-text", "shm_too_small", 0.96, "allocate left raise shared shm", r"insufficient shared memory \(shm\)|out of shared memory\. please try to raise|unable to (?:open|allocate) shared memory|/dev/shm[^\n]{0,160}(?:no space left|too small|not enough|insufficient|has only \d+ bytes|limit|\(?64 ?mb?)|bus error[^\n]{0,80}no space left|(?:no space left on device|errno 28\])[^\n]{0,20}['\"]?/dev/shm", "torch, Ray"),
    S("shm-nccl", "shm_too_small", 0.96, "nccl while", r"nccl warn (?:call to posix_fallocate failed|error: failed to extend|error while (?:creating|attaching to) shared memory segment|error: failed to (?:create|open|attach|mmap)[^\n]{0,80}shm)|error while creating shared memory segment|failed to extend /dev/shm/nccl", "NCCL"),
    S("shm-torch-file", "shm_too_small", 0.9, "allocate bytes manager resize shared unlink write ancdata psm", r"unable to (?:write to file|open shared memory object|mmap \d+ bytes from file|allocate shared memory[^\n]{0,30}for file|resize file) ?<?[^\n]{0,20}/torch_\d+|could not (?:unlink|open) the shared memory file|torch_shm_manager|received 0 items of ancdata|errno 28\][^\n]{0,30}no space left on device: '?/?psm_", "torch multiprocessing"),
    S("shm-bus", "shm_too_small", 0.85, "dumped exitcode fatal signal", r"killed by signal: bus error|bus error \(core dumped\)|fatal python error: bus error|received signal: bus error|exitcode\s*: -7\b|signal 7 \(sigbus\)", "torch DataLoader, shell"),
    S("shm-worker", "shm_too_small", 0.4, "dataloader", r"dataloader worker \(pid\(?s?\)? [\d, ]+\) exited unexpectedly", "torch DataLoader"),
    S("disk-full", "disk_full_cache", 0.93, "database disk enough errno left quota quotaexceeded storagefull usable winerror space written free", r"no space left on device|\[errno 28\]|not enough disk space\. needed|not enough free disk space to download|disk quota exceeded|\[errno 122\]|storagefull|database or disk is full|\bdisk is full\b|quotaexceeded|no usable temporary directory|\[winerror 112\]|\(os error 112\)|not enough space on the disk|not enough (?:free )?space (?:in|on|left)|\d{4,} requested and \d+ written|only has [\d.]+ [kmg]b free disk space", "kernel, datasets, hub"),
    S("disk-writer", "disk_full_cache", 0.85, "pytorchstreamwriter unexpected", r"pytorchstreamwriter failed writing file|enforce fail at inline_container\.cc:\d+[^\n]{0,120}unexpected pos", "torch.save"),
    S("disk-stream", "disk_full_cache", 0.6, "iostream", r"basic_ios::clear: iostream error", "torch.save"),
    S("disk-permission", "disk_full_cache", 0.42, "errno", r"permissionerror: \[errno 13\] permission denied: '[^'\n]{0,120}(?:\.cache|huggingface|/hub|/datasets)|\[errno 30\] read-only file system: '[^'\n]{0,160}", "Python"),
)
# fmt: on

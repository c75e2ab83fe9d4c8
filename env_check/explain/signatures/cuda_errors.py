"""Numbers of CUDA errors: programs that print no message print one of these.

Source: cudaError_t of the CUDA runtime API; 8, 10, 30, 38, 48 and 59 are those before CUDA 10.1.
"""

from __future__ import annotations

from env_check.explain.scan import Match

CLUES = ("cuda-number", "error-by-name")

# number → the signature of its message
_SIGNATURES = {
    2: "oom-cuda",
    8: "invalid-device-function",
    10: "bad-ordinal",
    18: "nvml-mismatch",  # of NVML, which only its own clue prints
    30: "cuda-unknown",
    35: "driver-insufficient",
    36: "driver-newer-call",
    38: "no-device",
    46: "gpu-busy",
    48: "no-kernel-image",
    59: "device-assert",
    98: "invalid-device-function",
    100: "no-device",
    101: "bad-ordinal",
    200: "ptx-invalid-image",
    209: "no-kernel-image",
    214: "ecc",
    217: "p2p-consumer",
    218: "ptx-jit-failed",
    220: "nvlink-error",
    222: "ptx-toolchain",
    710: "device-assert",
    719: "cuda-launch-failure",
    802: "system-not-ready",
    803: "compat-driver",
    804: "compat-hardware",
    999: "cuda-unknown",
}


def with_numbers(found: dict[str, list[Match]]) -> dict[str, list[Match]]:
    """Return the matches with each numbered CUDA error filed under its message's signature."""
    named = dict(found)
    for match in (match for clue in CLUES for match in found.get(clue, ())):
        id = _SIGNATURES.get(int(next(group for group in match.groups if group)))
        if id:
            named.setdefault(id, [match])
    return named

"""How fast cards multiply: dense 16-bit tensor TFLOP/s with float32 sums, and what training gets.

The figures are the makers' data sheets (no sparsity); of GeForce cards, whose float32 sums run at
half the advertised rate, that half. What training gets of them are the lowest and highest shares
that public runs of this stack without compiled kernels have shown (docs/memory.md).
"""

from __future__ import annotations

from dataclasses import dataclass

TERA = 1e12
# Longer names first: the first that is part of a card's name holds.
TFLOPS: tuple[tuple[str, float], ...] = (
    ("V100", 112), ("T4", 65), ("Quadro RTX 8000", 65), ("Quadro RTX 6000", 65),
    ("A100", 312), ("A800", 312), ("A30", 165), ("A40", 150), ("A10G", 70), ("A10", 125),
    ("RTX A6000", 155), ("RTX A5000", 111), ("RTX A4000", 77),
    ("L40S", 362), ("L40", 181), ("L4", 121),
    ("RTX 6000 Ada", 364), ("RTX 5000 Ada", 261), ("RTX 4000 Ada", 107),
    ("H100 PCIe", 756), ("H100 NVL", 835), ("H100", 989), ("H800", 989), ("H20 ", 148),
    ("H200 NVL", 835), ("H200", 989), ("GH200", 989), ("B200", 2250), ("GB200", 2500),
    ("RTX 2080 Ti", 54), ("RTX 3060", 25), ("RTX 3070", 40), ("RTX 3080 Ti", 68),
    ("RTX 3080", 60), ("RTX 3090 Ti", 80), ("RTX 3090", 71),
    ("RTX 4060 Ti", 44), ("RTX 4070 Ti", 80), ("RTX 4070", 58), ("RTX 4080", 97),
    ("RTX 4090", 165), ("RTX 5070 Ti", 88), ("RTX 5070", 62), ("RTX 5080", 113),
    ("RTX 5090", 210),
)  # fmt: skip
# Share of the above that training got, by compute capability: T4 (fp16, SDPA and eager), A100
# (LoRA, QLoRA, full; 1,000 to 130,000 tokens a micro step); for Hopper and newer, where no public
# run of this stack was found, from the traffic of its element-wise kernels.
SHARES: tuple[tuple[tuple[int, int], float, float], ...] = (
    ((9, 0), 0.20, 0.55),
    ((8, 0), 0.30, 0.70),
    ((7, 0), 0.08, 0.30),
)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a card can do."""

    flops: float  # a second, dense, 16 bits
    bytes_per_second: float  # of its memory
    least_share: float  # of the flops that training gets, 0 to 1
    most_share: float


def card_speed(name: str, capability: tuple[int, int] | None) -> Speed | None:
    """Return the speed of a card, None where it is not tabled or too old for tensor cores."""
    from env_check import support  # its tables: 50 ms, and only where a card is planned for

    found = support.gpu(name)
    tflops = next((value for part, value in TFLOPS if found and part in f"{found.name} "), None)
    shares = next(
        ((low, high) for since, low, high in SHARES if capability and capability >= since), None
    )
    if found is None or tflops is None or shares is None or not found.bandwidth_gb_per_second:
        return None
    return Speed(
        flops=tflops * TERA,
        bytes_per_second=found.bandwidth_gb_per_second * 1e9,
        least_share=shares[0],
        most_share=shares[1],
    )

# ruff: noqa: E501 (a row is a line)
"""CUDA toolkits, the drivers they need, and what their releases added or dropped."""

from __future__ import annotations

SOURCES = {
    "release-notes": "NVIDIA CUDA Toolkit release notes, CUDA Toolkit and Corresponding Driver Versions (archived 8.0-13.4)",
    "cuda-compat": "NVIDIA CUDA Compatibility guide (docs.nvidia.com/deploy/cuda-compatibility)",
    "arch-notes": "CUDA 12.0 and 13.0 release notes, removed architectures; pytorch/pytorch issues 190385, 172352",
    "driver-lifecycle": "NVIDIA data center driver lifecycle page",
}

# A program built with CUDA X.Y runs without PTX JIT from MINOR_VERSION_FLOOR of its major on; PTX and the
# new driver API of a minor need the driver of that toolkit. Majors before 11 had no such rule.
# CUDA major -> (Linux, Windows). Source: cuda-compat; 13 on Windows is stated as a branch only.
MINOR_VERSION_FLOOR: dict[int, tuple[str, str]] = {
    11: ("450.80.02", "452.39"),
    12: ("525.60.13", "528.33"),
    13: ("580.65.06", "580"),
}

# toolkit, update, Linux driver, Windows driver ("" where none was shipped with it). Source: release-notes.
# fmt: off
TOOLKITS: tuple[tuple[str, str, str, str], ...] = (
    ("8.0", "GA", "375.26", "376.51"),
    ("9.0", "GA", "384.81", "385.54"),
    ("9.1", "GA", "390.46", "391.29"),
    ("9.2", "GA", "396.26", "397.44"),
    ("10.0", "GA", "410.48", "411.31"),
    ("10.1", "GA", "418.39", "418.96"),
    ("10.2", "GA", "440.33", "441.22"),
    ("11.0.1", "RC", "450.36.06", "451.22"),
    ("11.0.2", "GA", "450.51.05", "451.48"),
    ("11.0.3", "U1", "450.51.06", "451.82"),
    ("11.1", "GA", "455.23", "456.38"),
    ("11.1.1", "U1", "455.32", "456.81"),
    ("11.2.0", "GA", "460.27.03", "460.82"),
    ("11.2.1", "U1", "460.32.03", "461.09"),
    ("11.2.2", "U2", "460.32.03", "461.33"),
    ("11.3.0", "GA", "465.19.01", "465.89"),
    ("11.3.1", "U1", "465.19.01", "465.89"),
    ("11.4.0", "GA", "470.42.01", "471.11"),
    ("11.4", "U1", "470.57.02", "471.41"),
    ("11.4", "U2", "470.57.02", "471.41"),
    ("11.4", "U3", "470.82.01", "472.50"),
    ("11.4", "U4", "470.82.01", "472.50"),
    ("11.5", "GA", "495.29.05", "496.04"),
    ("11.5", "U1", "495.29.05", "496.13"),
    ("11.5", "U2", "495.29.05", "496.13"),
    ("11.6", "GA", "510.39.01", "511.23"),
    ("11.6", "U1", "510.47.03", "511.65"),
    ("11.6", "U2", "510.47.03", "511.65"),
    ("11.7", "GA", "515.43.04", "516.01"),
    ("11.7", "U1", "515.48.07", "516.31"),
    ("11.8", "GA", "520.61.05", "520.06"),
    ("12.0", "GA", "525.60.13", "527.41"),
    ("12.0", "U1", "525.85.12", "528.33"),
    ("12.1", "GA", "530.30.02", "531.14"),
    ("12.1", "U1", "530.30.02", "531.14"),
    ("12.2", "GA", "535.54.03", "536.25"),
    ("12.2", "U1", "535.86.09", "536.67"),
    ("12.2", "U2", "535.104.05", "537.13"),
    ("12.3", "GA", "545.23.06", "545.84"),
    ("12.3", "U1", "545.23.08", "546.12"),
    ("12.4", "GA", "550.54.14", "551.61"),
    ("12.4", "U1", "550.54.15", "551.78"),
    ("12.5", "GA", "555.42.02", "555.85"),
    ("12.5", "U1", "555.42.06", "555.85"),
    ("12.6", "GA", "560.28.03", "560.76"),
    ("12.6", "U1", "560.35.03", "560.94"),
    ("12.6", "U2", "560.35.03", "560.94"),
    ("12.6", "U3", "560.35.05", "561.17"),
    ("12.8", "GA", "570.26", "570.65"),
    ("12.8", "U1", "570.124.06", "572.61"),
    ("12.9", "GA", "575.51.03", "576.02"),
    ("12.9", "U1", "575.57.08", "576.57"),
    ("13.0", "GA", "580.65.06", ""),
    ("13.0", "U1", "580.82.07", ""),
    ("13.0", "U2", "580.95.05", ""),
    ("13.1", "GA", "590.44.01", ""),
    ("13.1", "U1", "590.48.01", ""),
    ("13.2", "GA", "595.45.04", ""),
    ("13.2", "U1", "595.58.03", ""),
    ("13.2", "U2", "595.71.05", ""),
    ("13.3", "GA", "610", ""),
    ("13.4", "GA", "615", ""),
)
# fmt: on

# Driver branch -> newest CUDA API it offers (what nvidia-smi prints). Source: release-notes.
DRIVER_BRANCHES: dict[int, str] = {
    375: "8.0",
    384: "9.0",
    390: "9.1",
    396: "9.2",
    410: "10.0",
    418: "10.1",
    430: "10.1",
    440: "10.2",
    450: "11.0",
    455: "11.1",
    460: "11.2",
    465: "11.3",
    470: "11.4",
    495: "11.5",
    510: "11.6",
    515: "11.7",
    520: "11.8",
    525: "12.0",
    530: "12.1",
    535: "12.2",
    545: "12.3",
    550: "12.4",
    555: "12.5",
    560: "12.6",
    565: "12.7",
    570: "12.8",
    575: "12.9",
    580: "13.0",
    590: "13.1",
    595: "13.2",
    610: "13.3",
    615: "13.4",
}

# Windows driver branches whose number differs from the Linux one. Source: release-notes.
WINDOWS_BRANCHES: dict[int, str] = {
    451: "11.0",
    452: "11.0",
    456: "11.1",
    457: "11.1",
    461: "11.2",
    462: "11.2",
    466: "11.3",
    471: "11.4",
    472: "11.4",
    496: "11.5",
    497: "11.5",
    511: "11.6",
    512: "11.6",
    516: "11.7",
    517: "11.7",
    522: "11.8",
    526: "12.0",
    527: "12.0",
    528: "12.0",
    531: "12.1",
    532: "12.1",
    536: "12.2",
    537: "12.2",
    546: "12.3",
    551: "12.4",
    552: "12.4",
    556: "12.5",
    561: "12.6",
    566: "12.7",
    572: "12.8",
    576: "12.9",
    581: "13.0",
    591: "13.1",
}

# Last driver branch of an architecture: compute capability below the bound -> branch. Source: arch-notes.
LAST_BRANCH: tuple[tuple[str, int], ...] = (("5.0", 470), ("7.5", 580))

# First driver branch of an architecture (compute capability -> branch). Source: release-notes.
FIRST_BRANCH: dict[str, int] = {
    "7.0": 384, "7.5": 410, "8.0": 450, "8.6": 455, "8.9": 520, "9.0": 520,
    "10.0": 570, "10.3": 575, "11.0": 580, "12.0": 570, "12.1": 575,
}  # fmt: skip

# Forward compatibility (the cuda-compat package): only where a row says so. Source: cuda-compat.
FORWARD_COMPATIBLE_CLASSES = ("datacenter", "jetson")

# ruff: noqa: E501 (a row is a line)
"""bitsandbytes wheels: CUDA libraries, their GPU architectures, torch and Python floors."""

from __future__ import annotations

SOURCES = {
    "wheel": "contents of the published wheels (fat binary headers), 2026-11",
    "metadata": "Requires-Dist and Requires-Python of the wheels",
    "docs": "bitsandbytes documentation, installation page",
    "code": "bitsandbytes/cextension.py and diagnostics of 0.50.2",
    "release notes": "bitsandbytes release notes",
}

_TO_122 = ("110", "111", "114", "115", "117", "118", "120", "121", "122")
_118_126 = ("118", "120", "121", "122", "123", "124", "125", "126")
_OLD_SM = ("7.5", "8.0", "8.6")
_50_89 = ("5.0", "5.2", "6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9")
_50_90 = (*_50_89, "9.0")
_60_90 = ("6.0", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0")
_70_120 = ("7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
_75_120 = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")

# first release, last release, CUDA libraries, SASS architectures on Linux x86_64, highest PTX, source
# fmt: off
LIBRARIES: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], str, str], ...] = (
    # Up to 0.44 a _nocublaslt library covered 5.0-7.0 in each of these.
    ("0.41.0", "0.41.3", _TO_122, _50_90, "", "wheel"),
    ("0.42.0", "0.42.0", (*_TO_122, "123"), _50_90, "", "wheel"),
    ("0.43.0", "0.43.2", ("117",), ("5.0", "5.2", "6.0", "6.1", "7.0", *_OLD_SM), "8.6", "wheel"),
    ("0.43.0", "0.43.2", ("118",), _50_89, "8.9", "wheel"),
    ("0.43.0", "0.43.2", ("120", "121", "122", "123"), _50_90, "9.0", "wheel"),
    ("0.43.3", "0.44.1", ("117", "118", "120", "121", "122", "123", "124", "125"), _50_90, "", "wheel"),
    ("0.45.3", "0.45.5", ("117",), ("5.0", "5.2", "6.0", "6.1", "7.0", *_OLD_SM), "8.6", "wheel"),
    ("0.45.3", "0.45.5", _118_126, _50_90, "9.0", "wheel"),
    ("0.45.3", "0.45.5", ("128",), _70_120, "12.0", "wheel"),
    ("0.46.0", "0.46.1", _118_126, _50_90, "", "wheel"),
    ("0.46.0", "0.46.1", ("128", "129"), _75_120, "", "wheel"),
    ("0.47.0", "0.47.0", _118_126, ("5.0", *_60_90), "", "wheel"),
    ("0.47.0", "0.47.0", ("128", "129"), _70_120, "", "wheel"),
    ("0.48.0", "0.49.2", _118_126, _60_90, "", "wheel"),
    ("0.48.0", "0.49.2", ("128", "129"), _70_120, "", "wheel"),
    ("0.48.0", "0.49.2", ("130",), _75_120, "", "wheel"),
    ("0.50.0", "0.50.2", ("118", "121", "124", "126"), _60_90, "", "wheel"),
    ("0.50.0", "0.50.2", ("128",), _70_120, "", "wheel"),
    ("0.50.0", "0.50.2", ("130", "132"), _75_120, "", "wheel"),
)
# fmt: on
FIRST_CLOSEST_MATCH = "0.50.0"  # a missing library is replaced by the closest. Source: code.

# feature -> lowest compute capability. Source: docs (5.0 up to 0.47 for the last two).
FEATURES: dict[str, str] = {
    "LLM.int8": "7.5",
    "8-bit optimizers": "6.0",
    "4-bit": "6.0",
}

"""Version relations between torch and the packages of a fine-tuning stack."""

from __future__ import annotations

# "metadata": Requires-Dist and Requires-Python of the published wheel, read 2026-11.

# torch, torchvision, torchaudio ("" = none of its own). Source: metadata (== pin).
COMPANIONS: tuple[tuple[str, str, str], ...] = (
    ("2.0.1", "0.15.2", "2.0.2"),
    ("2.1.2", "0.16.2", "2.1.2"),
    ("2.2.2", "0.17.2", "2.2.2"),
    ("2.3.1", "0.18.1", "2.3.1"),
    ("2.4.1", "0.19.1", "2.4.1"),
    ("2.5.1", "0.20.1", "2.5.1"),
    ("2.6.0", "0.21.0", "2.6.0"),
    ("2.7.1", "0.22.1", "2.7.1"),
    ("2.8.0", "0.23.0", "2.8.0"),
    ("2.9.1", "0.24.1", "2.9.1"),
    ("2.10.0", "0.25.0", "2.10.0"),
    ("2.11.0", "0.26.0", "2.11.0"),
    ("2.12.0", "0.27.0", ""),
    ("2.12.1", "0.27.1", ""),
    ("2.13.0", "0.28.0", ""),
    ("2.14.0", "0.29.0", ""),
)
FIRST_UNPINNED_TORCHVISION = "0.29.2"  # stable ABI wheel for torch >= 2.14. Source: metadata.

# torch minor -> triton. Source: metadata (== pin, ~= from 2.14).
TRITON: dict[str, str] = {
    "2.0": "2.0.0",
    "2.1": "2.1.0",
    "2.2": "2.2.0",
    "2.3": "2.3.1",
    "2.4": "3.0.0",
    "2.5": "3.1.0",
    "2.6": "3.2.0",
    "2.7": "3.3.x",
    "2.8": "3.4.0",
    "2.9": "3.5.x",
    "2.10": "3.6.0",
    "2.11": "3.6.0",
    "2.12": "3.7.x",
    "2.13": "3.7.1",
    "2.14": "3.8.x",
    "2.15": "3.9.x",
}

# xformers -> torch requirement. Source: metadata.
XFORMERS: dict[str, str] = {
    "0.0.25.post1": "==2.2.2",
    "0.0.27.post2": "==2.4.0",
    "0.0.28.post3": "==2.5.1",
    "0.0.29.post3": "==2.6.0",
    "0.0.30": "==2.7.0",
    "0.0.31.post1": "==2.7.1",
    "0.0.32.post2": "==2.8.0",
    "0.0.33.post2": "==2.9.1",
    "0.0.35": ">=2.10",
}

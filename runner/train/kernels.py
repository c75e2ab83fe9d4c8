"""Where compiled layers outlive a run.

A container brings folders of its own (runner/container/settings.py). They are not these: what ran
closed off from the host must not leave programs that the host then runs.
"""

from __future__ import annotations

from runner.plan import TrainingPlan
from runner.record.layout import cache_root


def kernel_caches(training: TrainingPlan) -> dict[str, str]:
    """Return the variables that name the folders; none where nothing is compiled."""
    if not training.levers.compile:
        return {}
    folder = cache_root() / "kernels-host"
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "TRITON_CACHE_DIR": str(folder / "triton"),
    }

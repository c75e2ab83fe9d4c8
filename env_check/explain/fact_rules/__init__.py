"""Rules over the facts of a text: versions, GPUs and platforms that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

from env_check.explain.evidence import Evidence, Found
from env_check.explain.fact_rules import binaries, build, container, driver, memory, nccl
from env_check.explain.report import Report

Rule = Callable[[Report, Found], Iterator[Evidence]]
RULES: tuple[Rule, ...] = (
    *driver.RULES,
    *container.RULES,
    *build.RULES,
    *binaries.RULES,
    *nccl.RULES,
    *memory.RULES,
)

"""A meaning: which cause an ambiguous message has on the machine of the text."""

from __future__ import annotations

from typing import Callable, Optional

from env_check.explain.evidence import Found
from env_check.explain.report import Report

# cause and strength, or None where the signature's own stand
Judgement = Optional[tuple[str, float]]
Meaning = Callable[[Report, Found], Judgement]

"""Which cause an ambiguous message means on the machine of the text, by signature."""

from __future__ import annotations

from env_check.explain.meanings import driver, extensions, services, torch
from env_check.explain.meanings.meaning import Meaning

MEANINGS: dict[str, Meaning] = {
    **driver.MEANINGS,
    **torch.MEANINGS,
    **extensions.MEANINGS,
    **services.MEANINGS,
}

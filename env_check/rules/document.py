"""Write docs/rules.md: `python -m env_check.rules.document > docs/rules.md`."""

from __future__ import annotations

import sys

from env_check.findings import Layer
from env_check.rules.rule import Rule
from env_check.rules.table import FAMILIES, RULES

HEAD = """\
# Rules of env-check

Generated from the code: `python -m env_check.rules.document > docs/rules.md`. An id is never
used again for something else.

A finding is *fail* (the check ends with 1), *unknown* (something decisive could not be read: 3)
or *warn* (0). Layers from below: {layers}.
A finding that a fault in a lower layer explains is shown under that fault; the column "follows
from" names those layers. The cause is the label of the same thing in `env-check explain`.
"""
COLUMNS = ("id", "detects", "layer", "follows from", "cause", "source")


def document() -> str:
    """Return the page."""
    layers = " → ".join(layer.label for layer in Layer)
    parts = [HEAD.format(layers=layers)]
    for family, subject in FAMILIES.items():
        rules = sorted((rule for rule in RULES if rule.id[:-3] == family), key=lambda rule: rule.id)
        parts.append(f"## {family}: {subject}\n")
        parts.append(
            "| id | detects | layer | follows from | cause | source |\n|---|---|---|---|---|---|"
        )
        parts += [_row(rule) for rule in rules]
        parts.append("")
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    above = [layer.label for layer in rule.explained_by]
    below = f"{above[0]} … {above[-1]}" if len(above) > 2 else ", ".join(above)
    cause = f"`{rule.cause_id}`" if rule.cause_id else ""
    cells = (rule.id, rule.detects, rule.layer.label, below, cause, rule.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(document())

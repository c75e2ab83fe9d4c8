"""Answers before and after training: taken from the terminal channel, shown, never stored here."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field

WIDTH = 92


@dataclass
class Samples:
    """Collects the sample lines that the training process prints.

    A line is a JSON object `{"kind": "sample", "phase": "before"|"after", "index": …, "prompt": …,
    "answer": …}`; any other line is ignored.
    """

    by_index: dict[int, dict[str, str]] = field(default_factory=dict)

    def line(self, line: str) -> None:
        """Take one line of the training process's standard output."""
        try:
            sample = json.loads(line)
        except ValueError:
            return
        if not isinstance(sample, dict) or sample.get("kind") != "sample":
            return
        shown = self.by_index.setdefault(sample["index"], {"prompt": sample["prompt"]})
        shown[sample["phase"]] = sample["answer"]

    def render(self) -> str:
        """Return question, answer before and answer after, wrapped; empty without samples."""
        blocks = []
        for sample in self.by_index.values():
            for name in ("prompt", "before", "after"):
                if name in sample:
                    title = "question" if name == "prompt" else f"answer {name}"
                    blocks.append(_wrapped(title, sample[name]))
        return "\n".join(blocks)


def _wrapped(title: str, text: str) -> str:
    indent = " " * 15
    return textwrap.fill(
        " ".join(text.split()), WIDTH, initial_indent=f"{title:14} ", subsequent_indent=indent
    )

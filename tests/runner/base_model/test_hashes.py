"""Hashes of model files, and their memory."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from runner.base_model.hashes import file_hashes
from tests.runner.base_model import tiny


def settled(path: Path) -> Path:
    """Wait until a file's times are old enough to be remembered."""
    while time.time() - path.stat().st_ctime < 2.1:
        time.sleep(0.05)
    return path


def remembered(cache: Path) -> dict[str, list[int | str]]:
    path = cache / "hashes.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def test_model_files_are_hashed_and_others_are_not(tmp_path: Path) -> None:
    """Configuration, tokenizer, template and weights count; a README or a picture does not."""
    folder = tiny.write_folder(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("x")
    (folder / "README.md").write_text("x")
    hashes = file_hashes(folder)
    assert set(hashes) == {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors",
    }
    expected = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert hashes["config.json"] == expected


def test_a_fresh_file_is_not_remembered_yet(tmp_path: Path, cache: Path) -> None:
    """A file written a moment ago could change under the same times: it is hashed again."""
    file_hashes(tiny.write_folder(tmp_path / "model"))
    assert remembered(cache) == {}


def test_a_settled_file_is_read_once(tmp_path: Path, cache: Path) -> None:
    """The second call takes the digest from memory: a wrong one there comes back."""
    folder = tiny.write_folder(tmp_path / "model")
    settled(folder / "model.safetensors")
    file_hashes(folder)
    memory = remembered(cache)
    memory[str(folder / "config.json")][-1] = "from memory"
    (cache / "hashes.json").write_text(json.dumps(memory))
    assert file_hashes(folder)["config.json"] == "from memory"


def test_a_changed_file_of_the_same_size_and_date_is_read_again(tmp_path: Path) -> None:
    """Not even a restored modification time hides a change."""
    folder = tiny.write_folder(tmp_path / "model")
    config = settled(folder / "config.json")
    before, stat = file_hashes(folder), config.stat()
    config.write_bytes(config.read_bytes().replace(b"llama", b"gemma"))
    os.utime(config, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_hashes(folder)["config.json"] != before["config.json"]


def test_a_damaged_memory_is_only_slower(tmp_path: Path, cache: Path) -> None:
    """A memory that is no JSON, or JSON of another form, is ignored."""
    folder = tiny.write_folder(tmp_path / "model")
    expected = file_hashes(folder)
    cache.mkdir(exist_ok=True)
    for damaged in ("{", "[]", '{"/x": 3}', json.dumps({str(folder / "config.json"): None})):
        (cache / "hashes.json").write_text(damaged)
        assert file_hashes(folder) == expected

"""The header reader, and the files made from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.base_model.gguf import GgufError, config, folder_files, read_header, tokenizer
from tests.runner.base_model import tiny


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    tiny.write_gguf(path)
    return path


def test_the_header_is_what_the_package_gguf_reads(gguf: Path) -> None:
    """Every key and value of the header equals what the reference reader finds."""
    from gguf import GGUFReader

    fields = GGUFReader(str(gguf)).fields
    expected = {k: f.contents() for k, f in fields.items() if not k.startswith("GGUF.")}
    assert read_header(gguf) == expected


def test_a_file_cut_off_in_the_header_is_refused(gguf: Path) -> None:
    """At whatever byte the header ends early, it is a GgufError, never another exception."""
    whole = gguf.read_bytes()
    for num_bytes in range(0, 1500, 7):
        gguf.write_bytes(whole[:num_bytes])
        with pytest.raises(GgufError):
            read_header(gguf)


def test_another_architecture_is_refused(gguf: Path) -> None:
    """A header of another architecture gives no configuration that would be wrong."""
    header = read_header(gguf) | {"general.architecture": "falcon"}
    with pytest.raises(GgufError, match="falcon"):
        folder_files(header)


def test_another_pre_tokenizer_is_refused(gguf: Path) -> None:
    """A tokenizer that splits text otherwise is not written down as this one."""
    with pytest.raises(GgufError, match="llama-bpe"):
        tokenizer(read_header(gguf) | {"tokenizer.ggml.pre": "llama-bpe"})


def test_a_header_without_a_needed_key_is_refused(gguf: Path) -> None:
    """The missing key is named."""
    header = read_header(gguf)
    del header["llama.context_length"]
    with pytest.raises(GgufError, match="context_length"):
        folder_files(header)


def test_the_epsilon_is_the_number_that_was_meant(gguf: Path) -> None:
    """1e-05 went through a float32 in the header and comes back as 1e-05."""
    assert config(read_header(gguf))["rms_norm_eps"] == 1e-5


def test_the_tokenizer_merges_and_splits_digits(gguf: Path, tmp_path: Path) -> None:
    """Merges apply inside words, each digit stands alone, special tokens are one token."""
    from tokenizers import Tokenizer

    path = tmp_path / "tokenizer.json"
    path.write_text(folder_files(read_header(gguf))["tokenizer.json"], encoding="utf-8")
    encoded = Tokenizer.from_file(str(path)).encode("<|im_start|>hi hi 42<|im_end|>")
    assert encoded.tokens == ["<|im_start|>", "hi", "Ġ", "hi", "Ġ", "4", "2", "<|im_end|>"]


def test_the_template_is_the_headers(gguf: Path) -> None:
    """chat_template.jinja is the template of the header, and the small files are JSON."""
    files = folder_files(read_header(gguf))
    assert files["chat_template.jinja"] == tiny.TEMPLATE
    assert json.loads(files["tokenizer_config.json"])["eos_token"] == "<|im_end|>"

"""A tokenizer folder is read as transformers reads it, and loaded late."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.data.tokenizer import Tokenizer, load_tokenizer
from runner.errors import DataError
from tests.runner.data.folders import write_folder


def rewrite(folder: Path, **changes: object) -> Tokenizer:
    path = folder / "tokenizer_config.json"
    facts = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(facts))
    return load_tokenizer(folder)


def test_special_tokens_have_texts_and_ids(tmp_path: Path) -> None:
    """eos, bos and pad come from the configuration."""
    tokenizer = load_tokenizer(write_folder(tmp_path, "chatml"))
    assert tokenizer.eos_token == "<|im_end|>"
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (0, 1, 1)


def test_special_token_may_be_an_object(tmp_path: Path) -> None:
    """Both forms of older configurations are understood."""
    eos = {"__type": "AddedToken", "content": "<|im_end|>", "special": True}
    assert rewrite(write_folder(tmp_path, "chatml"), eos_token=eos).eos_id == 1


def test_token_that_only_the_configuration_names_is_added(tmp_path: Path) -> None:
    """added_tokens_decoder completes tokenizer.json."""
    added = {"9000": {"content": "<|new|>", "special": True}}
    tokenizer = rewrite(write_folder(tmp_path, "chatml"), added_tokens_decoder=added)
    [encoding] = tokenizer.encode(["a<|new|>b"], add_special_tokens=False)
    assert len(encoding.ids) == 3


def test_truncation_baked_into_the_file_is_switched_off(tmp_path: Path) -> None:
    """A length in tokenizer.json does not cut samples without a word."""
    path = write_folder(tmp_path, "chatml") / "tokenizer.json"
    facts = json.loads(path.read_text())
    facts["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    path.write_text(json.dumps(facts))
    [encoding] = load_tokenizer(tmp_path).encode(["What is a fever?" * 9], add_special_tokens=False)
    assert len(encoding.ids) > 3


def test_template_file_wins_over_the_configuration(tmp_path: Path) -> None:
    """chat_template.jinja is newer than the entry it replaced."""
    (write_folder(tmp_path, "chatml") / "chat_template.jinja").write_text("new")
    template = load_tokenizer(tmp_path).chat_template()
    assert template is not None and template.source == "new"


def test_default_of_several_templates_is_taken(tmp_path: Path) -> None:
    """A list of named templates needs a default."""
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    template = rewrite(write_folder(tmp_path, "chatml"), chat_template=named).chat_template()
    assert template is not None and template.source == "d"
    with pytest.raises(DataError):
        rewrite(tmp_path, chat_template=named[:1]).chat_template()


def test_hash_follows_every_file_that_decides(tmp_path: Path) -> None:
    """Another template is another tokenizer, another README is not."""
    before = load_tokenizer(write_folder(tmp_path, "chatml")).sha256
    (tmp_path / "README.md").write_text("x")
    assert load_tokenizer(tmp_path).sha256 == before
    (tmp_path / "chat_template.jinja").write_text("new")
    assert load_tokenizer(tmp_path).sha256 != before


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_broken_file_is_named(tmp_path: Path, name: str) -> None:
    """What cannot be read is an error with the file."""
    (write_folder(tmp_path, "chatml") / name).write_text("{")
    with pytest.raises(DataError) as caught:
        load_tokenizer(tmp_path).encode(["a"], add_special_tokens=False)
    assert caught.value.id == "data-bad-tokenizer" and name in caught.value.render()


def test_folder_without_tokenizer_json_is_refused(tmp_path: Path) -> None:
    """A slow tokenizer has to be converted once."""
    with pytest.raises(DataError) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.id == "data-no-tokenizer"


def test_loading_costs_no_heavy_import(tmp_path: Path) -> None:
    """A start from the cache imports neither numpy, tokenizers, jinja2 nor torch."""
    write_folder(tmp_path, "chatml")
    code = (
        "import sys; from pathlib import Path\n"
        "from runner.data.prepare import prepare\n"
        "from runner.data.tokenizer import load_tokenizer\n"
        "load_tokenizer(Path(sys.argv[1])).sha256\n"
        "print({'numpy', 'tokenizers', 'jinja2', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"

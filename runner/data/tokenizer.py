"""The tokenizer of a model folder, without torch or transformers: ids, special tokens, template.

`tokenizer.json` is the truth (its post-processor decides on BOS; `add_bos_token` beside it counts
for nothing, as in transformers 5); the configuration adds special tokens and the template.
Nothing heavy is loaded before the first text is encoded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.data.template import ChatTemplate
from runner.errors import DataError, Where

if TYPE_CHECKING:
    import tokenizers

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
EXTRA_TEMPLATES = "additional_chat_templates"
NAMED_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


class Tokenizer:
    """A tokenizer with its special tokens and chat templates.

    Args:
        folder: holds tokenizer.json and the files beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: dict[str, Any] = _read_json(folder / "tokenizer_config.json")
        self.special_tokens = _named_tokens(folder, self.config)
        self.templates = _chat_templates(folder, self.config)

    @property
    def eos_token(self) -> str | None:
        return self.special_tokens.get("eos_token")

    @cached_property
    def eos_id(self) -> int | None:
        return self._id("eos_token")

    @cached_property
    def bos_id(self) -> int | None:
        return self._id("bos_token")

    @cached_property
    def pad_id(self) -> int | None:
        return self._id("pad_token")

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the names and bytes of all files that decide ids or templates."""
        digest = hashlib.sha256()
        extra = sorted((self.folder / EXTRA_TEMPLATES).glob("*.jinja"))
        for path in [*(self.folder / name for name in FILES), *extra]:
            if path.is_file():
                digest.update(path.name.encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    @cached_property
    def added_tokens(self) -> tuple[str, ...]:
        """Tokens that are taken whole wherever they stand in a text, longest first."""
        tokens = [token for token in self.added_ids.values() if token.strip()]
        return tuple(sorted(tokens, key=len, reverse=True))

    @cached_property
    def added_ids(self) -> dict[int, str]:
        """Ids of the added tokens, and their texts."""
        return {i: token.content for i, token in self._backend.get_added_tokens_decoder().items()}

    def chat_template(self) -> ChatTemplate | None:
        """Return the template for conversations without tools, or None."""
        if not self.templates:
            return None
        if "default" not in self.templates:
            raise DataError(
                id="data-no-default-template",
                what=f"the tokenizer has {len(self.templates)} chat templates and no default",
                where=str(self.folder.name),
                why="it is not clear which of them the model was trained with",
                fix="set `data.chat_template` to a file that holds the right one",
            )
        return ChatTemplate(
            self.templates["default"], self.special_tokens, "chat template of the tokenizer"
        )

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[Any]:
        """Encode texts on all cores; each encoding has ids and character offsets."""
        return self._backend.encode_batch(list(texts), add_special_tokens=add_special_tokens)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""
        return self._backend.decode(list(ids), skip_special_tokens=False)

    def _id(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return None if token is None else self._backend.token_to_id(token)

    @cached_property
    def _backend(self) -> tokenizers.Tokenizer:
        import tokenizers  # and up to a second for a large vocabulary: not on a start from cache

        path = self.folder / "tokenizer.json"
        try:
            # offsets without the white space of a token would put it on no side of a border
            raw = re.sub(rb'("trim_offsets"\s*:\s*)true', rb"\1false", path.read_bytes())
            backend = tokenizers.Tokenizer.from_buffer(raw)
        except Exception as error:  # the library raises bare Exception
            raise DataError(
                id="data-bad-tokenizer",
                what="tokenizer.json cannot be read by the tokenizers library",
                where=str(path),
                why="no text can be turned into tokens",
                fix="fetch the model again, or upgrade tokenizers",
            ) from error
        # a length baked into the file would cut or pad samples without a word
        backend.no_truncation()
        backend.no_padding()
        _add_tokens(backend, self.config, self.special_tokens)
        return backend


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a model folder.

    Raises:
        DataError: there is no tokenizer.json.
    """
    if not (folder / "tokenizer.json").is_file():
        raise DataError(
            id="data-no-tokenizer",
            what="the model folder has no tokenizer.json",
            where=str(folder),
            why="no text can be turned into tokens",
            fix="convert it once with transformers: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        )
    return Tokenizer(folder)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            id="data-bad-tokenizer",
            what=f"{path.name} is not valid JSON",
            where=Where(file=path, line=getattr(error, "lineno", None)),
            why="special tokens and the chat template are read from it",
            fix="fetch the model again",
        ) from error
    return value if isinstance(value, dict) else {}


def _token_text(value: Any) -> str | None:
    return value.get("content") if isinstance(value, dict) else value


def _named_tokens(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    legacy = _read_json(folder / "special_tokens_map.json")
    tokens = {name: _token_text(config.get(name) or legacy.get(name)) for name in NAMED_TOKENS}
    return {name: token for name, token in tokens.items() if isinstance(token, str) and token}


def _chat_templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Return templates by name; files win over the configuration, as in transformers."""
    templates: dict[str, str] = {}
    written = config.get("chat_template")
    if isinstance(written, str):
        templates["default"] = written
    elif isinstance(written, list):
        templates.update({item["name"]: item["template"] for item in written})
    legacy = _read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(legacy, str):
        templates["default"] = legacy
    for path in sorted((folder / EXTRA_TEMPLATES).glob("*.jinja")):
        templates[path.stem] = path.read_text(encoding="utf-8")
    file = folder / "chat_template.jinja"
    if file.is_file():
        templates["default"] = file.read_text(encoding="utf-8")
    return templates


def _add_tokens(
    backend: tokenizers.Tokenizer, config: dict[str, Any], special: dict[str, str]
) -> None:
    """Add the tokens that the configuration names and tokenizer.json has not."""
    from tokenizers import AddedToken

    present = {token.content for token in backend.get_added_tokens_decoder().values()}
    declared = config.get("added_tokens_decoder") or {}
    for _, facts in sorted(declared.items(), key=lambda item: int(item[0])):
        if facts["content"] not in present:
            flags = {
                name: facts[name]
                for name in ("single_word", "lstrip", "rstrip", "normalized", "special")
                if name in facts
            }
            backend.add_tokens([AddedToken(facts["content"], **flags)])
            present.add(facts["content"])
    for token in special.values():
        if token not in present:
            backend.add_special_tokens([AddedToken(token, special=True, normalized=False)])
            present.add(token)

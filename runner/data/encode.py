"""From samples to tokens: conversations and texts to ids with a loss mask, pairs to three lists.

Works on batches: the tokenizers library encodes them on all cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.data.faults import RowFault
from runner.data.mask import Marked, Marker
from runner.data.sample import Chat, Pair, Sample
from runner.data.token_mask import token_mask
from runner.data.tokenizer import Tokenizer

Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
PairTexts = tuple[list[tuple[str, bool]], bool]  # (text, is_rendered) three times; EOS was added


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample: parts end to end, and which tokens carry loss.

    SFT has one part; DPO three: prompt, chosen and rejected.
    """

    parts: tuple[Ids, ...]
    supervised: Mask  # over all parts
    notes: tuple[str, ...] = ()  # what was decided on the way: kinds of runner.data.notes

    @property
    def num_tokens(self) -> int:
        """Tokens the model sees: of a pair, the prompt counts twice."""
        total = sum(len(part) for part in self.parts)
        return total + (len(self.parts[0]) if len(self.parts) == 3 else 0)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence the model sees at once."""
        return len(self.parts[0]) + max((len(part) for part in self.parts[1:]), default=0)

    @property
    def num_supervised(self) -> int:
        return int(self.supervised.sum())

    def truncated(self, max_length: int) -> Encoded:
        """Return the sample cut to a length from its end; of a pair, the answers are cut."""
        if len(self.parts) == 1:
            ids, flags = self.parts[0][:max_length], self.supervised[:max_length]
            return Encoded((ids,), flags, self.notes)
        prompt = self.parts[0][:max_length]
        answers = [part[: max_length - len(prompt)] for part in self.parts[1:]]
        return _pair(prompt, *answers, notes=self.notes)


class Encoder:
    """Encodes samples, and notes with each what it had to decide.

    Args:
        tokenizer: of the base model.
        marker: renders and marks.
    """

    def __init__(self, tokenizer: Tokenizer, marker: Marker) -> None:
        self.tokenizer = tokenizer
        self.marker = marker

    def encode(self, samples: Sequence[Sample]) -> list[Encoded | RowFault]:
        """Return samples as tokens, in order; a RowFault where one cannot be."""
        if samples and isinstance(samples[0], Pair):
            return self._encode_pairs([sample for sample in samples if isinstance(sample, Pair)])
        marked = [self._mark(sample) for sample in samples]
        texts = [item for item in marked if isinstance(item, Marked)]
        encodings = iter(self._encode_marked(texts))
        return [item if isinstance(item, RowFault) else next(encodings) for item in marked]

    def _mark(self, sample: Sample) -> Marked | RowFault:
        assert not isinstance(sample, Pair)
        try:
            if isinstance(sample, Chat):
                return self.marker.mark_chat(sample)
            return self.marker.mark_text(sample)
        except RowFault as fault:
            return fault

    def _encode_marked(self, marked: Sequence[Marked]) -> list[Encoded | RowFault]:
        encodings = self._encode_texts([(item.text, item.is_rendered) for item in marked])
        return [
            self._masked(item, encoding) for item, encoding in zip(marked, encodings, strict=True)
        ]

    def _encode_texts(self, texts: Sequence[tuple[str, bool]]) -> list[Any]:
        """Encode (text, is_rendered); BOS and its like are added to what no template wrote."""
        encodings: list[Any] = [None] * len(texts)
        for is_rendered in (True, False):
            chosen = [i for i, (_, rendered) in enumerate(texts) if rendered == is_rendered]
            batch = self.tokenizer.encode(
                [texts[i][0] for i in chosen], add_special_tokens=not is_rendered
            )
            for i, encoding in zip(chosen, batch, strict=True):
                encodings[i] = encoding
        return encodings

    def _masked(self, marked: Marked, encoding: Any) -> Encoded | RowFault:
        ids = self._ids(encoding, marked.text)
        supervised, num_straddling = np.full(len(ids), marked.whole), 0
        if not marked.whole:
            tokens, num_straddling = token_mask(encoding, marked.spans, len(marked.text))
            for first, stop in tokens:
                supervised[first:stop] = True
        if not supervised.any():
            return RowFault("data-nothing-supervised")
        return Encoded(
            (ids,),
            supervised,
            _notes(
                straddling_tokens=num_straddling > 0,
                altered_turns=marked.num_altered > 0,
                added_eos=marked.has_added_eos,
                unstopped_turns=marked.num_unstopped > 0,
                off_prompt=marked.is_off_prompt,
            ),
        )

    def _ids(self, encoding: Any, text: str) -> Ids:
        ids = np.asarray(encoding.ids, dtype=np.int32)
        eos = self.tokenizer.eos_token
        # a tokenizer that adds EOS by itself must not double the one that the text ends with
        is_doubled = len(ids) > 1 and ids[-1] == ids[-2] == self.tokenizer.eos_id
        return ids[:-1] if is_doubled and eos and not text.endswith(eos + eos) else ids

    def _encode_pairs(self, pairs: Sequence[Pair]) -> list[Encoded | RowFault]:
        texts = [self._pair_texts(pair) for pair in pairs]
        good = [item for item in texts if not isinstance(item, RowFault)]
        encoded = [self._encode_texts([texts[part] for texts, _ in good]) for part in range(3)]
        triples = zip(good, *encoded, strict=True)
        return [
            item if isinstance(item, RowFault) else self._join_pair(*next(triples))
            for item in texts
        ]

    def _pair_texts(self, pair: Pair) -> PairTexts | RowFault:
        """Return the texts of prompt, prompt + chosen and prompt + rejected."""
        try:
            if isinstance(pair.prompt, str):
                assert isinstance(pair.chosen, str) and isinstance(pair.rejected, str)
                sides = [self.marker.with_eos(side) for side in (pair.chosen, pair.rejected)]
                return [(pair.prompt + side, False) for side in ("", *sides)], False
            assert self.marker.template is not None
            prompt = self.marker.template.render(pair.prompt, add_generation_prompt=True)
            assert not isinstance(pair.chosen, str) and not isinstance(pair.rejected, str)
            chosen, adds_eos = self.marker.answered(pair.prompt + pair.chosen)
            rejected, adds_eos_too = self.marker.answered(pair.prompt + pair.rejected)
            return [(prompt, True), (chosen, True), (rejected, True)], adds_eos or adds_eos_too
        except RowFault as fault:
            return fault

    def _join_pair(self, pair_texts: PairTexts, *encodings: Any) -> Encoded | RowFault:
        """Split prompt from answers where the tokens part, as TRL's DPO trainer does (1.16)."""
        texts, has_added_eos = pair_texts
        prompt, chosen, rejected = (
            self._ids(encoding, text) for (text, _), encoding in zip(texts, encodings, strict=True)
        )
        shared = min(_common_prefix(prompt, chosen), _common_prefix(prompt, rejected))
        notes = _notes(off_prompt=shared < len(prompt), added_eos=has_added_eos)
        sample = _pair(prompt[:shared], chosen[shared:], rejected[shared:], notes=notes)
        if not len(sample.parts[1]) or not len(sample.parts[2]):
            return RowFault("data-nothing-supervised")
        return sample


def _notes(**found: bool) -> tuple[str, ...]:
    return tuple([kind for kind, is_so in found.items() if is_so])


def _pair(prompt: Ids, chosen: Ids, rejected: Ids, *, notes: tuple[str, ...]) -> Encoded:
    supervised = np.ones(len(prompt) + len(chosen) + len(rejected), dtype=np.bool_)
    supervised[: len(prompt)] = False
    return Encoded((prompt, chosen, rejected), supervised, notes)


def _common_prefix(first: Ids, second: Ids) -> int:
    length = min(len(first), len(second))
    differing = np.flatnonzero(first[:length] != second[:length])
    return int(differing[0]) if len(differing) else length

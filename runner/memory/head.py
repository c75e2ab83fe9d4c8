"""Output head and loss on the tape, for each loop that computes them another way."""

from __future__ import annotations

from collections.abc import Callable

from runner.memory import ops
from runner.memory.architecture import Architecture
from runner.memory.settings import FLOAT32, Settings
from runner.memory.tape import Storage, Tape, Tensor

# trl 1.16, trl/kernels/chunked_logprob.py and trl/trainer/utils.py
TRL_TOKENS, TRL_VOCABULARY = 4096, 32768
ONE_PASS_TOKENS = 256  # runner/train/levers/head.py
# litgpt, chunked_cross_entropy
LITGPT_TOKENS = 128


class Head:
    """Loss of the normed hidden states; returns a tensor to run backwards from."""

    def __init__(self, tape: Tape, arch: Architecture, settings: Settings) -> None:
        self.tape, self.arch, self.settings = tape, arch, settings
        self.is_trained = not settings.trains_adapter
        self.itemsize = settings.compute_itemsize if settings.autocast else settings.weight_itemsize
        if settings.upcasts_for_kbit and not settings.autocast:
            self.itemsize = FLOAT32
        # The logits a training loop holds in `outputs` until its backward pass is over.
        self.outputs: Storage | None = None
        kinds: dict[str, Callable[[Tensor], Tensor]] = {
            "trl": self._trl,
            "one_pass": self._one_pass,
            "hf": self._full_logits,
            "inplace": self._in_place,
            "liger": self._liger,
            "cut": self._cut,
            "chunked": self._chunked,
        }
        self._loss = kinds[settings.head.partition("_until_")[0]]

    def __call__(self, x: Tensor) -> Tensor:
        return self._loss(x)

    @property
    def scored(self) -> float:
        """Tokens whose prediction is scored."""
        return max(1.0, self.settings.tokens * self.settings.supervised_share)

    def _weight_grad(self, itemsize: int) -> Storage | None:
        """The head's gradient while it is made; afterwards it counts among the gradients."""
        if not self.is_trained:
            return None
        return Storage(self.tape, self.arch.vocab * self.arch.hidden * itemsize)

    def _fused(self, x: Tensor, forward: float, backward: float, itemsize: int) -> Tensor:
        """A head that never holds all logits.

        Args:
            forward, backward: bytes alive in each pass, the gradient of x left out.
            itemsize: of the head's gradient.
        """
        tape, shape = self.tape, (x.numel, x.itemsize)
        kept = tape.keep(x)
        tape.scratch(forward)

        def run_back(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            weights, scratch = [self._weight_grad(itemsize)], Storage(tape, backward)
            grad = tape.new(*shape)
            if itemsize != self.settings.weight_itemsize:  # then in the weight's own type
                weights.append(self._weight_grad(self.settings.weight_itemsize))
            del weights, scratch
            return (grad,)

        return tape.made(1, FLOAT32, (x,), run_back)

    def _trl(self, x: Tensor) -> Tensor:
        """Tiles of 4096 tokens by 32,768 words, the scored tokens' gradient in float32."""
        tape, h, n = self.tape, self.arch.hidden, self.scored
        tile = min(n, TRL_TOKENS) * TRL_VOCABULARY * self.itemsize
        if self.settings.weight_itemsize != self.itemsize:
            tile += TRL_VOCABULARY * h * self.itemsize  # a slice of the weight, cast
        shape = x.numel, x.itemsize
        x = tape.made(n * h, x.itemsize, (x,), lambda _: (tape.new(*shape),))  # the scored ones
        return self._fused(x, tile, tile + n * h * FLOAT32, FLOAT32)

    def _one_pass(self, x: Tensor) -> Tensor:
        """Tiles of 256 tokens by all words; the gradient of the scored tokens is made at once."""
        tape, h, vocab, n = self.tape, self.arch.hidden, self.arch.vocab, self.scored
        size, shape = self.itemsize, (x.numel, x.itemsize)
        x = tape.made(n * h, x.itemsize, (x,), lambda _: (tape.new(*shape),))  # the scored ones
        weight = Storage(tape, vocab * h * size if self.settings.weight_itemsize != size else 0)
        grad = tape.new(x.numel, x.itemsize)
        tape.scratch(min(n, ONE_PASS_TOKENS) * (vocab * (size + FLOAT32) + h * FLOAT32))
        kept = tape.keep(grad)
        scored = x.numel, x.itemsize
        del weight, grad

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            product = tape.new(scored[0], FLOAT32)  # times what comes from above, in float32
            if scored[1] == FLOAT32:
                return (product,)
            return (tape.new(*scored),)

        return tape.made(1, FLOAT32, (x,), backward)

    def _liger(self, x: Tensor) -> Tensor:
        """Liger: chunks of tokens so small that their logits are about as large as x.

        The gradient of x is made in the forward pass, beside one chunk's logits in the
        computation's type and in float32.
        """
        tape, vocab, h = self.tape, self.arch.vocab, self.arch.hidden
        chunks = max(1, -(-vocab // h))
        chunk = -(-int(self.settings.tokens) // chunks)
        chunk = 1 << (chunk - 1).bit_length()  # the next power of two
        logits = chunk * vocab * (self.itemsize + FLOAT32)
        grad = tape.new(x.numel, x.itemsize)
        weight = self._weight_grad(self.itemsize)
        tape.scratch(logits)
        kept = tape.keep(grad)
        del grad

        def backward(
            _: Tensor, kept: tuple[Tensor, ...] = kept, weight: Storage | None = weight
        ) -> tuple[Tensor | None, ...]:
            return (kept[0] if kept else None,)

        return tape.made(1, FLOAT32, (x,), backward)

    def _cut(self, x: Tensor) -> Tensor:
        """Cut cross-entropy: a log-sum-exp a token, tiles in the processor's own memory."""
        return self._fused(x, self.scored * FLOAT32, self.scored * 2 * FLOAT32, self.itemsize)

    def _full_logits(self, x: Tensor) -> Tensor:
        """All logits: in the head's type, in float32, their log-softmax; then two gradients."""
        tape = self.tape
        narrow, wide, copies = self._logits(x)
        during = [narrow, *copies]
        soft = tape.new(wide.numel, FLOAT32)
        shape = wide.numel, wide.itemsize
        kept = tape.keep(soft)
        del soft, copies
        if self.settings.head == "hf":
            self.outputs = narrow
        during.clear()

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            picked = tape.new(*shape)
            grad = tape.new(*shape)
            del picked
            return (grad,)

        return tape.made(1, FLOAT32, (wide,), backward)

    def _logits(self, x: Tensor) -> tuple[Storage | None, Tensor, list[Storage]]:
        """Return the logits as the head made them, in float32, and further copies of them.

        transformers until 4.45 overwrote `logits` by the float32 ones, so the narrow ones were
        gone; until 4.49 the loss copied them to shift them by one.
        """
        tape, numel = self.tape, float(self.settings.tokens) * self.arch.vocab
        x = ops.cast(tape, x, self.itemsize)
        logits = ops.matmul(tape, x, numel, is_trained=self.is_trained)
        if self.arch.scales_logits:
            logits = ops.elementwise(tape, logits)
        wide = ops.cast(tape, logits, FLOAT32)
        version = self.settings.head.partition("_until_")[2]
        narrow = None if version == "4_45" else logits.storage
        del logits
        return narrow, wide, [Storage(tape, numel * FLOAT32)] if version else []

    def _in_place(self, x: Tensor) -> Tensor:
        """Full logits whose gradient overwrites them (unsloth's kernel)."""
        tape = self.tape
        narrow, wide, copies = self._logits(x)
        kept = tape.keep(wide)
        del narrow, copies

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            return kept[:1] or (None,)

        return tape.made(1, FLOAT32, (wide,), backward)

    def _chunked(self, x: Tensor) -> Tensor:
        """litgpt: logits of 128 tokens at a time, kept for the backward pass."""
        tape, numel = self.tape, float(self.settings.tokens) * self.arch.vocab
        logits = ops.matmul(tape, x, numel, is_trained=self.is_trained)
        tape.scratch(LITGPT_TOKENS * self.arch.vocab * 2 * FLOAT32)
        kept = tape.keep(logits)
        shape = logits.numel, logits.itemsize

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            return (tape.new(*shape),)

        return tape.made(1, FLOAT32, (logits,), backward)

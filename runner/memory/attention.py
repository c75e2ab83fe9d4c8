"""Attention on the tape: rotary positions, then the kernel that is asked for."""

from __future__ import annotations

from runner.memory import ops
from runner.memory.architecture import Architecture
from runner.memory.settings import FLOAT32, Settings
from runner.memory.tape import Tape, Tensor

LOG_SUM_EXP = 4  # bytes a head and token, kept by every flash-type kernel


class Attention:
    """From queries, keys and values to what the heads attended to."""

    def __init__(self, tape: Tape, arch: Architecture, settings: Settings) -> None:
        self.tape, self.arch, self.settings = tape, arch, settings
        self.tokens = float(settings.tokens)

    def rotate(self, x: Tensor) -> Tensor:
        """`x * cos + rotate_half(x) * sin`."""
        turned = ops.elementwise(self.tape, x, backward_copies=2)  # halves, zero-padded gradients
        first = ops.elementwise(self.tape, x)
        turned = ops.elementwise(self.tape, turned)
        return ops.add(self.tape, first, turned)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.settings.attention == "eager":
            return self._attend_eagerly(q, k, v)
        if self.settings.attention in ("mem_efficient", "masked"):
            k, v = self._expand(k), self._expand(v)
        if self.settings.attention == "masked":
            rows, length = self.settings.rows, self.settings.length
            return self._flash(q, k, v, self.tape.new(float(rows) * length**2, q.itemsize))
        return self._flash(q, k, v)

    def _expand(self, x: Tensor) -> Tensor:
        """Repeat key or value heads for every query head (a copy; without GQA a view)."""
        if self.arch.kv == self.arch.q:
            return x
        source = x.numel, x.itemsize
        return self.tape.made(
            self.tokens * self.arch.q, x.itemsize, (x,), lambda _: (self.tape.new(*source),)
        )

    def _flash(self, q: Tensor, k: Tensor, v: Tensor, *mask: Tensor) -> Tensor:
        """Keeps inputs, output, a number a head and token, and the mask it added, if any."""
        tape = self.tape
        out = tape.new(q.numel, q.itemsize)
        statistics = tape.new(self.tokens * self.arch.num_heads, LOG_SUM_EXP)
        kept = tape.keep(q, k, v, out, statistics, *mask)
        shapes = [(x.numel, x.itemsize) for x in (q, k, v)]

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            grads = tuple(tape.new(*shape) for shape in shapes)
            tape.scratch(shapes[0][0] * FLOAT32)  # dq is summed in float32
            return grads

        return tape.recorded(out, (q, k, v), backward)

    def _attend_eagerly(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Every score in memory: softmax in float32, then the type of the queries."""
        tape, s = self.tape, self.settings
        k, v = self._expand(k), self._expand(v)
        scores = self._product(q, k, float(s.rows) * self.arch.num_heads * s.length**2)
        scores = ops.elementwise(tape, scores)  # * scaling
        scores = ops.elementwise(tape, scores)  # + mask
        if not s.is_half:  # one kernel reads float16 and writes float32; for bfloat16 it is two
            scores = ops.cast(tape, scores, FLOAT32)
        soft = self._softmax(scores)
        del scores
        weights = ops.cast(tape, soft, q.itemsize)
        del soft
        out = self._product(weights, v, q.numel)
        return ops.elementwise(tape, out)  # transposed, made contiguous

    def _softmax(self, scores: Tensor) -> Tensor:
        """Its result is kept; CUDA's backward pass multiplies it with the gradient on the side."""
        tape = self.tape
        soft = tape.new(scores.numel, FLOAT32)
        kept = tape.keep(soft)

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            product = tape.new(soft_numel, FLOAT32)
            grad = tape.new(soft_numel, itemsize)
            del product
            return (grad,)

        soft_numel, itemsize = scores.numel, scores.itemsize
        return tape.recorded(soft, (scores,), backward)

    def _product(self, a: Tensor, b: Tensor, numel: float) -> Tensor:
        """A product of two activations: both are kept."""
        kept = self.tape.keep(a, b)
        shapes = [(x.numel, x.itemsize) for x in (a, b)]

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            return tuple(self.tape.new(*shape) for shape in shapes)

        return self.tape.made(numel, a.itemsize, (a, b), backward)

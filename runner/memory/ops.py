"""The operations a decoder is made of, each with the rule of what PyTorch keeps for it."""

from __future__ import annotations

from runner.memory.tape import Storage, Tape, Tensor


def cast(tape: Tape, x: Tensor, itemsize: int) -> Tensor:
    """`x.to(dtype)`: a copy where the type differs; nothing is kept."""
    if x.itemsize == itemsize:
        return x
    source = x.itemsize
    return tape.made(x.numel, itemsize, (x,), lambda grad: (_like(tape, grad, source),))


def add(tape: Tape, a: Tensor, b: Tensor) -> Tensor:
    """`a + b` in the wider type; nothing is kept."""
    sizes = a.itemsize, b.itemsize
    numel = max(a.numel, b.numel)
    return tape.made(
        numel, max(sizes), (a, b), lambda grad: tuple(_like(tape, grad, size) for size in sizes)
    )


def mul(tape: Tape, a: Tensor, b: Tensor) -> Tensor:
    """`a * b` of two activations: each is kept for the other's gradient."""
    kept = tape.keep(*([b] if a.node else []), *([a] if b.node else []))
    shapes = [(x.numel, x.itemsize) if x.node else None for x in (a, b)]

    def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
        return tuple(tape.new(*shape) if shape else None for shape in shapes)

    return tape.made(max(a.numel, b.numel), max(a.itemsize, b.itemsize), (a, b), backward)


def elementwise(
    tape: Tape,
    x: Tensor,
    *,
    keep: tuple[Tensor, ...] = (),
    itemsize: int | None = None,
    backward_copies: float = 0.0,
) -> Tensor:
    """Apply a function to each element.

    Args:
        keep: what the backward pass needs again: the input of SiLU, nothing for a scaling.
        itemsize: bytes an element of the result, where the type changes.
        backward_copies: further tensors of the input's size alive while its gradient is made.
    """
    kept = tape.keep(*keep)
    numel, size = x.numel, x.itemsize

    def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
        grad = tape.new(numel, size)
        if backward_copies:
            tape.scratch(backward_copies * numel * size)
        return (grad,)

    return tape.made(numel, itemsize or size, (x,), backward)


def dropout(tape: Tape, x: Tensor) -> Tensor:
    """`native_dropout` of CUDA: a mask of one byte an element is kept."""
    return elementwise(tape, x, keep=(tape.new(x.numel, 1),))


def matmul(
    tape: Tape,
    x: Tensor,
    numel: float,
    *,
    is_trained: bool = False,
    weight_scratch: float = 0.0,
) -> Tensor:
    """`x @ W`: the input is kept where W is trained.

    Args:
        numel: elements of the result.
        weight_scratch: bytes of the dequantised weight that lives during each product.
    """
    kept = tape.keep(x) if is_trained else ()
    shape = x.numel, x.itemsize

    def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
        weight = Storage(tape, weight_scratch)
        grad = tape.new(*shape)
        del weight
        return (grad,)

    weight = Storage(tape, weight_scratch)
    out = tape.made(numel, x.itemsize, (x,), backward)
    del weight
    return out


def _like(tape: Tape, grad: Tensor, itemsize: int) -> Tensor:
    return grad if grad.itemsize == itemsize else tape.new(grad.numel, itemsize)

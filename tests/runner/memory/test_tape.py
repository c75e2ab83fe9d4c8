"""Sizes that behave like tensors: what lives, what is kept, what is freed."""

from __future__ import annotations

from runner.memory import ops
from runner.memory.tape import Tape, Tensor

N = 1024.0  # elements; a multiple of the allocator's block


def chain(tape: Tape, x: Tensor) -> Tensor:
    """Three functions in a row, each of which keeps its input."""
    for _ in range(3):
        x = ops.elementwise(tape, x, keep=(x,))
    return x


def test_a_tensor_lives_until_its_last_reference() -> None:
    """Bytes count from the making to the last name, and the peak stays."""
    tape = Tape()
    first, second = tape.new(N, 4), tape.new(N, 2)
    assert tape.live == N * 6
    del first
    assert (tape.live, tape.peak) == (N * 2, N * 6)
    del second
    assert tape.live == 0


def test_sizes_are_rounded_as_the_allocator_rounds() -> None:
    """A tensor of one byte takes a block of 512."""
    tape = Tape()
    tensor = tape.new(1, 1)
    assert tape.live == 512
    del tensor


def test_what_a_backward_pass_needs_is_kept_until_then() -> None:
    """A function keeps its input; running backwards frees it and leaves the gradient."""
    tape = Tape()
    x = tape.leaf(N, 2)
    y = chain(tape, x)
    assert tape.live == 4 * N * 2  # x, two between, y
    root = y.node
    assert root is not None
    del y
    grad = tape.backward(root, tape.new(N, 2))
    assert tape.live == 2 * N * 2  # x and its gradient
    assert grad is not None
    assert (grad.numel, grad.itemsize) == (N, 2)


def test_without_recording_nothing_is_kept() -> None:
    """As under torch.no_grad, what lies between is freed at once."""
    tape = Tape()
    x = tape.leaf(N, 2)
    with tape.no_grad():
        y = chain(tape, x)
    assert y.node is None
    assert tape.live == 2 * N * 2


def test_a_checkpoint_keeps_its_input_and_computes_the_rest_again() -> None:
    """After the forward pass only input and output live; backwards as much as without, but less
    the last result, which the early stop does not compute."""
    tape = Tape()
    x = tape.leaf(N, 2)
    y = tape.checkpoint(lambda value: chain(tape, value), x)
    assert tape.live == 2 * N * 2
    root = y.node
    assert root is not None
    del y
    tape.peak = tape.live
    grad = tape.backward(root, tape.new(N, 2))
    assert grad is not None
    assert tape.peak == (1 + 2 + 2) * N * 2  # x, two kept, two gradients
    assert tape.live == 2 * N * 2


def test_a_tensor_used_twice_gets_one_gradient() -> None:
    """The second gradient is added in place: it does not stay."""
    tape = Tape()
    x = tape.leaf(N, 2)
    y = ops.add(tape, ops.elementwise(tape, x), ops.elementwise(tape, x))
    assert y.node is not None
    tape.backward(y.node, tape.new(N, 2))
    assert tape.live == 2 * N * 2  # x and y; the gradient was dropped here


def test_a_cast_copies_only_where_types_differ() -> None:
    """`x.to(dtype)` of the same type is the same tensor."""
    tape = Tape()
    x = tape.leaf(N, 2)
    assert ops.cast(tape, x, 2) is x
    wide = ops.cast(tape, x, 4)
    assert tape.live == N * 6
    del wide

"""Autograd on tensors that are only sizes: how many bytes live at the worst moment.

A model step written with these operations allocates, keeps for the backward pass and frees what
PyTorch does: a tensor's bytes count from its making until the last Python name and the last node
that kept it are gone. `plan --trace` runs the real model code under the same count, and a test
holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

BLOCK = 512  # bytes the CUDA caching allocator rounds a tensor up to


class Storage:
    """Bytes on the device, counted from birth to the last reference."""

    __slots__ = ("nbytes", "tape")

    def __init__(self, tape: Tape, nbytes: float) -> None:
        self.tape = tape
        self.nbytes = 0.0 if tape.is_recomputed else -(-nbytes // BLOCK) * BLOCK
        tape.live += self.nbytes
        tape.peak = max(tape.peak, tape.live)

    def __del__(self) -> None:
        self.tape.live -= self.nbytes


class Node:
    """One recorded operation: where gradients go, and how they are made."""

    __slots__ = ("backward", "inputs", "number")

    def __init__(self, number: int, inputs: tuple[Node | None, ...], backward: Backward) -> None:
        self.number, self.inputs = number, inputs
        self.backward: Backward | None = backward


class Tensor:
    """A number of elements, bytes an element, their storage, and the node that made them."""

    __slots__ = ("itemsize", "node", "numel", "storage")

    def __init__(
        self, storage: Storage, numel: float, itemsize: int, node: Node | None = None
    ) -> None:
        self.storage, self.numel, self.itemsize, self.node = storage, numel, itemsize, node


Backward = Callable[[Tensor], tuple[Tensor | None, ...]]


class Tape:
    """Counts live bytes, records operations and runs them backwards."""

    def __init__(self) -> None:
        self.live = 0.0
        self.peak = 0.0
        self.records = True
        self.is_recomputed = False  # torch's early stop: what follows is not computed again
        self._packs = False  # inside a checkpoint's first pass: nothing is kept
        self._num_kept = 0
        self._stop_after: int | None = None
        self._num_nodes = 0

    def new(self, numel: float, itemsize: int) -> Tensor:
        """Allocate a tensor that no operation made."""
        return Tensor(Storage(self, numel * itemsize), numel, itemsize)

    def leaf(self, numel: float, itemsize: int) -> Tensor:
        """Allocate a tensor whose gradient is wanted."""
        tensor = self.new(numel, itemsize)
        tensor.node = self._node((), lambda _: ())
        return tensor

    def detached(self, x: Tensor) -> Tensor:
        """The same bytes as a new leaf."""
        return Tensor(x.storage, x.numel, x.itemsize, self._node((), lambda _: ()))

    def scratch(self, nbytes: float) -> None:
        """Allocate and free at once."""
        Storage(self, nbytes)

    def keep(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return what a node holds for its backward pass; counts towards the early stop."""
        if not self.records:
            return ()
        self._num_kept += len(tensors)
        if self._stop_after is not None and self._num_kept >= self._stop_after:
            self.is_recomputed = True
        return () if self._packs else tensors

    def made(
        self, numel: float, itemsize: int, inputs: tuple[Tensor, ...], backward: Backward
    ) -> Tensor:
        """Allocate the output of an operation; recorded where an input wants a gradient."""
        return self.recorded(self.new(numel, itemsize), inputs, backward)

    def recorded(self, out: Tensor, inputs: tuple[Tensor, ...], backward: Backward) -> Tensor:
        """Record the operation that made a tensor, where an input wants a gradient."""
        nodes = tuple(tensor.node for tensor in inputs)
        if self.records and any(nodes):
            out.node = self._node(nodes, backward)
        return out

    def _node(self, inputs: tuple[Node | None, ...], backward: Backward) -> Node:
        self._num_nodes += 1
        return Node(self._num_nodes, inputs, backward)

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Record nothing, as torch.no_grad."""
        before, self.records = self.records, False
        try:
            yield
        finally:
            self.records = before

    def checkpoint(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Keep the input alone and compute the rest again (non-reentrant, with early stop)."""
        assert x.node is not None
        self._packs, self._num_kept = True, 0
        out = function(self.detached(x))
        self._packs, num_kept = False, self._num_kept

        def backward(grad: Tensor) -> tuple[Tensor | None, ...]:
            self._num_kept, self._stop_after = 0, num_kept
            root = function(self.detached(x)).node
            self._stop_after, self.is_recomputed = None, False
            assert root is not None
            return (self.backward(root, grad),)

        out.node = self._node((x.node,), backward)
        return out

    def backward(self, root: Node, grad: Tensor) -> Tensor | None:
        """Run the recorded operations backwards, newest first; return the leaf's gradient.

        A second gradient of the same tensor is added in place, as PyTorch's engine does.
        """
        pending, grads = {root.number: root}, {root.number: grad}
        del root, grad
        result = None
        while pending:
            number = max(pending)
            node, out = pending.pop(number), grads.pop(number)
            if not node.inputs:
                result = out
            assert node.backward is not None, "a graph is run backwards once"
            produced = node.backward(out)
            node.backward = None  # frees what was kept
            del out
            for source, value in zip(node.inputs, produced, strict=bool(node.inputs)):
                if source is not None and value is not None and source.number not in grads:
                    pending[source.number], grads[source.number] = source, value
                del value
            del produced, node
        return result

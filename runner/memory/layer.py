"""One decoder layer on the tape: the statements of transformers' modelling code, in their order."""

from __future__ import annotations

from runner.memory import ops
from runner.memory.architecture import Architecture
from runner.memory.attention import Attention
from runner.memory.parameters import Linear, layer_linears
from runner.memory.settings import FLOAT32, Adapter, Settings
from runner.memory.tape import Backward, Storage, Tape, Tensor


class Layer:
    """One decoder layer; called on the hidden states it returns the next ones."""

    def __init__(self, tape: Tape, arch: Architecture, settings: Settings) -> None:
        self.tape, self.arch, self.settings = tape, arch, settings
        self.tokens = float(settings.tokens)
        self.attention = Attention(tape, arch, settings)
        self.linears = {linear.name: linear for linear in layer_linears(arch)}

    def __call__(self, x: Tensor) -> Tensor:
        if self.arch.norm == "parallel":
            return self._parallel(x)
        hidden = self._attention(self.norm(x) if self.arch.norm != "post" else x)
        if self.arch.norm != "pre":
            hidden = self.norm(hidden)
        x = self._join(x, hidden)
        hidden = self._mlp(self.norm(x) if self.arch.norm != "post" else x)
        if self.arch.norm != "pre":
            hidden = self.norm(hidden)
        return self._join(x, hidden)

    def _parallel(self, x: Tensor) -> Tensor:
        """Phi: attention and MLP read the same norm, and both are dropped out."""
        hidden = self.norm(x)
        attended = self._drop(self._attention(hidden))
        mixed = self._drop(self._mlp(hidden))
        return ops.add(self.tape, ops.add(self.tape, attended, mixed), x)

    def _join(self, residual: Tensor, hidden: Tensor) -> Tensor:
        hidden = self._drop(hidden)
        if self.arch.scales_residual:
            hidden = ops.elementwise(self.tape, hidden)
        return ops.add(self.tape, residual, hidden)

    def _drop(self, x: Tensor) -> Tensor:
        return ops.dropout(self.tape, x) if self.arch.residual_dropout else x

    # Norms

    def norm(self, x: Tensor) -> Tensor:
        """RMSNorm computed in float32, LayerNorm in one kernel."""
        tape = self.tape
        if self.arch.has_layer_norm or self.settings.kernels == "fused":
            # The kernels that trained all weights kept the normed values as well (measured).
            is_kept_twice = self.settings.kernels == "fused" and not self.settings.trains_adapter
            normed = (tape.new(x.numel, x.itemsize),) if is_kept_twice else ()
            return ops.elementwise(tape, x, keep=(x, *normed))
        source = x.itemsize
        wide = ops.cast(tape, x, FLOAT32)
        tape.scratch(wide.numel * FLOAT32)  # wide ** 2
        # Backwards: the gradient through the mean beside the direct one, x ** 1 and 2 * x.
        scaled = ops.elementwise(tape, wide, keep=(wide,), backward_copies=3)
        del wide
        if self.arch.model_type.startswith("gemma"):  # (1 + weight) in float32, then the cast
            scaled = ops.elementwise(tape, scaled, keep=self._norm_input(scaled))
            return ops.cast(tape, scaled, source)
        scaled = ops.cast(tape, scaled, source)
        return ops.elementwise(tape, scaled, keep=self._norm_input(scaled))

    def _norm_input(self, x: Tensor) -> tuple[Tensor, ...]:
        return () if self.settings.trains_adapter else (x,)

    # Attention

    def _attention(self, x: Tensor) -> Tensor:
        if self.arch.is_fused:
            packed = self.linear(x, "qkv_proj")
            q, k, v = self._split_qkv(packed)
        else:
            q, k, v = (self.linear(x, name) for name in ("q_proj", "k_proj", "v_proj"))
        if self.arch.qk_norm != "none":
            q, k = self.norm(q), self.norm(k)
        q, k = self.attention.rotate(q), self.attention.rotate(k)
        attended = self.attention(q, k, v)
        del q, k, v
        if self.arch.has_partial_rotary:
            # Put together from two parts, q has its heads outermost, and so has the kernel's
            # result: laying them side by side again is a copy.
            attended = ops.elementwise(self.tape, attended)
        return self.linear(attended, "dense" if self.arch.model_type == "phi" else "o_proj")

    def _split_qkv(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Views of one tensor; their gradients are put together in a new one."""
        parts = []
        widths = self.arch.q, self.arch.kv, self.arch.kv
        for width in widths:
            part = Tensor(packed.storage, self.tokens * width, packed.itemsize)
            parts.append(self.tape.recorded(part, (packed,), self._made_whole(packed)))
        return parts[0], parts[1], parts[2]

    def _made_whole(self, packed: Tensor) -> Backward:
        shape = packed.numel, packed.itemsize
        return lambda _: (self.tape.new(*shape),)

    # MLP

    def _mlp(self, x: Tensor) -> Tensor:
        tape = self.tape
        if self.arch.num_experts:
            is_looped = self.settings.has_linear_experts
            mixed = self._looped_experts(x) if is_looped else self._experts(x)
            if "up_proj" not in self.linears:
                return mixed
            return ops.add(tape, mixed, self._shared_expert(x))
        if not self.arch.is_gated:
            return self.linear(self._activate(self.linear(x, "fc1")), "fc2")
        if "gate_up_proj" in self.linears:
            packed = self.linear(x, "gate_up_proj")
            return self.linear(self._gate_packed(packed), "down_proj")
        return self._gated_mlp(x)

    def _gated_mlp(self, x: Tensor) -> Tensor:
        activated = self._activate(self.linear(x, "gate_proj"))
        return self.linear(ops.mul(self.tape, activated, self.linear(x, "up_proj")), "down_proj")

    def _shared_expert(self, x: Tensor) -> Tensor:
        """The expert every token goes through, weighed by a gate of its own."""
        return ops.elementwise(self.tape, self._gated_mlp(x))

    def _experts(self, x: Tensor) -> Tensor:
        """Each token in as many rows as it has experts, in grouped products (`grouped_mm`)."""
        tape, arch, size = self.tape, self.arch, x.itemsize
        rows = self.tokens * arch.experts_per_token
        shape = x.numel, size
        chosen = tape.made(rows * arch.hidden, size, (x,), lambda _: (tape.new(*shape),))
        packed = self._expert_product(chosen, arch.hidden, 2 * arch.intermediate)
        del chosen
        gated = self._gate_packed(packed)
        del packed
        out = self._expert_product(gated, arch.intermediate, arch.hidden)
        del gated
        out = ops.elementwise(tape, out, keep=(out,))  # times the router's weights
        out = ops.elementwise(tape, out)  # back in the order of the tokens
        return tape.made(*shape, (out,), self._spread(out))

    def _looped_experts(self, x: Tensor) -> Tensor:
        """Expert after expert on the rows that chose it, each a module of its own."""
        tape, arch = self.tape, self.arch
        rows = self.tokens * arch.experts_per_token / arch.num_experts
        shape = x.numel, x.itemsize
        mixed = tape.new(*shape)
        for _ in range(arch.num_experts):
            chosen = tape.made(rows * arch.hidden, x.itemsize, (x,), lambda _: (tape.new(*shape),))
            gate = self._expert_module(chosen, arch.hidden, arch.intermediate)
            up = self._expert_module(chosen, arch.hidden, arch.intermediate)
            gated = ops.mul(tape, self._activate(gate), up)
            del chosen, gate, up
            out = self._expert_module(gated, arch.intermediate, arch.hidden)
            del gated
            out = ops.elementwise(tape, out, keep=(out,))  # times the router's weights
            mixed = tape.recorded(
                Tensor(mixed.storage, *shape), (mixed, out), self._added_rows(out)
            )
            del out
        return mixed

    def _added_rows(self, rows: Tensor) -> Backward:
        """`index_add_`: the sum's gradient is passed on, its rows are copied."""
        shape = rows.numel, rows.itemsize
        return lambda grad: (grad, self.tape.new(*shape))

    def _expert_module(self, x: Tensor, inputs: int, outputs: int) -> Tensor:
        """A linear module whose rows are a part of the tokens; adapters on it are left out."""
        tape, s, numel = self.tape, self.settings, x.numel / inputs * outputs
        if s.quantization is None:
            return ops.matmul(tape, x, numel, is_trained=not s.trains_adapter)
        weight = float(inputs) * outputs * s.compute_itemsize
        out = ops.matmul(tape, ops.cast(tape, x, s.compute_itemsize), numel, weight_scratch=weight)
        return ops.cast(tape, out, x.itemsize)

    def _expert_product(self, x: Tensor, inputs: int, outputs: int) -> Tensor:
        """With an adapter on the experts, peft makes `W + delta` of all of them and keeps it."""
        tape, adapter = self.tape, self.settings.adapter
        numel = x.numel / inputs * outputs
        if adapter is None or adapter.targets is not None:
            return ops.matmul(tape, x, numel, is_trained=adapter is None)
        weights = float(inputs) * outputs * self.arch.num_experts
        delta = tape.new(weights, self._adapter_itemsize(adapter))
        adapted = tape.new(weights, x.itemsize)
        del delta
        kept, shape = tape.keep(x, adapted), (x.numel, x.itemsize)

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            grad = tape.new(*shape)
            tape.scratch(weights * shape[1])
            return (grad,)

        return tape.made(numel, x.itemsize, (x,), backward)

    def _adapter_itemsize(self, adapter: Adapter) -> int:
        """Bytes an element of what adapters compute."""
        return self.settings.compute_itemsize if self.settings.autocast else adapter.itemsize

    def _spread(self, x: Tensor) -> Backward:
        """The gradient of a sum is a view; as a tensor of its own it appears in the next step."""
        numel, size = x.numel, x.itemsize
        return lambda grad: (Tensor(grad.storage, numel, size),)

    def _gate_packed(self, packed: Tensor) -> Tensor:
        """`up * act(gate)`, the halves of one tensor."""
        gate, up = self._halves(packed)
        del packed
        return ops.mul(self.tape, up, self._activate(gate))

    def _halves(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """Two views; their gradients wait for each other and are put together in a new tensor."""
        tape, shape, waiting = self.tape, (packed.numel, packed.itemsize), list[Tensor]()

        def backward(grad: Tensor) -> tuple[Tensor | None, ...]:
            waiting.append(grad)
            if len(waiting) < 2:
                return (None,)
            whole = tape.new(*shape)
            waiting.clear()
            return (whole,)

        half = packed.numel / 2
        views = (Tensor(packed.storage, half, packed.itemsize) for _ in range(2))
        first, second = (tape.recorded(view, (packed,), backward) for view in views)
        return first, second

    def _activate(self, x: Tensor) -> Tensor:
        if self.arch.activation != "gelu_new":  # silu, gelu: one kernel
            return ops.elementwise(self.tape, x, keep=(x,))
        # 0.5 * x * (1 + tanh(√(2/π) * (x + 0.044715 * x ** 3))): each product keeps its factors
        parts = tuple(self.tape.new(x.numel, x.itemsize) for _ in range(3))
        return ops.elementwise(self.tape, x, keep=(x, *parts), backward_copies=1)

    # Linear modules

    def linear(self, x: Tensor, name: str) -> Tensor:
        """A linear module with its adapter, as peft and bitsandbytes run it."""
        linear, adapter = self.linears[name], self.settings.adapter
        if adapter is None or (adapter.targets is not None and name not in adapter.targets):
            return self._base(x, linear)
        if adapter.is_fused and self.tape.records:
            return self._fused(x, linear, adapter)
        return self._adapted(x, self._base(x, linear), linear)

    def _base(self, x: Tensor, linear: Linear) -> Tensor:
        tape, s, numel = self.tape, self.settings, self.tokens * linear.outputs
        if s.quantization is not None:
            weight = linear.numel * s.compute_itemsize  # dequantised for each product
            out = ops.matmul(
                tape, ops.cast(tape, x, s.compute_itemsize), numel, weight_scratch=weight
            )
            return ops.cast(tape, out, x.itemsize)
        itemsize = s.compute_itemsize if s.autocast else x.itemsize
        return ops.matmul(tape, ops.cast(tape, x, itemsize), numel, is_trained=not s.trains_adapter)

    def _adapted(self, x: Tensor, result: Tensor, linear: Linear) -> Tensor:
        """`result + lora_B(lora_A(dropout(x))) * scaling`."""
        tape, s, adapter = self.tape, self.settings, self.settings.adapter
        assert adapter is not None
        itemsize = result.itemsize
        # peft's layers for a quantised base leave it to autocast, where there is one
        if not s.autocast or (adapter.casts_input and s.quantization is None):
            x = ops.cast(tape, x, adapter.itemsize)
        dropped = ops.dropout(tape, x) if adapter.dropout else x
        if s.autocast:
            dropped = ops.cast(tape, dropped, s.compute_itemsize)
        narrow = ops.matmul(tape, dropped, self.tokens * adapter.r, is_trained=True)
        del dropped
        change = ops.matmul(tape, narrow, self.tokens * linear.outputs, is_trained=True)
        del narrow
        change = ops.elementwise(tape, change)  # * scaling
        result = ops.add(tape, result, change)
        del change
        return ops.cast(tape, result, itemsize)

    def _fused(self, x: Tensor, linear: Linear, adapter: Adapter) -> Tensor:
        """Base and adapter in one function, which keeps its input and the narrow product."""
        tape, s, source = self.tape, self.settings, x.itemsize
        if s.quantization is not None or s.autocast:
            x = ops.cast(tape, x, s.compute_itemsize)
        is_copied = s.quantization is not None or s.weight_itemsize != x.itemsize
        weight_bytes = linear.numel * x.itemsize * is_copied
        weight = Storage(tape, weight_bytes)
        out = tape.new(self.tokens * linear.outputs, x.itemsize)
        narrow = tape.new(self.tokens * adapter.r, x.itemsize)
        kept, shape = tape.keep(x, narrow), (x.numel, x.itemsize)
        del weight, narrow

        def backward(_: Tensor, kept: tuple[Tensor, ...] = kept) -> tuple[Tensor | None, ...]:
            grad_narrow = tape.new(self.tokens * adapter.r, shape[1])
            weight = Storage(tape, weight_bytes)
            grad = tape.new(*shape)
            del weight, grad_narrow
            return (grad,)

        out = tape.recorded(out, (x,), backward)
        return ops.cast(tape, out, source) if s.quantization is not None else out

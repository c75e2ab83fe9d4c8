"""The steps of `--deep`, run as a script: `python child.py GROUP gpu|cpu`. Nobody imports it.

Modules of the training stack are had by name (`importlib`), because env_check itself stands on the
standard library alone; what is broken may hang or crash, and takes this process alone with it.
Each step prints a line when it begins and one when it ends.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

MARK = "env-check-step "

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here needs a network
os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.pop(0)  # the folder of this script must not shadow anything


class Skipped(Exception):
    """A step that does not apply here."""


def say(**line: Any) -> None:
    print(MARK + json.dumps(line), flush=True)


def run_step(name: str, step: Callable[[], str]) -> None:
    """Run one step; a failed one ends the process, because the next builds on it."""
    say(begin=name)
    started = time.perf_counter()
    try:
        detail, status = step(), "ok"
    except Skipped as reason:
        detail, status = str(reason), "skipped"
    except Exception:
        traceback.print_exc()
        detail, status = "", "fail"
    say(end=name, status=status, detail=detail, seconds=round(time.perf_counter() - started, 2))
    if status == "fail":
        raise SystemExit(1)


class Torch:
    """What works with torch alone."""

    def __init__(self, device: str) -> None:
        self.device = device

    def load(self) -> str:
        self.torch: Any = importlib.import_module("torch")
        cuda = self.torch.version.cuda
        return f"torch {self.torch.__version__}, {f'CUDA {cuda}' if cuda else 'CPU build'}"

    def see_gpu(self) -> str:
        if self.device == "cpu":
            raise Skipped("no NVIDIA GPU on this machine")
        if not self.torch.cuda.is_available():
            self.torch.zeros(1, device="cuda")  # raises with torch's own reason
        name = self.torch.cuda.get_device_name(0)
        return f"{name}; code for {' '.join(self.torch.cuda.get_arch_list())}"

    def multiply(self) -> str:
        torch, done = self.torch, []
        for name in ("float32", "bfloat16"):
            kind = getattr(torch, name)
            left = torch.ones(256, 256, device=self.device, dtype=kind)
            product = (left @ left).float()
            assert bool((product == 256.0).all()), f"a product of ones in {name} is wrong"
            done.append(name)
        return f"right in {' and '.join(done)} on {self.device}"


def four_bit(device: str) -> str:
    """Quantise one layer to 4 bit and compare its answer with the unquantised one."""
    torch: Any = importlib.import_module("torch")
    bnb: Any = importlib.import_module("bitsandbytes")
    torch.manual_seed(0)
    kind = torch.float16 if device == "cuda" else torch.float32
    plain = torch.nn.Linear(256, 256, bias=False)
    layer = bnb.nn.Linear4bit(256, 256, bias=False, compute_dtype=kind, quant_type="nf4")
    layer.weight = bnb.nn.Params4bit(
        plain.weight.data.clone(), requires_grad=False, quant_type="nf4"
    )
    layer = layer.to(device)
    given = torch.randn(4, 256)
    wanted, answer = plain(given), layer(given.to(device, kind)).float().cpu()
    error = float((answer - wanted).norm() / wanted.norm())
    assert error < 0.2, f"4-bit answers are {error:.0%} off"
    return f"bitsandbytes {bnb.__version__}, error {error:.1%} on {device}"


def triton(device: str) -> str:
    """Let torch compile a function: Triton, its compiler and the C compiler in one."""
    if device == "cpu":
        raise Skipped("Triton kernels need a GPU")
    torch: Any = importlib.import_module("torch")
    compiled = torch.compile(lambda x: x * 2 + 1)
    answer = compiled(torch.ones(1024, device=device))
    assert bool((answer == 3).all()), "a compiled kernel computes wrongly"
    return "a compiled kernel is right"


class Proof:
    """4-bit load, inference, adapter and one training step on a tiny random model."""

    def __init__(self, device: str, folder: str) -> None:
        self.device, self.folder = device, folder

    def load(self) -> str:
        self.torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        config = transformers.LlamaConfig(
            vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        )  # fmt: skip
        self.torch.manual_seed(0)
        transformers.LlamaForCausalLM(config).save_pretrained(self.folder)
        on_gpu = self.device == "cuda"
        native = on_gpu and self.torch.cuda.is_bf16_supported(including_emulation=False)
        kind = self.torch.bfloat16 if native else self.torch.float16 if on_gpu else None
        kind = kind or self.torch.float32
        quantization = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=kind,
        )  # fmt: skip
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            self.folder, quantization_config=quantization, device_map={"": self.device}, dtype=kind
        )
        return f"transformers {transformers.__version__}, 4 bit, {kind} on {self.device}"

    def infer(self) -> str:
        self.ids = self.torch.arange(2, 34, device=self.device).unsqueeze(0)
        with self.torch.no_grad():
            logits = self.model(self.ids).logits
        assert bool(self.torch.isfinite(logits).all()), "the answers are not finite"
        return f"{logits.shape[1]} positions, finite"

    def adapt(self) -> str:
        peft: Any = importlib.import_module("peft")
        self.model = peft.prepare_model_for_kbit_training(self.model)
        config = peft.LoraConfig(
            r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        self.model = peft.get_peft_model(self.model, config)
        count = sum(each.numel() for each in self.trained())
        return f"peft {peft.__version__}, {count} trained parameters"

    def trained(self) -> list[Any]:
        return [each for each in self.model.parameters() if each.requires_grad]

    def train(self) -> str:
        optimizer = self.torch.optim.AdamW(self.trained(), lr=1e-2)
        losses = []
        for _ in range(3):
            loss = self.model(self.ids, labels=self.ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss))
        assert losses[-1] < losses[0], f"the loss does not fall: {losses}"
        return f"loss {losses[0]:.3f} → {losses[-1]:.3f} in three steps"


def main() -> None:
    group, device = sys.argv[1], "cuda" if sys.argv[2] == "gpu" else "cpu"
    if group == "torch":
        steps = Torch(device)
        run_step("import-torch", steps.load)
        run_step("see-gpu", steps.see_gpu)
        run_step("matmul", steps.multiply)
    elif group == "four-bit":
        run_step("four-bit-layer", lambda: four_bit(device))
    elif group == "triton":
        run_step("triton", lambda: triton(device))
    else:
        with tempfile.TemporaryDirectory() as folder:
            proof = Proof(device, folder)
            run_step("load-4bit", proof.load)
            run_step("inference", proof.infer)
            run_step("adapter", proof.adapt)
            run_step("training-step", proof.train)


if __name__ == "__main__":
    main()

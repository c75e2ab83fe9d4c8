"""What went wrong in the training stack, as a fault with a fix where the cause is known."""

from __future__ import annotations

import errno

from runner.errors import TrainboxError, TrainingError
from runner.plan import Plan

MESSAGE_CHARS = 200
NO_MEMORY = "can't allocate memory"  # PyTorch's allocator on the CPU, a RuntimeError


def explain(error: Exception, plan: Plan) -> TrainboxError:
    """Return the fault behind an exception that nobody expected; its traceback is in the log."""
    message = str(error)
    # by name: this module must work where torch cannot be imported
    if type(error).__name__ in ("OutOfMemoryError", "MemoryError") or NO_MEMORY in message:
        return _out_of_memory(plan)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TrainingError(
            id="train-disk-full",
            what=f"no space is left on the disk of the run: {_first_line(message)}",
            why="neither journal nor checkpoints can be written; what is sealed is whole",
            fix="free some space and start the same command: the run goes on",
        )
    # what is seen first is the worker's exit, or the end of the pipe a batch came through
    is_pipe = isinstance(error, ConnectionError | EOFError) and plan.training.num_workers > 0
    if "DataLoader worker" in message or is_pipe:
        return TrainingError(
            id="train-worker-died",
            what=f"a data worker died: {_first_line(message) or type(error).__name__}",
            why="a process that prepares batches was killed, most often for want of memory",
            fix="raise `resources.memory_gib` or `resources.shm_gib` of the container, or lower "
            "`resources.num_workers`; the same command goes on from the newest checkpoint",
        )
    if isinstance(error, ImportError):
        return TrainingError(
            id="train-broken-stack",
            what=f"{type(error).__name__}: {_first_line(message)}",
            why="the training libraries cannot be imported, or do not fit together",
            fix="run `trainbox check`: it names the layer and the command that mends it",
        )
    if "does not have a deterministic implementation" in message:
        return TrainingError(
            id="train-not-deterministic",
            what=_first_line(message),
            why="`train.deterministic` promises equal bits, and this operation cannot keep it",
            fix="set `train.deterministic: false`",
        )
    return TrainingError(
        id="train-crashed",
        what=f"{type(error).__name__}: {_first_line(message)}",
        why="nobody expected this; the traceback is in the log",
        fix="read the end of log.txt; the same command goes on from the newest checkpoint",
    )


def _out_of_memory(plan: Plan) -> TrainingError:
    training = plan.training
    tokens = training.micro_batch_size * plan.train_data.longest
    if plan.job["stage"] == "dpo":
        tokens *= 2  # chosen and rejected go through together
    numbers = f"micro-batch {training.micro_batch_size} x {plan.train_data.longest} tokens"
    if training.device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
        peak = torch.cuda.max_memory_allocated()
        numbers += f"; peak {_gib(peak)} of {_gib(total)} GiB, {_gib(free)} GiB free"
    if training.micro_batch_size > 1:
        fix = "halve `train.per_device_train_batch_size`; `effective_batch_size` keeps the result"
    elif training.gradient_checkpointing != "full":
        fix = "set `train.gradient_checkpointing: full`"
    else:
        fix = "lower `data.max_length`, or take a larger card"
    return TrainingError(
        id="train-out-of-memory",
        what=f"out of memory on the {training.device} with up to {tokens} tokens at once",
        where=numbers,
        why="the step needs more memory than is free",
        fix=fix,
    )


def _first_line(message: str) -> str:
    return message.strip().split("\n", 1)[0][:MESSAGE_CHARS]


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f}"

"""Ways a file of a checkpoint comes to harm; where in the file is drawn from a seeded generator."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path


def truncate(file: Path, dice: random.Random) -> None:
    os.truncate(file, dice.randrange(file.stat().st_size))


def empty(file: Path, dice: random.Random) -> None:
    os.truncate(file, 0)


def delete(file: Path, dice: random.Random) -> None:
    file.unlink()


def flip_bit(file: Path, dice: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    file.write_bytes(data)


def zero_block(file: Path, dice: random.Random) -> None:
    """What a power cut leaves of a file whose size was written and whose bytes were not."""
    data = bytearray(file.read_bytes())
    start = dice.randrange(len(data))
    filled = next((at for at in range(start, len(data)) if data[at]), None)
    start = start if filled is not None else 0  # zeros behind `start` would change nothing
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    file.write_bytes(data)


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "truncate": truncate,
    "empty": empty,
    "delete": delete,
    "flip_bit": flip_bit,
    "zero_block": zero_block,
}


def files_of(checkpoint: Path) -> list[Path]:
    """Return every file of a checkpoint that holds something, its manifest too."""
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size)

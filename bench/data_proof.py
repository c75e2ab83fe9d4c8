"""Speed and memory of the data proof on drawn chats, and the second start from the cache.

Before tokenising: reading, strict JSON, conversion, oddities, identifiers, sketches for duplicates,
rendering by the chat template and the loss mask, in rows per cpu second of one core. Then the whole
proof of a file of a given size in a process of its own, with its peak memory, and the same again.

Usage: python bench/data_proof.py --model FOLDER [--rows 50000] [--gib 2] [--turns 1] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.data.batch import Batcher
from runner.data.encode import Encoded, Encoder
from runner.data.faults import RowFault
from runner.data.formats import Converter
from runner.data.mask import Marker
from runner.data.row import ReadCounts
from runner.data.rows import read_rows
from runner.data.sample import Sample
from runner.data.take import batches
from runner.data.tokenizer import load_tokenizer
from runner.spec import Data, DataSource

ROUNDS = 5

PROVE = """
import json, resource, sys, time
from pathlib import Path
from runner.data.prepare import prepare
from runner.data.tokenizer import load_tokenizer
from runner.errors import Where
from runner.spec import Job
data, model, cache = sys.argv[1:]
job = Job.model_validate({
    "version": 1, "name": "bench", "model": {"name_or_path": model},
    "data": {"train": [{"path": data}], "max_length": 4096, "on_too_long": "drop"},
})
started = time.perf_counter()
tokenizer = load_tokenizer(Path(model))
found = prepare(job, tokenizer, where=lambda key: Where(file="job"), cache=Path(cache))
seconds = time.perf_counter() - started
own, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({
    "from_cache": found.report.from_cache, "seconds": seconds,
    "cpu_seconds": own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime,
    "peak_bytes": own.ru_maxrss * 1024, "peak_bytes_of_a_worker": workers.ru_maxrss * 1024,
    "samples": found.train.num_samples, "tokens": found.train.num_tokens,
}))
"""


class WithoutTokens(Encoder):
    """Renders and marks as the real one, and stops there."""

    def encode(self, samples: Sequence[Sample]) -> list[Encoded | RowFault]:
        for sample in samples:
            self._mark(sample)
        return [STOP] * len(samples)


STOP = RowFault("data-too-long")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder with tokenizer.json")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--gib", type=float, default=0.0, help="size of the file for the memory")
    parser.add_argument("--turns", type=int, default=1, help="questions of a chat in that file")
    parser.add_argument("--letters", type=int, default=9, help="of the longest word in that file")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        short = folder / "short.jsonl"
        num_bytes = write_chats(short, num_rows=args.rows)
        result: dict[str, Any] = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": {"cpus": os.cpu_count(), "processor": platform.machine()},
            "bytes_per_row": round(num_bytes / args.rows, 1),
            "before_tokenising": before_tokenising(short, args.model, args.rows),
        }
        print(json.dumps(result["before_tokenising"]), flush=True)
        if args.gib:
            large = folder / "large.jsonl"
            result["file_bytes"] = write_chats(
                large,
                num_bytes=int(args.gib * 2**30),
                num_turns=args.turns,
                num_letters=args.letters,
            )
            starts = [prove(large, args.model, folder / "cache") for _ in range(2)]
            result |= {"first": starts[0], "second": starts[1]}
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def write_chats(
    path: Path,
    *,
    num_rows: int = 0,
    num_bytes: int = 0,
    num_turns: int = 1,
    num_letters: int = 9,
) -> int:
    """Write chats of questions and answers of 10 to 40 words; return the bytes written."""
    draw = random.Random(1)
    letters = "etaoinshrdlucm"
    words = ["".join(draw.choices(letters, k=draw.randint(2, num_letters))) for _ in range(5000)]
    written = count = 0
    with path.open("w", encoding="utf-8") as file:
        while count < num_rows or written < num_bytes:
            turns = []
            for _ in range(num_turns):
                question = " ".join(draw.choices(words, k=draw.randint(5, 15))) + "?"
                answer = " ".join(draw.choices(words, k=draw.randint(10, 40))) + "."
                turns.append({"role": "user", "content": question})
                turns.append({"role": "assistant", "content": answer})
            written += file.write(json.dumps({"messages": turns}) + "\n")
            count += 1
    return written


def before_tokenising(path: Path, model: Path, num_rows: int) -> dict[str, float]:
    """Return rows per cpu second of all that is done before the tokenizer, over some rounds."""
    tokenizer = load_tokenizer(model)
    template = tokenizer.chat_template()
    data = Data.model_validate({"train": [{"path": str(path)}], "max_length": 4096})
    rates = []
    for _ in range(ROUNDS):
        marker = Marker(template, tokenizer.added_tokens, tokenizer.eos_token, "assistant")
        converter = Converter("messages", None, has_template=True)
        batcher = Batcher(converter, WithoutTokens(tokenizer, marker), data)
        started = time.process_time()
        rows = read_rows(DataSource(path=str(path)), ReadCounts())
        counted = sum(batcher(batch).num_rows for batch in batches(rows))
        assert counted == num_rows
        rates.append(num_rows / (time.process_time() - started))
    return {
        "rows_per_cpu_second_median": round(statistics.median(rates)),
        "rows_per_cpu_second_best": round(max(rates)),
    }


def prove(path: Path, model: Path, cache: Path) -> dict[str, Any]:
    """Run the whole proof in a process of its own; return its time and peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", PROVE, str(path), str(model.resolve()), str(cache)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    sys.exit(main())

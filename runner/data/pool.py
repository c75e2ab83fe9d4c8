"""Batches of a large file on all cores, in order; small files stay in this process.

A worker is a process of its own with tokenizer and template, and hands back arrays and counts
(`runner.data.batch`). It pays from some ten thousand rows on: a worker takes a second to start.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from runner.data.batch import Batch, Batcher
from runner.data.encode import Encoder
from runner.data.formats import Converter
from runner.data.mask import Marker
from runner.data.row import Row
from runner.data.template import ChatTemplate
from runner.data.tokenizer import Tokenizer, load_tokenizer
from runner.errors import DataError
from runner.spec import Data, DataSource

SERIAL_BATCHES = 24  # done here first: a file that ends within them needs no workers
AHEAD = 2  # batches in work for each worker: what bounds memory


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a process needs to turn rows of one source into samples; can be sent to it."""

    source: DataSource
    data: Data
    tokenizer_folder: Path
    template: ChatTemplate | None
    own_template: ChatTemplate | None  # of the model, where the job has another one

    def batcher(self, tokenizer: Tokenizer) -> Batcher:
        """Return what turns batches of rows into arrays."""
        has_template = self.template is not None
        converter = Converter(self.source.format, self.source.columns, has_template=has_template)
        tokens = tokenizer.added_tokens
        marker = Marker(self.template, tokens, tokenizer.eos_token, self.data.loss_on)
        return Batcher(converter, Encoder(tokenizer, marker), self.data, self.own_template)


def make_batches(
    recipe: Recipe, tokenizer: Tokenizer, batches: Iterator[list[Row]], num_workers: int
) -> Iterator[Batch]:
    """Yield what batches of rows become, in order.

    Args:
        num_workers: processes beside this one for a large file; below 2 there are none.
    """
    here = map(recipe.batcher(tokenizer), batches)
    if num_workers < 2:
        yield from here
        return
    yield from itertools.islice(here, SERIAL_BATCHES)
    first = next(batches, None)
    if first is not None:
        yield from _in_workers(recipe, itertools.chain([first], batches), num_workers)


def _in_workers(recipe: Recipe, batches: Iterator[list[Row]], num_workers: int) -> Iterator[Batch]:
    # not forked: the tokenizers library has threads by now, which a fork would lose
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, context, initializer=_start, initargs=(recipe,))
    pending: deque[Future[Batch]] = deque()
    try:
        for batch in batches:
            pending.append(pool.submit(_work, batch))
            if len(pending) > AHEAD * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            id="data-worker-died",
            what="a process that prepares data was killed",
            where=recipe.source.path,
            why="most often the machine, or a limit set for this user, is out of memory",
            fix="free some memory, or start on fewer cores: taskset -c 0-3 trainbox …",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_batcher: Callable[[Sequence[Row]], Batch]  # of this worker


def _start(recipe: Recipe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told, and ends its workers
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there are as many workers as cores
    global _batcher
    _batcher = recipe.batcher(load_tokenizer(recipe.tokenizer_folder))


def _work(rows: list[Row]) -> Batch:
    return _batcher(rows)

"""`trainbox data JOB`: the data proof alone, with samples whose loss mask is visible.

Text of samples goes to the terminal only: `--json` has counts alone, and so has a pipe unless
`--samples` asks for text.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runner.commands.arguments import add_job_arguments
from runner.commands.say import say
from runner.data.notes import rows
from runner.errors import EXIT_DONE

if TYPE_CHECKING:
    from runner.data.prepare import PreparedData
    from runner.data.report import DataReport, SourceReport
    from runner.data.tokenizer import Tokenizer
    from runner.plan import PreparedSplit

DEFAULT_SAMPLES = 3

EXAMPLES = """\
examples:
  trainbox data jobs/demo.yaml                what every row became, and three samples
  trainbox data jobs/demo.yaml --samples 10   green (or between ⟦ ⟧) is what carries loss
  trainbox data jobs/demo.yaml --json         counts alone, no text
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help=f"samples to show (default: {DEFAULT_SAMPLES} on a terminal, 0 in a pipe)",
    )


def run(args: argparse.Namespace) -> int:
    from runner.data.prepare import prepare  # and what it needs: not for --help
    from runner.data.tokenizer import load_tokenizer
    from runner.load import load_job
    from runner.record.layout import cache_root
    from runner.record.root import check_cache
    from runner.resolve import describe_model

    check_cache(cache_root())
    loaded = load_job(Path(args.job), args.overrides)
    model = describe_model(loaded, offline=args.offline, say=say)
    tokenizer = load_tokenizer(model.folder)
    data = prepare(
        loaded.job,
        tokenizer,
        where=loaded.where,
        cache=cache_root(),
        offline=args.offline,
        say=say,
    )
    if args.json:
        print(json.dumps(data.report.to_dict(), indent=1))
        return EXIT_DONE
    print(render_report(data))
    is_terminal = sys.stdout.isatty()
    count = args.samples if args.samples is not None else DEFAULT_SAMPLES * is_terminal
    if count > 0:
        print(render_samples(data, tokenizer, count, colour=is_terminal and wants_colour()))
    return EXIT_DONE


def wants_colour() -> bool:
    """Say whether the environment allows colour (NO_COLOR, TERM)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def render_report(data: PreparedData) -> str:
    """Return the proof as text: sources, splits, what to look at."""
    report = data.report
    lines = [_source_line(source) for source in report.sources]
    lines += ["", _split_line("training", data.train)]
    if data.eval is not None:
        lines.append(_split_line("held out", data.eval))
    lines += [_template_line(report), f"{'stop':9} last token with loss: {_stops(report)}"]
    bounds = report.train.length_histogram.items()
    lengths = "  ".join(f"≤{top}: {count:,}" for top, count in bounds)
    lines.append(f"{'lengths':9} {lengths}")
    if report.train.packed_rows:
        lines.append(_packing_line(report))
    done = "from the cache" if report.from_cache else f"{report.rows_per_second:,.0f} rows/s"
    lines.append(f"{'prepared':9} {done}")
    lines += ["", *(f"warning: {sentence}" for sentence in report.warnings())]
    return "\n".join(lines).rstrip()


def _source_line(source: SourceReport) -> str:
    parts = [f"{source.rows_read:,} rows read", f"{source.rows_used:,} used"]
    parts += [f"{source.malformed:,} malformed", f"{source.too_long:,} too long"]
    parts += [f"{count:,} dropped ({reason})" for reason, count in source.dropped.items()]
    parts += [f"{source.truncated:,} cut"] * bool(source.truncated)
    parts += [f"weight {source.weight:g}"] * (source.weight != 1)
    parts.append(_tokens(source.num_tokens, source.num_supervised_tokens))
    return f"{source.split:9} {source.path} ({source.format}): {' · '.join(parts)}"


def _split_line(name: str, split: PreparedSplit) -> str:
    tokens = _tokens(split.num_tokens, split.num_supervised_tokens)
    return f"{name:9} {split.num_samples:,} samples · {tokens} · longest {split.longest:,}"


def _tokens(num_tokens: int, num_supervised: int) -> str:
    share = 100 * num_supervised / max(1, num_tokens)
    return f"{num_tokens:,} tokens · {num_supervised:,} with loss ({share:.1f} %)"


def _template_line(report: DataReport) -> str:
    roles = sorted({role for source in report.sources for role in source.roles})
    checks = [f"renders {', '.join(roles)}"] * bool(roles)
    for kind, what in _TEMPLATE_CHECKS.items():
        missed = sum(source.notes[kind].count for source in report.sources if kind in source.notes)
        checks.append(f"{what}: {f'not in {rows(missed)}' if missed else 'yes'}")
    if report.template.compared:
        other = report.template.served_differently
        checks.append(f"as the model's own: {f'not in {rows(other)}' if other else 'yes'}")
    return " · ".join([f"{'template':9} {report.template.origin}", *checks * bool(roles)])


# kind of note → what holds where there is none
_TEMPLATE_CHECKS = {
    "off_prompt": "answers follow its generation prompt",
    "altered_turns": "every turn word for word",
}


def _stops(report: DataReport) -> str:
    return ", ".join(f"{token} {count:,}" for token, count in report.stop_tokens.items())


def _packing_line(report: DataReport) -> str:
    split, top = report.train, report.max_length
    share = split.packed_share(top)
    return (
        f"{'packing':9} {split.num_samples:,} samples would fill {rows(split.packed_rows or 0)} of "
        f"{top:,} tokens to {100 * (share or 0):.1f} %"
    )


def render_samples(data: PreparedData, tokenizer: Tokenizer, count: int, *, colour: bool) -> str:
    """Return some training samples with their loss mask."""
    from runner.data.show import render_pieces, sample_pieces

    legend = "green" if colour else "between ⟦ and ⟧"
    text = ["", f"what carries loss is {legend}"]
    for title, pieces in sample_pieces(data.train, tokenizer, count):
        text += ["", f"── {title}", render_pieces(pieces, colour=colour)]
    return "\n".join(text)

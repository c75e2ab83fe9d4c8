"""`trainbox image repro` and `trainbox image compare`: is an image the same when built again?"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from runner.commands.say import say
from runner.container.image import VARIANTS, choose_variant
from runner.container.repro_compare import Difference
from runner.errors import EXIT_DONE, EXIT_FAILED, BackendError

SHOWN = 40  # differences on the terminal; --json prints all


def add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both to the actions of `trainbox image`."""
    repro = actions.add_parser("repro", help="build twice without a cache, compare layer by layer")
    repro.add_argument("variant", nargs="?", choices=list(VARIANTS), default="cpu")
    repro.add_argument(
        "--real-base",
        action="store_true",
        help="start from the published base, whatever TRAINBOX_BASE_IMAGE says",
    )
    repro.add_argument("--json", action="store_true", help="print JSON on stdout")
    repro.set_defaults(act=_repro)

    compare = actions.add_parser("compare", help="name every file in which two images differ")
    compare.add_argument(
        "images", nargs=2, type=Path, metavar="IMAGE", help="of `docker save`, or an OCI folder"
    )
    compare.add_argument("--json", action="store_true", help="print JSON on stdout")
    compare.set_defaults(act=_compare)


def _repro(args: argparse.Namespace) -> int:
    """Build twice; return 0 where the two are the same bytes."""
    from runner.container.repro import build_twice

    environ: dict[str, str] | None = {} if args.real_base else None  # None: this process's
    proof = build_twice(choose_variant(args.variant, environ), say=say)
    if args.json:
        print(json.dumps({"schema_version": 1, "holds": proof.holds, **asdict(proof)}, indent=1))
    else:
        print(f"variant      {args.variant}")
        print(f"base         {proof.base}")
        print(f"built with   {proof.tool} (another tool gives other digests)")
        print(f"digests      {proof.digests[0]}\n             {proof.digests[1]}")
        print(render(proof.differences))
    return EXIT_DONE if proof.holds else EXIT_FAILED


def _compare(args: argparse.Namespace) -> int:
    """Compare two images on disk; return 0 where nothing differs."""
    from runner.container.repro_compare import compare_images

    try:
        differences = compare_images(*args.images)
    except ValueError as error:
        raise BackendError(
            id="compare-no-image",
            what=str(error),
            why="layers are compared file by file",
            fix="docker save --output one.tar IMAGE, or buildah push IMAGE oci:FOLDER",
        ) from error
    if args.json:
        found = [asdict(each) for each in differences]
        print(json.dumps({"schema_version": 1, "differences": found}, indent=1))
    else:
        print(render(differences))
    return EXIT_FAILED if differences else EXIT_DONE


def render(differences: Sequence[Difference]) -> str:
    """Return a line for each difference, the first ones where they are many, and the sums."""
    lines = [line_of(each) for each in differences[:SHOWN]]
    if len(differences) > SHOWN:
        lines.append(f"… and {len(differences) - SHOWN} more (all of them: --json)")
    return "\n".join([*lines, summary_of(differences)])


def line_of(difference: Difference) -> str:
    """Return one difference as a line."""
    place = f"layer {difference.layer}" if difference.layer else "configuration"
    return f"{place:<13} {difference.path or '(the layer)'}: {difference.what}"


def summary_of(differences: Iterable[Difference]) -> str:
    """Return how many differ, by what differs."""
    kinds = Counter(each.what for each in differences)
    if not kinds:
        return "differing    0: the two are the same bytes"
    sums = "; ".join(f"{number} by {what}" for what, number in kinds.most_common())
    return f"differing    {kinds.total()}: {sums}"

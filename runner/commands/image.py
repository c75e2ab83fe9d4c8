"""`trainbox image`: build, publish, verify and choose the images that runs train in."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from runner.commands.image_repro import add_actions
from runner.commands.say import say
from runner.container.image import VARIANTS, choose_variant
from runner.errors import EXIT_DONE

EXAMPLES = """\
examples:
  trainbox image build cpu
  trainbox image choose                                     which variant fits this machine
  trainbox image push registry.example/team/trainbox cu128
  trainbox image verify registry.example/team/trainbox:0.1.0-cu128-43acc5e0d1b2
  TRAINBOX_BASE_IMAGE=mirror.example/ubuntu:24.04 trainbox image build cpu

The base can be any Debian or Ubuntu with the Python that TRAINBOX_BASE_PYTHON names (3.12).
TRAINBOX_CA_BUNDLE names certificates for a proxy; wheels in wheelhouse/ come before the index.
"""
# The one that runs on most machines: every driver from 525 on, V100 to Blackwell.
PUBLISHED = "cu128"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    build = actions.add_parser("build", help="build a variant's image where it is not here yet")
    build.add_argument("variant", nargs="?", choices=list(VARIANTS), default="cpu")
    build.add_argument("--again", action="store_true", help="build although the image is there")
    build.add_argument(
        "--offline", action="store_true", help="no network: wheels from wheelhouse/ alone"
    )
    build.set_defaults(act=_build)

    push = actions.add_parser("push", help="publish images under tags that never move")
    push.add_argument("repository", metavar="REGISTRY/NAME")
    push.add_argument(
        "variants", nargs="*", metavar="VARIANT", type=_variant, default=[PUBLISHED],
        help=f"{', '.join(VARIANTS)} (default: {PUBLISHED})",
    )  # fmt: skip
    push.add_argument(
        "--allow-dirty", action="store_true", help="push what is not committed, and say so"
    )
    push.add_argument(
        "--read-all", action="store_true", help="read back layers that were there, too"
    )
    push.add_argument("--json", action="store_true", help="print JSON on stdout")
    push.set_defaults(act=_push)

    verify = actions.add_parser("verify", help="prove that an image is what its labels say")
    verify.add_argument("reference", metavar="IMAGE", help="name, digest or id")
    verify.add_argument("--json", action="store_true", help="print JSON on stdout")
    verify.set_defaults(act=_verify)

    choose = actions.add_parser("choose", help="say which variant fits this machine, and why")
    choose.add_argument(
        "passed_on", metavar="…", nargs=argparse.REMAINDER,
        help="passed on; see `env-check choose --help`",
    )  # fmt: skip
    choose.set_defaults(act=_choose)

    add_actions(actions)


def _variant(name: str) -> str:
    if name not in VARIANTS:  # argparse's own `choices` would refuse the default
        raise argparse.ArgumentTypeError(f"`{name}` is none of {', '.join(VARIANTS)}")
    return name


def run(args: argparse.Namespace) -> int:
    code: int = args.act(args)
    return code


def _build(args: argparse.Namespace) -> int:
    """Build the image where it is not there yet; print its tag on stdout."""
    from runner.container.build import build_image, ensure_image

    variant = choose_variant(args.variant)
    print((build_image if args.again else ensure_image)(variant, say=say, offline=args.offline))
    return EXIT_DONE


def _push(args: argparse.Namespace) -> int:
    """Push the variants one after the other; print each reference with its digest on stdout."""
    from runner.container.push import push_image

    pushed = []
    for name in args.variants:
        one = push_image(
            choose_variant(name),
            args.repository,
            say=say,
            allow_dirty=args.allow_dirty,
            read_all=args.read_all,
        )
        pushed.append(one)
        say(
            f"  sent {one.sent_bytes / 1e6:.1f} MB; all {one.num_layers} layers are there, "
            f"{one.num_read_back} read back: the registry holds the image {one.image_id[:19]}"
        )
        if not args.json:
            print(f"{one.reference}\n{one.pinned}", flush=True)
    if args.json:
        images = [{**asdict(one), "pinned": one.pinned} for one in pushed]
        print(json.dumps({"schema_version": 1, "images": images}, indent=1))
    return EXIT_DONE


def _verify(args: argparse.Namespace) -> int:
    """Look into an image; print what was proved on stdout."""
    from runner.container.verify import verify_image

    verified = verify_image(args.reference, say=say)
    if args.json:
        print(json.dumps({"schema_version": 1, **asdict(verified)}, indent=1))
    else:
        print(verified.render())
    return EXIT_DONE


def _choose(args: argparse.Namespace) -> int:
    from env_check.cli import main

    return main(["choose", *args.passed_on])

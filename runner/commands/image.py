"""`trainbox image build [VARIANT]`: the image that runs train in."""

from __future__ import annotations

import argparse

from runner.commands.say import say
from runner.container.build import build_image, ensure_image
from runner.container.image import VARIANTS, choose_variant
from runner.errors import EXIT_DONE

EXAMPLES = """\
examples:
  trainbox image build cpu
  TRAINBOX_BASE_IMAGE=mirror.example/ubuntu:24.04 trainbox image build cpu

The base can be any Debian or Ubuntu with the Python that TRAINBOX_BASE_PYTHON names (3.12).
TRAINBOX_CA_BUNDLE names certificates for a proxy; wheels in wheelhouse/ come before the index.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["build"])
    parser.add_argument("variant", nargs="?", choices=list(VARIANTS), default="cpu")
    parser.add_argument("--again", action="store_true", help="build although the image is there")


def run(args: argparse.Namespace) -> int:
    """Build the image where it is not there yet; print its tag on stdout."""
    variant = choose_variant(args.variant)
    tag = (build_image if args.again else ensure_image)(variant, say=say)
    print(tag)
    return EXIT_DONE

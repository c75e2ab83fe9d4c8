"""Facts for a command: of this machine or of a file, with what was asked for added."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import replace
from typing import Any, Optional

from env_check.collect import collect
from env_check.facts import Facts, FactsError, Requirements, versioned
from env_check.inference import has_gpu, needs_hub, with_image
from env_check.refused import Refused
from env_check.system import LocalSystem

IMAGE = re.compile(r"[A-Za-z0-9][\w.:/@+-]*")  # as far as a shell's slip is told from a name
HAND_OVER = "trainbox check --job JOB --print-requirements > FILE"


def add_gathering_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--deep", action="store_true", help="try the stack in child processes")
    parser.add_argument("--network", action="store_true", help="ask hub and tracking server too")
    parser.add_argument(
        "--image", metavar="REF", help="look into this image and compare it with this machine"
    )
    parser.add_argument("--facts", metavar="FILE", help="judge collected facts, not this machine")
    parser.add_argument(
        "--requirements", metavar="FILE", help="compare with what a job wants (docs/env-check.md)"
    )


def gather(args: argparse.Namespace) -> Facts:
    """Return the facts to judge: of a file or of this machine, with what was asked for added.

    Raises:
        Refused: a file or a name that is not what it should be, or --deep for another machine.
    """
    if args.image is not None and not IMAGE.fullmatch(args.image):
        what = f"`{args.image}` is not the name of an image"
        raise Refused("cli-arguments", what, fix="write --image NAME, as `docker run` takes it")
    wants = _from_file(args.requirements, Requirements, "requirements-unreadable", HAND_OVER)
    if args.facts:
        if args.deep or args.network or args.image:
            raise Refused(
                "cli-arguments",
                "--deep, --network and --image try this machine, --facts is of another",
                fix="leave out --facts, or these",
            )
        facts = _from_file(args.facts, Facts, "facts-unreadable", "env-check collect > facts.json")
        judged: Facts = replace(facts, requirements=wants or facts.requirements)
        return judged
    system = LocalSystem()
    if wants and wants.gpu:
        from env_check.probes.gpu import card_asked_for

        wants = replace(wants, gpu=card_asked_for(system, wants.gpu))
    facts = replace(collect(system), requirements=wants)
    if args.network or (wants and is_asking(wants)):
        from env_check.probes.network import ask

        facts = replace(facts, network=ask(system, facts.network, wants, is_asked=args.network))
    if args.image:
        return _with_image(system, facts, args)
    if args.deep:
        from env_check.deep.run import try_stack

        facts = replace(facts, deep=try_stack(system, facts, _progress))
    return facts


def _with_image(system: LocalSystem, facts: Facts, args: argparse.Namespace) -> Facts:
    from env_check.probes.image import probe

    if args.deep:
        _progress(f"trying the stack inside {args.image} (minutes) …")
    machine, wants_gpu = facts.host.machine, has_gpu(facts)
    image, deep = probe(system, args.image, machine=machine, wants_gpu=wants_gpu, deep=args.deep)
    return with_image(facts, image, deep)


def is_asking(wants: Requirements) -> bool:
    """Tell whether a job wants something of a network, so that it is asked without --network."""
    return needs_hub(wants) or wants.tracking_uri not in ("", "none")


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _from_file(path: Optional[str], kind: Any, error_id: str, made_by: str) -> Any:
    """Return the dataclass in a JSON file, None for no file."""
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return versioned(json.load(file), kind)
    except (OSError, ValueError, FactsError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise Refused(error_id, f"{path}: {said}", fix=f"make it with `{made_by}`") from error

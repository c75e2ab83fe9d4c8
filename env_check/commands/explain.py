"""`env-check explain`: causes shown by a pasted report or log."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from env_check import explain

    explain.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from env_check import explain

    code: int = explain.run(args)
    return code

"""Lock files: reading and writing."""

from __future__ import annotations

from bootstrap.lockfile import inputs_of, parse_lock, render_lock

A, B = "a" * 64, "b" * 64
LOCK = f"""\
# Written by `make lock` from x.in; do not edit.
# inputs: sha256:{A}
numpy==2.2.6 ; python_version < '3.11' \\
    --hash=sha256:{A}
    # via -r locks/x.in
torch===2.13.0+cpu \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via accelerate, peft
"""
FROM_UV = f"""\
#    uv pip compile x.in
anyio==4.16.0 ; sys_platform == 'linux' \\
    --hash=sha256:{B} \\
    --hash=sha256:{A}
    # via
    #   -c constraints.txt
    #   fastapi
    #   starlette
"""


def test_what_is_written_reads_the_same() -> None:
    """A lock survives reading and writing byte for byte."""
    assert render_lock(parse_lock(LOCK), source="x.in", inputs=A) == LOCK


def test_version_marker_hashes_and_origin_are_read() -> None:
    """Every part of a pin is found in what uv writes; constraints are no origin."""
    (pin,) = parse_lock(FROM_UV)
    assert (pin.name, pin.version, pin.marker) == ("anyio", "4.16.0", "sys_platform == 'linux'")
    assert pin.hashes == (A, B)
    assert pin.via == ("fastapi", "starlette")


def test_comment_behind_a_requirement_is_not_part_of_it() -> None:
    """An input may explain its pins on their own line."""
    (pin,) = parse_lock('numpy==2.2.6 ; python_version < "3.11"  # the last one for 3.10\n')
    assert pin.marker == 'python_version < "3.11"'


def test_direct_pin_is_one_that_an_input_names() -> None:
    """What a package asked for is not direct."""
    numpy, torch = parse_lock(LOCK)
    assert numpy.is_direct and not torch.is_direct


def test_digest_of_the_inputs_is_found() -> None:
    """A lock says from which inputs it was made; another file says nothing."""
    assert inputs_of(LOCK) == A
    assert inputs_of(FROM_UV) is None

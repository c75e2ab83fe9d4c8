"""Whatever people paste is read: encodings, colours, prefixes, quotes, progress bars."""

from __future__ import annotations

import io

import pytest

from env_check.explain import explain_file, explain_text
from env_check.explain.reading import blocks

MESSAGE = (
    "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.107\n"
)


def first_cause(data: bytes) -> str:
    found = explain_file(io.BytesIO(data))
    return found[0].cause_id if found else ""


@pytest.mark.parametrize(
    "data",
    [
        MESSAGE.encode("utf-16"),
        MESSAGE.encode("utf-16-le"),
        MESSAGE.encode("utf-16-be"),
        MESSAGE.encode("utf-8-sig"),
        MESSAGE.replace("\n", "\r\n").encode(),
        ("\x1b[31m" + MESSAGE.replace("NVML:", "\x1b[1mNVML:\x1b[0m")).encode(),
        ("```text\n" + MESSAGE + "```\n").encode(),
        "".join(f"> {line}\n" for line in MESSAGE.splitlines()).encode(),
        "".join(f"trainer-1  | {line}\n" for line in MESSAGE.splitlines()).encode(),
        "".join(f"Nov 21 08:00:01 host app[7]: {x}\n" for x in MESSAGE.splitlines()).encode(),
        "".join(f"2026-11-21T08:00:01.1Z {line}\n" for line in MESSAGE.splitlines()).encode(),
        b"\xff\xfe\x00\x9f\n" * 3 + MESSAGE.encode(),
        MESSAGE.replace("version mismatch", "version\n    mismatch").encode(),
    ],
    ids=["utf16", "utf16le", "utf16be", "bom", "crlf", "ansi", "fence", "quote", "compose",
         "journal", "docker", "noise", "wrapped"],
)  # fmt: skip
def test_a_message_is_found_in_every_dress(data: bytes) -> None:
    """Encoding, colour, line ends and prefixes change nothing."""
    expected = "" if data.startswith(b"\xff\xfe\x00\x9f") else "nvml_version_mismatch_reboot"
    assert first_cause(data) in (expected, "nvml_version_mismatch_reboot")


def test_evidence_names_the_line() -> None:
    """A quote carries the number a pager shows, progress bars included."""
    text = "step 1\rstep 2\rstep 3\n\nok\n" + MESSAGE
    assert explain_text(text)[0].evidence[0].startswith("line 4: Failed to initialize NVML")


def test_line_numbers_survive_the_border_of_blocks() -> None:
    """A message far into a log is quoted with its own number, once."""
    text = "just a line of a log\n" * 9_999 + MESSAGE
    evidence = explain_text(text)[0].evidence
    assert evidence[0].startswith("line 10000: ")
    assert len(evidence) == 1


def test_a_message_across_the_border_of_blocks_is_found() -> None:
    """A warning of several lines may begin in one block and end in the next."""
    warning = (
        "Tesla P100-PCIE-16GB with CUDA capability sm_60 is not compatible with the current\n"
        "PyTorch installation.\nThe current PyTorch install supports CUDA capabilities sm_70.\n"
    )
    for padding in range(65_536 - 160, 65_536, 20):
        text = "x" * 99 + "\n"
        text = (text * 700)[: padding - 1] + "\n" + warning
        assert explain_text(text)[0].cause_id == "gpu_arch_dropped"


def test_a_line_without_end_is_read_in_pieces() -> None:
    """One line of a megabyte does not grow in memory, and what it ends with is found."""
    text = "y" * 1_000_000 + " CUDA driver version is insufficient for CUDA runtime version"
    assert explain_text(text)[0].cause_id == "driver_too_old_for_cuda"
    assert all(
        len(line) <= 4000 for b in blocks(io.BytesIO(text.encode())) for line in b.text.split("\n")
    )


def test_secrets_names_and_homes_are_masked() -> None:
    """Evidence can be posted: no token, user name, address or home folder."""
    text = (
        "OSError: [Errno 28] No space left on device: '/home/alice/.cache/x' "
        "token=hf_abcdefghijklmnop https://bob:hunter22@host/ carol@a.org C:\\Users\\Dave\\x\n"
    )
    evidence = " ".join(explain_text(text)[0].evidence)
    for secret in ("alice", "abcdefghijklmnop", "hunter22", "carol@", "Dave"):
        assert secret not in evidence
    assert "No space left on device" in evidence


def test_what_a_log_repeats_is_read_a_hundred_times_and_no_more() -> None:
    """Steps that differ in their numbers are forgotten; what stands between them is found."""
    step = "{'loss': 0.31, 'epoch': 0.5}\n"
    read = list(blocks(io.BytesIO((step * 5_000 + MESSAGE + step * 5_000).encode())))
    assert sum(block.text.count("loss") for block in read) < 200
    assert explain_text(step * 5_000 + MESSAGE)[0].evidence[0].startswith("line 5001: ")


def test_a_failure_that_a_later_line_takes_back_is_no_fault() -> None:
    """A download that was repeated with success is not blamed, one that failed last is."""
    failed = "Max retries exceeded: HTTPSConnectionPool(host='huggingface.co', port=443)\n"
    loaded = "Loading checkpoint shards: 100%|####| 2/2\n"
    assert not explain_text(failed + loaded)
    assert not explain_text(failed * 20 + "a line\n" * 9_000 + loaded)
    assert explain_text(loaded + failed)[0].cause_id == "hf_hub_unreachable"

"""Rules over several GPUs: peer-to-peer and the network between the ranks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from env_check.explain.evidence import Evidence, Found
from env_check.explain.report import Report


def rule_p2p_bandwidth(report: Report, found: Found) -> Iterator[Evidence]:
    """The bandwidth test is slower with peer-to-peer than without."""
    for match in found.get("p2p-matrix", ()):
        without, with_p2p = match.groups[0], match.groups[1]
        slow, fast = _off_diagonal(with_p2p), _off_diagonal(without)
        if slow and fast and max(slow) < 0.6 * max(fast):
            why = f"At most {max(slow):g} GB/s with peer-to-peer, {max(fast):g} without."
            yield Evidence("nccl_p2p_broken", 0.93, why, (match,), "p2p-bandwidth")
            return


def rule_p2p_latency(report: Report, found: Found) -> Iterator[Evidence]:
    """A write to the neighbour takes milliseconds where it takes microseconds."""
    for match in found.get("p2p-latency", ()):
        slow = max(_off_diagonal(match.groups[0]), default=0.0)
        if slow > 1000:
            why = f"A peer-to-peer write takes up to {slow / 1000:.0f} ms."
            yield Evidence("nccl_p2p_broken", 0.93, why, (match,), "p2p-latency")
            return


def _off_diagonal(matrix: str) -> list[float]:
    values = []
    for row in matrix.splitlines():
        numbers = re.findall(r"\d+(?:\.\d+)?", row)
        if len(numbers) > 2 and "." in row:
            index = int(float(numbers[0]))
            values += [float(each) for place, each in enumerate(numbers[1:]) if place != index]
    return values


def rule_p2p_hang(report: Report, found: Found) -> Iterator[Evidence]:
    """NCCL chose peer-to-peer, or consumer cards wait, and the job hangs."""
    consumer = any(card.kind == "consumer" for card in report.gpus)
    waits = found.keys() & (
        {"nccl-watchdog", "p2p-hang"} if "iommu" in found else {"nccl-watchdog"}
    )
    if waits and "ranks" in found and ("iommu" in found or consumer):
        strength = 0.7 if "iommu" in found else 0.45
        if "preprocessing" not in found:
            lines = tuple(found[id][0] for id in sorted(waits))
            yield Evidence("nccl_p2p_broken", strength, "", lines, "p2p-hang")
    alone = "p2p-hang" in found and not waits
    if alone and (
        {"nccl-tests", "tensor-parallel"} & found.keys() or (consumer and "ranks" in found)
    ):
        why = "The GPUs wait for each other without an error."
        yield Evidence("nccl_p2p_broken", 0.5, why, tuple(found["p2p-hang"][:1]), "p2p-hang")
    if alone and "single-gpu-works" in found and "preprocessing" not in found:
        why = "One GPU works, several wait for each other without an error."
        yield Evidence("nccl_p2p_broken", 0.42, why, tuple(found["p2p-hang"][:1]), "p2p-hang")
    if alone and "p2p-mentioned" in found:
        lines = tuple(found["p2p-mentioned"][:1])
        yield Evidence("nccl_p2p_broken", 0.6, "", lines, "p2p-hang")
    shown = [match for id in ("p2p-path", "p2p-test") for match in found.get(id, ())]
    if shown and "p2p-hang" in found:
        yield Evidence("nccl_p2p_broken", 0.75, "", tuple(shown[:1]), "p2p-hang")


def rule_several_hosts(report: Report, found: Found) -> Iterator[Evidence]:
    """NCCL fails without a reason where the ranks are on several hosts or in several containers."""
    vague = [found[id][0] for id in ("nccl-generic", "nccl-vague", "nccl-misspelt") if id in found]
    if vague and "several-hosts" in found:
        lines = (vague[0], found["several-hosts"][0])
        yield Evidence("nccl_network_interface", 0.62, "", lines, "several-hosts")


def rule_busy_hang(report: Report, found: Found) -> Iterator[Evidence]:
    """Several consumer cards wait at full load: peer-to-peer copies that never arrive."""
    busy = found.get("full-load", [])
    consumer = any(card.kind == "consumer" for card in report.gpus)
    if busy and consumer and "p2p-hang" in found and "several-gpus" in found:
        yield Evidence("nccl_p2p_broken", 0.45, "", (busy[0], found["p2p-hang"][0]), "busy-hang")


_VIRTUAL = re.compile(r"^(?:\[0\])?(?:ip6tnl|veth|docker|virbr|br-|tun|tap|tailscale|wg|sit)|:fe80")


def rule_interface(report: Report, found: Found) -> Iterator[Evidence]:
    """NCCL begins with a tunnel, a bridge or a link-local address: other hosts do not reach it."""
    for match in () if "nccl-complete" in found else found.get("nccl-using", ()):
        interface = match.groups[0].lower().split(" [")[0]
        if _VIRTUAL.search(interface):
            why = f"NCCL uses {interface.split(':')[0].removeprefix('[0]')}."
            yield Evidence("nccl_network_interface", 0.6, why, (match,), "interface")
            return


RULES = (
    rule_p2p_bandwidth,
    rule_p2p_latency,
    rule_p2p_hang,
    rule_several_hosts,
    rule_busy_hang,
    rule_interface,
)

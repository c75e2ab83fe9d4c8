"""Read which GPUs a library holds machine code for, without NVIDIA's tools.

A library built by nvcc keeps what it runs in one section: regions that start with a header, each
holding entries of one architecture. The layout is the one that cuobjdump reads. (The section beside
it, `__nv_relfatbin`, is what was linked; the driver does not load it.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

SECTION = ".nv_fatbin"
REGION_MAGIC = 0xBA55ED50
PTX, MACHINE_CODE = 1, 2  # kinds of entries


def architectures_in(library: Path) -> tuple[list[int], list[int]]:
    """Return the SM numbers of a library's machine code and of its PTX, such as 80, in order.

    Raises:
        ValueError: not a 64-bit little-endian ELF file.
    """
    found = set(entries_in(section_of(library.read_bytes(), SECTION)))
    return (
        sorted(sm for kind, sm in found if kind == MACHINE_CODE),
        sorted(sm for kind, sm in found if kind == PTX),
    )


def entries_in(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield kind and SM number of each entry: regions in a row, padded with zeros."""
    at = 0
    magic = struct.pack("<I", REGION_MAGIC)
    while (at := data.find(magic, at)) >= 0:
        header_size, size = struct.unpack_from("<6xHQ", data, at)
        entry, end = at + header_size, at + header_size + size
        while entry < end:
            kind, entry_header, entry_size, sm = struct.unpack_from("<H2xIQ12xI", data, entry)
            yield kind, sm
            entry += entry_header + entry_size
        at = end


def section_of(elf: bytes, name: str) -> bytes:
    """Return the content of a section of an ELF file, empty where it has none."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry_size, count, of_names = struct.unpack_from("<HHH", elf, 0x3A)
    sections = [
        struct.unpack_from("<I20xQQ", elf, table + number * entry_size) for number in range(count)
    ]
    names_at = sections[of_names][1]
    for name_at, offset, size in sections:
        start = names_at + name_at
        if elf[start : elf.index(b"\0", start)] == name.encode():
            return elf[offset : offset + size]
    return b""

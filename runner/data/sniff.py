"""What the first bytes of a file say it is, where that is not what its name says."""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 4096
TAR_AT = 257  # where the magic of a tar archive stands

# first bytes → what it is and what to do; {} is the name without its last suffix
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "gzip data", "name it {}.jsonl.gz, or unpack it (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "name it {}.jsonl.zst, or unpack it (unzstd)"),
    (b"BZh", "bzip2 data", "unpack it (bunzip2)"),
    (b"\xfd7zXZ\x00", "xz data", "unpack it (unxz)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"PK\x03\x04", "a ZIP archive or an Excel file", "unpack it, or save the sheet as CSV"),
    (b"PAR1", "a Parquet file", "name it {}.parquet"),
    (b"ARROW1", "an Arrow file", "write it as Parquet or JSON Lines"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV or JSON Lines"),
    (b"%PDF", "a PDF", "write its text into rows"),
    *(
        (b"\x80" + bytes([protocol]), "a Python pickle", "write the rows with json.dumps")
        for protocol in range(2, 6)
    ),
    (b"\x93NUMPY", "a NumPy array", "write its rows with json.dumps, one a line"),
    (b"\x89PNG", "a PNG image", "name the data file"),
    (b"\xff\xd8\xff", "a JPEG image", "name the data file"),
    (b"GIF8", "a GIF image", "name the data file"),
    (b"\x7fELF", "a program", "name the data file"),
    (b"\x89HDF", "an HDF5 file", "write the rows as JSON Lines"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "git lfs pull"),
    (b"version https://hawser", "a Git LFS pointer, not the data", "git lfs pull"),
)
_MARKUP = re.compile(rb"\s*(?:<!doctype html|<html|<head|<\?xml)", re.IGNORECASE)
_YAML = re.compile(rb"(?:---\s*\n|- \w+:|\w+:\s)")


def foreign_kind(head: bytes, path: str, suffix: str) -> tuple[str, str] | None:
    """Return what a file is and what to do, or None where it may be what its name says.

    Args:
        head: its first HEAD_BYTES bytes.
        path: as in the job.
        suffix: that says how it is read, such as .jsonl, compression aside.
    """
    stem = path.split("/")[-1].split(".")[0]
    for magic, what, fix in _MAGIC:
        if head.startswith(magic) and not (magic == b"PAR1" and suffix == ".parquet"):
            return what, fix.format(stem)
    if suffix == ".parquet":
        text = head.lstrip()
        if head.startswith(b"PAR1"):
            return None
        if text.startswith((b"{", b"[")):
            return "JSON", f"name it {stem}.jsonl, or {stem}.json if it is one list"
        return "no Parquet file", "write it again; a copy that was cut short looks like this"
    if head[TAR_AT : TAR_AT + 5] == b"ustar":
        return "a tar archive", "unpack it (tar xf) and name the files in it"
    if head and not any(head):
        return "zero bytes alone", "write it again: it was not written to the disk"
    if found := _encoding(head, path):
        return found
    # zero bytes at the end, of a write that was broken off, are named with their line
    body = head.rstrip(b"\0")
    if sum(byte < 9 or 13 < byte < 32 for byte in body) * 10 > len(body):
        return "binary data", "write the rows as JSON Lines"
    if _MARKUP.match(head.removeprefix(codecs.BOM_UTF8)):
        return "a web page or XML", "download the file itself: this may be a login or error page"
    return _other_text(head, stem, suffix)


def _encoding(head: bytes, path: str) -> tuple[str, str] | None:
    """Return UTF-16 or UTF-32, with a byte order mark or without."""
    name = ""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        name = "UTF-32"
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "UTF-16"
    elif len(head) >= 8 and head[1:64:2].count(0) * 3 > len(head[1:64:2]) * 2:
        name = "UTF-16LE"
    elif len(head) >= 8 and head[0:64:2].count(0) * 3 > len(head[0:64:2]) * 2:
        name = "UTF-16BE"
    return (name, f"iconv -f {name} -t UTF-8 {path} > converted.jsonl") if name else None


def _other_text(head: bytes, stem: str, suffix: str) -> tuple[str, str] | None:
    """Return what a text is that cannot be JSON, or no table."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    first = text.split(b"\n", 1)[0]
    if not text:
        return None
    if suffix in (".jsonl", ".ndjson", ".json"):
        if text[:1] in b'{["' or b"{" in first:
            return None
        if first.count(b"\t") or first.count(b",") >= 1:
            kind = "tsv" if b"\t" in first else "csv"
            return "a table, not JSON", f"name it {stem}.{kind} if its first line names the columns"
        if _YAML.match(text):
            return "YAML, not JSON", "write one JSON object a line"
        return None
    if first.startswith((b"{", b"[{")):
        return "JSON, not a table", f"name it {stem}.jsonl, or {stem}.json if it is one list"
    return None

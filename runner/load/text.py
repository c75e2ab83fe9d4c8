"""The bytes of a job file: read with a limit, decoded as UTF-8, never a traceback."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

from runner.errors import JobError, Where

# A job is 2 to 4 kB. The limit also bounds the time of the YAML scanner: about 1 s for 128 KiB.
MAX_BYTES = 128 * 1024

WRITE_UTF8 = "save the file as plain UTF-8 text"


def read_job_file(path: Path) -> bytes:
    """Return the bytes of the job file.

    Raises:
        JobError: absent, a folder, not readable, not a regular file, or too large.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(path, "is a folder, not a job file", _a_job_in(path))
        if not stat.S_ISREG(mode):
            raise _unreadable(path, "is not a regular file", "write the job into a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(path, "does not exist", _near(path)) from None
    except PermissionError as error:
        fix = f"make it readable: `chmod u+r {path}`"
        raise _unreadable(path, "may not be read by this user", fix) from error
    except (OSError, ValueError) as error:  # name too long, a NUL in it, a loop of links
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unreadable(path, f"cannot be opened ({reason})", "check the name") from error
    if len(content) > MAX_BYTES:
        raise _unreadable(
            path, f"is larger than {MAX_BYTES // 1024} KiB", "give the job file, not a data file"
        )
    return content


def decode(content: bytes, file: Path) -> str:
    """Return the text of a job file; a byte order mark of UTF-8 is taken off.

    Raises:
        JobError: UTF-16 or UTF-32, bytes that are not UTF-8, NUL bytes, or nothing at all.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _not_text(file, 1, "it is UTF-16 or UTF-32, not UTF-8")
    if b"\0" in content:
        raise _not_text(file, _line_of(content, content.index(b"\0")), "it holds a NUL byte")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(content, error.start)
        raise _not_text(file, line, f"byte 0x{content[error.start]:02x} is not UTF-8") from error
    if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
        raise JobError(
            id="job-empty",
            what="the job file holds nothing" + (" but comments" if text.strip() else ""),
            where=Where(file=file, line=1),
            why="there is nothing to train",
            fix="start from a copy of jobs/demo.yaml",
        )
    return text


def _line_of(content: bytes, offset: int) -> int:
    return content.count(b"\n", 0, offset) + 1


def _not_text(file: Path, line: int, reason: str) -> JobError:
    return JobError(
        id="job-not-text",
        what=f"the job file is not text: {reason}",
        where=Where(file=file, line=line),
        why="a job is YAML, which is UTF-8 text",
        fix=WRITE_UTF8,
    )


def _unreadable(path: Path, what: str, fix: str) -> JobError:
    return JobError(
        id="job-file",
        what=f"the job file {what}",
        where=Where(file=path),
        why="there is no job without its file",
        fix=fix,
    )


def _near(path: Path) -> str:
    """Return a fix that names the most similar file of the folder."""
    wanted = [path.name] if path.suffix else [path.name, path.name + ".yaml"]
    for folder in (path.parent, Path("jobs")):
        names = job_names(folder)
        for name in wanted:
            if near := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
                return f"write `{folder / near[0]}`"
    return "check the path; relative paths start at the working directory"


def _a_job_in(folder: Path) -> str:
    names = job_names(folder)
    return f"name a file in it, such as `{folder / names[0]}`" if names else "name a .yaml file"


def job_names(folder: Path) -> list[str]:
    """Return the names of the YAML and JSON files in a folder; none where it cannot be read."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [name for name in names if name.endswith((".yaml", ".yml", ".json"))]

"""Ask CUDA itself, in a process of its own: a broken driver can hang or crash its caller.

Run as a script; prints one JSON object: `code` of cuInit(0), `api` of cuDriverGetVersion (13000 is
13.0) and the `library` that the loader took. Needs no device for `api`.
"""

from __future__ import annotations

import ctypes
import json


def main() -> None:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        print(json.dumps({"absent": str(error)}))
        return
    api = ctypes.c_int(0)
    cuda.cuDriverGetVersion(ctypes.byref(api))
    print(json.dumps({"code": cuda.cuInit(0), "api": api.value, "library": _library()}))


def _library() -> str:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        paths = [line.split()[-1] for line in maps if "/libcuda.so" in line]
    return paths[0] if paths else ""


if __name__ == "__main__":
    main()

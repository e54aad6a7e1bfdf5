"""`offdecode` and `python -m offdecode`: the process, and what only a process of its own may set."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress

_NEW_OBJECTS = 100_000  # so many, and garbage is looked for; imports make many, and none of it is garbage
_MALLOPT = {-1: 1 << 30, -3: 32 << 20}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and the most it takes: see mallopt(3)


def main() -> None:
    """Run the command line and end the process."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads for matrices spin while we work
    gc.set_threshold(_NEW_OBJECTS)
    with suppress(AttributeError, OSError, TypeError):  # another C library than glibc
        # Freed memory is kept: the next chunk needs it again, and the system would have to clear every page.
        for parameter, size in _MALLOPT.items():
            ctypes.CDLL(None).mallopt(parameter, size)
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # so Arrow's is kept too, once for both
    from offdecode.cli import main as run

    status = run()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.flush()
    os._exit(status)  # without taking apart all modules first, which takes longer than a small run


if __name__ == "__main__":
    main()

"""What a run of the page, and a look at an upload, may take: told to people before, held by the processes."""

from __future__ import annotations

import os
import resource

SIZE_LIMIT_MB = 500
LENGTH_LIMIT_S = 1800.0
LIVE_LIMIT_S = 3600.0
MEMORY_LIMIT_BYTES = 8 << 30  # address space; a 4K clip with every model takes under 3 GiB of it
TIME_LIMIT_S = 6 * 3600  # of one processor: a clip that decodes for ever must end some day
FILE_LIMIT_BYTES = 8 << 30  # of each file written: a clip may be small and its pictures endless
_NICE = 5  # the page must answer while runs take all there is


def confine(*, cpu_s: int = TIME_LIMIT_S, memory_bytes: int = MEMORY_LIMIT_BYTES) -> None:
    """Puts this process, which is to decode what a stranger sent, within limits that it cannot raise again."""
    os.nice(_NICE)
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, FILE_LIMIT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, allowed))

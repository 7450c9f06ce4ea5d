"""What processor this machine has, and what it can do: measurements are worth nothing without it."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """The model's name where the system tells it ("AMD EPYC"), else what Python knows of the machine."""
    return _told("model name") or platform.processor() or platform.machine()


def processor_features() -> frozenset[str]:
    """What its instructions can do, as Linux names it ("avx512_vnni"); empty elsewhere."""
    return frozenset(_told("flags").split())


def _told(what: str) -> str:
    """What Linux says of the first core; "" where it does not, and elsewhere."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(what):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return ""

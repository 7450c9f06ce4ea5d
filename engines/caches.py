"""Where what was made on this machine is kept."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """$XDG_CACHE_HOME/signspot/NAME, by default below ~/.cache; it need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signspot" / name

"""Names of streams: `--source NAME=S`, several times in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engines.errors import ConfigError
from stream.publisher import check_name
from stream.sources.redaction import redact

DEFAULT_STREAM = "cam"


def named_sources(texts: Sequence[str], *, stream: str | None = None) -> dict[str, str]:
    """Streams by name, in order.

    Args:
        texts: what stands after `--source`: `NAME=S`, or `S` alone where there is but one.
        stream: name of a source that has none, `DEFAULT_STREAM` where this is None.

    Returns:
        Name -> what `open_source` takes.

    Raises:
        ConfigError: a name is missing, is there twice, or cannot be part of a topic.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, spec = _split(text)
        if name is None:
            if len(texts) > 1:
                raise ConfigError(
                    f"with several sources each needs a name: --source NAME={redact(text)}, and so on"
                )
            name = stream if stream is not None else DEFAULT_STREAM
        elif stream is not None:
            raise ConfigError(f"--stream {stream}: the source has the name {name} already")
        check_name(name)
        if not spec:
            raise ConfigError(f"--source {name}=: after the name stands what to watch, as in {name}=0")
        if name in found:
            raise ConfigError(f"two sources are named {name}: give each a name of its own")
        found[name] = spec
    return found


def _split(text: str) -> tuple[str | None, str]:
    """A name ends at the first "=", unless that belongs to an address or to a file that is there."""
    name, equals, spec = text.partition("=")
    if not equals or ":" in name or Path(text).exists():
        return None, text
    return name, spec

"""Keeps credentials in source addresses out of everything that is shown, logged or sent."""

from __future__ import annotations

import re

BLANK = "***"
_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)[^\s'\"]*@")
_QUERY = re.compile(r"(?P<name>[?&;][^=&;\s'\"]+)=[^&;\s'\"]+")
_NAMED = re.compile(
    r"(?P<name>(?:user(?:name)?|login|pass(?:word|wd|phrase)?|pwd|token|key|auth|secret)=)[^&;/_\s'\"]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with every credential in every address blanked out.

    Blanked are the user part (up to the last @, since passwords may hold one), the values of all query parameters
    (which of them is secret nobody can know), and `password=...` and the like anywhere, since some recorders want
    them in the path. What looks like a credential and is none is blanked as well: better than the reverse.
    """
    text = _USER.sub(rf"\g<scheme>{BLANK}@", text)
    text = _QUERY.sub(rf"\g<name>={BLANK}", text)
    return _NAMED.sub(rf"\g<name>{BLANK}", text)

"""`docs/protocol.md`: its clients work as printed, and its tables name every field."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stream.address import DEFAULT_ADDRESS
from stream.events import KINDS, Event
from stream.publisher import QUEUED_MESSAGES, Publisher
from tests.stream.listeners import Listener
from tests.stream.samples import detection, status

DOCS = Path(__file__).parents[2] / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text(encoding="utf-8")
HEAD = {field.name for field in msgspec.structs.fields(Event)}


def table(heading: str) -> dict[str, str]:
    """Field -> meaning of the table under a heading."""
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PROTOCOL, re.MULTILINE | re.DOTALL)
    assert section is not None
    return dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", section[1], re.MULTILINE))


def test_what_every_message_carries_is_in_the_table() -> None:
    assert set(table("What every message carries")) == HEAD


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_kind_is_in_its_table_and_no_other(kind: str) -> None:
    names = {field.name for field in msgspec.structs.fields(KINDS[kind])} - HEAD
    assert set(table(kind)) == names


def test_the_figures_in_the_text_are_those_of_the_code() -> None:
    assert f"{QUEUED_MESSAGES} messages are kept" in PROTOCOL
    assert f"`{DEFAULT_ADDRESS}`" in PROTOCOL


@pytest.mark.parametrize("client", ["python/listen.py", "javascript/listen.mjs"])
def test_the_page_prints_the_client_that_the_tests_run(client: str) -> None:
    source = (DOCS / "clients" / client).read_text(encoding="utf-8")
    assert f"\n{source}```\n" in PROTOCOL
    code = [line for line in source.splitlines() if line and not line.startswith(("#", "//", '"""'))]
    assert len(code) <= 10, "a client in ten lines"


def hears(publisher: Publisher, command: list[str], folder: Path) -> list[str]:
    """The lines that a client prints for two detections and a status."""
    listener = Listener(command, folder)
    publisher.send(status())
    first = listener.line(meanwhile=lambda: publisher.send(detection("HELLO", 12.5, 13.25)))
    publisher.send(detection("THANK-YOU", 12.5, 13.25, seq=1))
    lines = [first]
    while len(lines) == 1 or lines[-1] == first:  # the first was sent until it was heard
        lines.append(listener.line())
    listener.stop()
    return [first, lines[-1]]


EXPECTED = ["cam HELLO 12.5 13.25\n", "cam THANK-YOU 12.5 13.25\n"]


def test_the_python_client_works_without_signspot(tmp_path: Path) -> None:
    with Publisher("tcp://127.0.0.1:*") as publisher:
        script = DOCS / "clients" / "python" / "listen.py"
        assert hears(publisher, [sys.executable, str(script), publisher.endpoint], tmp_path) == EXPECTED


def test_the_javascript_client_works(tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node.js and npm: apt install nodejs npm")
    for name in ("package.json", "package-lock.json", "listen.mjs"):
        shutil.copy(DOCS / "clients" / "javascript" / name, tmp_path)
    install = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    if install.returncode:
        pytest.skip(f"npm cannot install zeromq and @msgpack/msgpack: {install.stderr.strip()[-200:]}")
    with Publisher("tcp://127.0.0.1:*") as publisher:
        assert hears(publisher, [node, "listen.mjs", publisher.endpoint], tmp_path) == EXPECTED

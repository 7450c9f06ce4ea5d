"""ZeroMQ addresses: understood before libzmq sees them, so that errors say what to do."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

import zmq

Transport = Literal["tcp", "ipc", "inproc"]
DEFAULT_ADDRESS = "tcp://127.0.0.1:5570"
FORMS = "tcp://127.0.0.1:5570, tcp://127.0.0.1:* (any free port), tcp://*:5570 (every interface) or ipc:///path/to/socket"


@dataclass(frozen=True, slots=True)
class Address:
    """An address in its parts."""

    text: str  # in the form that libzmq takes
    transport: Transport
    host: str  # of tcp, without brackets; the path or name of the others
    port: str  # of tcp: a number or "*"; "" for the others

    @property
    def local(self) -> bool:
        """Whether nobody beyond this machine can connect to it."""
        if self.transport != "tcp":
            return True
        if self.host in ("localhost", "lo"):  # libzmq takes an interface's name to bind to
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    @property
    def ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host


def parse_address(text: str) -> Address:
    """Take an address apart.

    Raises:
        ValueError: it has none of the forms that Signspot uses; the text says which those are.
    """
    transport, separator, rest = text.partition("://")
    if not separator or not rest:
        raise ValueError(f"{text!r} is not a ZeroMQ address: write {FORMS}")
    if transport in ("ipc", "inproc"):
        return Address(text, "ipc" if transport == "ipc" else "inproc", rest, "")
    if transport != "tcp":
        raise ValueError(f"{text!r}: {transport}:// is not a transport of Signspot: write {FORMS}")
    match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]/]+):(\*|\d+)", rest)
    if match is None:
        raise ValueError(f"{text!r} lacks a host or a port: write {FORMS}")
    host, port = match[1].strip("[]"), match[2]
    if port != "*" and int(port) > 65535:
        raise ValueError(f"{text!r}: there is no port {port}, the last one is 65535")
    return Address(text, "tcp", host, port)


def why(error: zmq.ZMQError) -> str:
    """The system's words for an error, without the address that pyzmq adds."""
    return zmq.strerror(error.errno) if error.errno is not None else str(error)

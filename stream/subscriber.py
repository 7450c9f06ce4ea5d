"""`Subscriber`: what a stream publishes, as typed events, with an account of what was lost on the way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from engines.closing import Closing
from engines.errors import ConfigError
from stream.address import parse_address, why
from stream.curve import ClientKeys
from stream.events import KINDS, SCHEMA_VERSION, Message

LARGEST_MESSAGE = 16 * 2**20
"""Bytes; a preview has about 15 thousand, and had 2 million of a 4K picture before previews were shrunk."""

Connection = Literal["connecting", "connected", "refused"]


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages that were sent and did not arrive, noticed by the gap in `seq`."""

    topic: str
    count: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that arrived and cannot be understood: damaged, or of a newer schema version."""

    topic: str
    reason: str


Received = Message | Lost | Unreadable


class _Head(msgspec.Struct):
    """The part of a payload that holds in every schema version."""

    epoch: str
    seq: int
    v: int


Decoded = TypeVar("Decoded")


def _decode(payload: bytes, struct: type[Decoded]) -> Decoded:
    """Decode JSON or MessagePack: a payload is an object, and only in JSON does that begin with a brace."""
    if payload[:1] == b"{":
        return msgspec.json.decode(payload, type=struct)
    return msgspec.msgpack.decode(payload, type=struct)


class Subscriber(Closing):
    """Iterates over what is published at an address; reconnects by itself, for ever.

    Yields messages in order, `Lost` just before the message that shows a gap, and `Unreadable` for what cannot be
    understood. Duplicates are dropped. A new `epoch` is a sender that was started again, not a loss. Kinds this
    version does not know are passed over. For use by one thread.

    Args:
        address: as the publisher says it: `tcp://127.0.0.1:5570`.
        kinds: which kinds to receive.
        stream: only this stream; None for all.
        timeout_s: iteration ends when nothing has come for so long; None to wait for ever.
        curve: keys, where the publisher has some.
        context: that of the publisher, for `inproc://`; own by default.

    Raises:
        ConfigError: the address cannot be connected to, or a kind does not exist.
    """

    def __init__(
        self,
        address: str,
        *,
        kinds: Iterable[str] = ("detection", "hypothesis", "status"),
        stream: str | None = None,
        timeout_s: float | None = None,
        curve: ClientKeys | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        wanted = list(kinds)
        for kind in wanted:
            if kind not in KINDS:
                raise ConfigError(f"there is no kind of message {kind!r}; there are {', '.join(KINDS)}")
        try:
            target = parse_address(address)
        except ValueError as error:
            raise ConfigError(f"cannot subscribe: {error}") from error
        if target.host == "*" or target.port == "*":
            raise ConfigError(
                f"cannot subscribe to {address}: name the host and port that the publisher bound"
            )
        self.timeout_s = timeout_s
        self._newest: dict[tuple[str, str], int] = {}  # (topic, epoch) -> seq
        self._ready: deque[Received] = deque()
        self._state: Connection = "connecting"
        self._context = context or zmq.Context()
        self._owns_context = context is None
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.maxmsgsize = LARGEST_MESSAGE
        self._socket.ipv6 = target.ipv6
        if target.transport == "tcp":
            self._socket.heartbeat_ivl, self._socket.heartbeat_timeout = 5_000, 15_000
        if curve is not None:
            self._socket.curve_serverkey = curve.server
            self._socket.curve_publickey = curve.public
            self._socket.curve_secretkey = curve.secret
        for kind in wanted:
            self._socket.subscribe(f"{kind}/{stream}/" if stream is not None else f"{kind}/")
        self._monitor = self._socket.get_monitor_socket()
        try:
            self._socket.connect(target.text)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(f"cannot subscribe to {address}: {why(error)}") from error

    @property
    def connection(self) -> Connection:
        """How it stands: nobody answers yet, connected, or the publisher wants other keys (or none, or some)."""
        while self._monitor.poll(0):
            match parse_monitor_message(self._monitor.recv_multipart())["event"]:
                case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._state = "connected"
                case zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                    self._state = "refused"
                case zmq.EVENT_DISCONNECTED if self._state == "connected":
                    self._state = "connecting"
        return self._state

    def receive(self, timeout_s: float | None = None) -> Received | None:
        """The next message, or None when nothing came in time (None waits for ever)."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ready:
            left_ms = None if end_s is None else max(0, round((end_s - time.monotonic()) * 1000))
            if not self._socket.poll(left_ms):
                return None
            self._take(self._socket.recv_multipart())
        return self._ready.popleft()

    def _take(self, parts: list[bytes]) -> None:
        topic = parts[0].decode(errors="replace")
        kind = topic.partition("/")[0]
        if len(parts) != 2:
            self._ready.append(Unreadable(topic, f"{len(parts)} parts instead of 2"))
            return
        try:
            head = _decode(parts[1], _Head)
        except msgspec.MsgspecError as error:
            self._ready.append(Unreadable(topic, str(error)))
            return
        if not self._count(topic, head) or kind not in KINDS:
            return
        if head.v > SCHEMA_VERSION:
            reason = f"schema version {head.v}, this Signspot knows {SCHEMA_VERSION}: update it"
            self._ready.append(Unreadable(topic, reason))
            return
        try:
            self._ready.append(_decode(parts[1], KINDS[kind]))
        except msgspec.MsgspecError as error:
            self._ready.append(Unreadable(topic, str(error)))

    def _count(self, topic: str, head: _Head) -> bool:
        """Account for a message by its number; returns whether it is new."""
        newest = self._newest.get((topic, head.epoch))
        if newest is not None:
            if head.seq <= newest:
                return False
            if head.seq > newest + 1:
                self._ready.append(Lost(topic, head.seq - newest - 1))
        self._newest[topic, head.epoch] = head.seq
        return True

    def __iter__(self) -> Iterator[Received]:
        return self

    def __next__(self) -> Received:
        received = self.receive(self.timeout_s)
        if received is None:
            raise StopIteration
        return received

    def close(self) -> None:
        """Disconnect."""
        if self._socket.closed:
            return
        self._socket.disable_monitor()
        self._monitor.close(linger=0)  # still open, it would keep the context from ending
        self._socket.close()
        if self._owns_context:
            self._context.term()

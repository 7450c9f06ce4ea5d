"""Numbers messages (`Stamper`) and publishes them over ZeroMQ (`Publisher`); `docs/protocol.md` is the contract."""

from __future__ import annotations

import errno
import secrets
import threading
import time
from typing import Any, Literal, TypeVar

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator

from engines.closing import Closing
from engines.errors import ConfigError, PublishError
from stream.address import FORMS, Address, parse_address, why
from stream.curve import ServerKeys
from stream.events import Event, Message, Status, kind_named, topic_of

Encoding = Literal["msgpack", "json"]
AnyEvent = TypeVar("AnyEvent", bound=Event)

QUEUED_MESSAGES = 256
"""Per subscriber; what exceeds it is dropped for that subscriber alone. At 15 kB a preview this is 4 MB at most."""
LINGER_MS = 300
"""How long closing may take to hand the last messages over; Ctrl-C has to stop within a second."""
HEARTBEAT_MS, DEAD_MS = 5_000, 15_000
"""A subscriber whose machine vanished is noticed and its queue freed."""
GREETINGS_AT_ONCE = 32
"""Requests handled while others wait for the socket: a subscriber that floods cannot hold it."""


def new_epoch() -> str:
    """A random name for one start of the process."""
    return secrets.token_hex(8)


def check_name(stream: str) -> None:
    """Refuse a stream's name that cannot be part of a topic, or of a folder's name.

    Raises:
        ConfigError: it is empty, holds a slash or what cannot be printed, or means a folder that is there already.
    """
    if not stream or "/" in stream or not stream.isprintable() or stream in (".", ".."):
        raise ConfigError(f"a stream's name is one or more printable characters without '/', not {stream!r}")


class Stamper:
    """Fills in what every message carries.

    May be called from several threads, but one kind from one thread only: what is stamped first has to be sent first.

    Args:
        stream: the stream's name.
        epoch: of the process, where it has several streams; a new one by default.

    Raises:
        ConfigError: the name cannot be part of a topic.
    """

    def __init__(self, stream: str, epoch: str | None = None) -> None:
        check_name(stream)
        self.stream = stream
        self.epoch = epoch if epoch is not None else new_epoch()
        self._lock = threading.Lock()
        self._next: dict[str, int] = {}

    def stamp(self, struct: type[AnyEvent], *, segment: int, **fields: Any) -> AnyEvent:
        """Make the next message of a kind.

        Args:
            struct: the kind, as `Detection`.
            segment: counts stretches of unbroken time.
            fields: what the kind has beyond stream, epoch, segment, seq, time_us and v.

        Raises:
            TypeError: a field is missing or unknown.
        """
        kind = kind_named(struct)
        with self._lock:
            message = struct(
                stream=self.stream,
                epoch=self.epoch,
                segment=segment,
                seq=self._next.get(kind, 0),
                time_us=time.time_ns() // 1000,
                **fields,
            )
            self._next[kind] = message.seq + 1
        return message


class Publisher(Closing):
    """A PUB socket (XPUB inside) that never waits for anyone.

    A subscriber that comes late gets the newest status at once, with its old `seq`. ZeroMQ cannot send to one
    subscriber alone, so the others get it again, and drop it by its `seq`.

    Args:
        address: to bind, as `tcp://127.0.0.1:5570`; with port `*` any free one.
        encoding: of the payloads.
        insecure: allow an address beyond this machine without keys.
        curve: keys; with them only clients whose key is in the folder get anything.
        context: whose `inproc://` names to share; own by default.

    Raises:
        PublishError: the address cannot be bound, or must not be bound unprotected.
    """

    def __init__(
        self,
        address: str,
        *,
        encoding: Encoding = "msgpack",
        insecure: bool = False,
        curve: ServerKeys | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        target = _checked(address, protected=curve is not None or insecure)
        self._encoder = msgspec.msgpack.Encoder() if encoding == "msgpack" else msgspec.json.Encoder()
        # Its own context, so that closing can wait for the last messages; at exit Python would drop them.
        self._context = context or zmq.Context()
        self._owns_context = context is None
        self._authenticator: ThreadAuthenticator | None = None
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.XPUB)
        self._lock = threading.Lock()  # ZeroMQ sockets may change threads only with a barrier between
        self._status: dict[bytes, bytes] = {}  # topic -> payload of the newest status
        self._closing = threading.Event()
        try:
            self._set_up(target, curve)
            self._socket.bind(target.text)
        except zmq.ZMQError as error:
            self._release()
            raise PublishError(_why_not_bound(address, error)) from error
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """The address that was bound, with its real port."""
        self._greeter = threading.Thread(target=self._greet_loop, name="greeter", daemon=True)
        self._greeter.start()

    def _set_up(self, target: Address, curve: ServerKeys | None) -> None:
        socket = self._socket
        socket.xpub_verbose = True  # tell of every subscription, not of the first to a topic only
        socket.sndhwm = QUEUED_MESSAGES
        socket.rcvhwm = QUEUED_MESSAGES
        socket.maxmsgsize = 1024  # of what subscribers send, which is topics
        socket.linger = LINGER_MS
        socket.ipv6 = target.ipv6
        if target.transport == "tcp":
            socket.heartbeat_ivl, socket.heartbeat_timeout = HEARTBEAT_MS, DEAD_MS
        if curve is not None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback("*", _Gate(curve))
            socket.curve_server = True
            socket.curve_secretkey = curve.secret
            socket.curve_publickey = curve.public

    def send(self, message: Message) -> None:
        """Publish a stamped message. Safe from any thread; encodes once and never waits for a subscriber.

        After `close` it does nothing: threads that are still finishing need not be told.
        """
        topic, payload = topic_of(message).encode(), self._encoder.encode(message)
        with self._lock:
            if self._closing.is_set():
                return
            if isinstance(message, Status):
                self._status[topic] = payload
            self._socket.send_multipart([topic, payload], zmq.NOBLOCK)
            # Sending takes in what subscribers asked for and so swallows the wake-up of the greeter's thread.
            self._greet()

    def close(self) -> None:
        """Hand over what is queued, for `LINGER_MS` at most, and free the address."""
        if self._closing.is_set():
            return
        with self._lock:
            self._closing.set()
        self._greeter.join()
        self._release()

    def _release(self) -> None:
        self._socket.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        if self._owns_context:
            self._context.term()

    def _greet(self) -> None:
        """Answer new subscriptions with the newest status. The lock is held."""
        wanted: set[bytes] = set()
        for _ in range(GREETINGS_AT_ONCE):
            if not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                break
            request = self._socket.recv_multipart(zmq.NOBLOCK)[0]
            if request[:1] == b"\x01":
                wanted.update(topic for topic in self._status if topic.startswith(request[1:]))
        for topic in wanted:
            self._socket.send_multipart([topic, self._status[topic]], zmq.NOBLOCK)

    def _greet_loop(self) -> None:
        # The descriptor says no more than that something happened; what it is, is read under the lock. The time-out
        # covers what `GREETINGS_AT_ONCE` left over, and ends the thread after `close`.
        wake = zmq.Poller()
        wake.register(int(self._socket.getsockopt(zmq.FD)), zmq.POLLIN)
        while not self._closing.is_set():
            wake.poll(50)
            with self._lock:
                if not self._closing.is_set():
                    self._greet()


class _Gate:
    """Lets clients in by their public key; asked by ZeroMQ's authenticator at every connection."""

    def __init__(self, keys: ServerKeys) -> None:
        self._keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        return self._keys.allows(key)


def _checked(address: str, *, protected: bool) -> Address:
    try:
        target = parse_address(address)
    except ValueError as error:
        raise PublishError(f"cannot publish: {error}") from error
    if not target.local and not protected:
        raise PublishError(
            f"{address} can be reached from other machines, and everyone there could read along: make keys with "
            "`signspot keys make DIR` and give --keys DIR, or say --insecure if that is what you want"
        )
    return target


def _why_not_bound(address: str, error: zmq.ZMQError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            remedy = "something publishes there already; take another port, or * for any free one"
        case errno.EADDRNOTAVAIL | errno.ENODEV:
            remedy = (
                "this machine has no such address or interface; 127.0.0.1 is this machine, * every interface"
            )
        case errno.EACCES | errno.EPERM:
            remedy = "only the administrator may use it; take a port above 1023, or a path of yours"
        case _:
            remedy = f"write {FORMS}"
    return f"cannot publish on {address}: {why(error)}; {remedy}"

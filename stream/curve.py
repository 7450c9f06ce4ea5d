"""CURVE keys: made, read, and checked, so that only those who were given a key can read what Signspot publishes.

A folder made by `signspot keys make`:

    server.key              public; goes to every client
    server.key_secret       stays here (mode 0600)
    clients/NAME.key        public keys of those who may subscribe; deleting one locks that client out
    for-clients/NAME/       to be moved to that client's machine whole: server.key, client.key, client.key_secret

The files are ZeroMQ certificates (ZPL, as czmq and pyzmq write them): http://hintjens.com/blog:45
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth

from engines.errors import ConfigError

CLIENTS = "clients"
FOR_CLIENTS = "for-clients"


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a publisher needs: its own pair, and where the clients' public keys are."""

    public: bytes  # Z85, 40 characters
    secret: bytes = field(repr=False)  # Z85, 40 characters
    clients: Path  # folder of NAME.key; read at every connection, so that a change works at once

    def allows(self, public: bytes) -> bool:
        """Whether a client with this public key (Z85) may subscribe now."""
        for path in self.clients.glob("*.key"):
            try:
                if zmq.auth.load_certificate(path)[0] == public:
                    return True
            except (OSError, ValueError):
                continue  # deleted meanwhile, or no certificate: whoever it was for is not let in
        return False


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a subscriber needs: the server's public key, and its own pair."""

    server: bytes  # Z85
    public: bytes  # Z85
    secret: bytes = field(repr=False)  # Z85


def make_server_keys(folder: Path) -> bool:
    """Make the publisher's pair in `folder` unless there is one.

    Returns:
        Whether it was made now.

    Raises:
        ConfigError: the folder cannot be written, or holds only one half of the pair.
    """
    public, secret = folder / "server.key", folder / "server.key_secret"
    if public.exists() and secret.exists():
        return False
    if public.exists() or secret.exists():
        have, lack = (public, secret) if public.exists() else (secret, public)
        raise ConfigError(
            f"{folder} holds {have.name} without {lack.name}: restore it, or take another folder"
        )
    _make_folder(folder)
    _make_folder(folder / CLIENTS)
    _write_pair(folder, "server")
    return True


def make_client_keys(folder: Path, name: str) -> Path:
    """Make a pair for one client and let it in.

    Args:
        folder: made by `make_server_keys`.
        name: of the client; becomes a file name.

    Returns:
        The folder to move to the client's machine.

    Raises:
        ConfigError: the name cannot be a file name or is taken, or the folder cannot be written.
    """
    if not name or name.startswith(".") or not all(c.isalnum() or c in "-_.@" for c in name):
        raise ConfigError(f"a client's name consists of letters, digits, - _ . and @, not {name!r}")
    allowed, bundle = folder / CLIENTS / f"{name}.key", folder / FOR_CLIENTS / name
    for taken in (allowed, bundle):
        if taken.exists():
            raise ConfigError(
                f"there is a client {name!r} already ({taken}): delete that to lock it out, or take another name"
            )
    _make_folder(folder / FOR_CLIENTS)
    _make_folder(bundle)
    try:
        shutil.copyfile(folder / "server.key", bundle / "server.key")
        _write_pair(bundle, "client")
        shutil.copyfile(bundle / "client.key", allowed)
    except OSError as error:
        raise ConfigError(f"keys for {name!r} cannot be made in {folder}: {error.strerror}") from error
    return bundle


def client_names(folder: Path) -> list[str]:
    """Names of the clients that may subscribe."""
    return sorted(path.stem for path in (folder / CLIENTS).glob("*.key"))


def remove_client(folder: Path, name: str) -> None:
    """Lock a client out, from its next connection on.

    Raises:
        ConfigError: there is no such client.
    """
    names = client_names(folder)
    if name not in names:
        raise ConfigError(f"{folder} lets in no client {name!r}; it lets in: {', '.join(names) or 'nobody'}")
    (folder / CLIENTS / f"{name}.key").unlink()
    shutil.rmtree(folder / FOR_CLIENTS / name, ignore_errors=True)


def read_server_keys(folder: Path) -> ServerKeys:
    """Read the publisher's keys.

    Raises:
        ConfigError: there are none in `folder`, they are damaged, or others can read the secret one.
    """
    if (folder / "client.key_secret").exists():
        raise ConfigError(f"{folder} holds a client's keys; to publish, take the folder it was made from")
    public, secret = _read_pair(folder, "server", "signspot keys make")
    return ServerKeys(public, secret, folder / CLIENTS)


def read_client_keys(folder: Path) -> ClientKeys:
    """Read a subscriber's keys.

    Raises:
        ConfigError: there are none in `folder`, they are damaged, or others can read the secret one.
    """
    if (folder / "server.key_secret").exists():
        raise ConfigError(
            f"{folder} holds the publisher's keys; to subscribe, take one of the folders in {folder / FOR_CLIENTS} "
            f"(`signspot keys make {folder} --client NAME` makes one)"
        )
    public, secret = _read_pair(folder, "client", "signspot keys make DIR --client NAME")
    server, _ = _read_certificate(folder / "server.key", "signspot keys make DIR --client NAME")
    return ClientKeys(server, public, secret)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {folder} for keys cannot be made: {error.strerror}") from error


def _write_pair(folder: Path, name: str) -> None:
    public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
    _write_new(folder / f"{name}.key_secret", 0o600, public, secret)
    _write_new(folder / f"{name}.key", 0o644, public)


def _write_new(path: Path, mode: int, public: str, secret: str | None = None) -> None:
    # The mode is given at creation: between a write and a later chmod anyone could read the file.
    warning = "SECRET: do not pass on" if secret else "public: may be passed on"
    lines = [f"#   Signspot, ZeroMQ CURVE certificate, {warning}", "curve", f'    public-key = "{public}"']
    if secret:
        lines.append(f'    secret-key = "{secret}"')
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _read_pair(folder: Path, name: str, remedy: str) -> tuple[bytes, bytes]:
    path = folder / f"{name}.key_secret"
    public, secret = _read_certificate(path, remedy)
    if secret is None:
        raise ConfigError(f"{path} holds no secret key: make new ones with `{remedy}`")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigError(f"{path} can be read by other users: chmod 600 {path}")
    return public, secret


def _read_certificate(path: Path, remedy: str) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except OSError as error:
        raise ConfigError(f"there is no readable {path}: make keys with `{remedy}`") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a ZeroMQ certificate: make keys with `{remedy}`") from error
    for key in (public, secret):
        if key is not None and len(key) != 40:
            raise ConfigError(f"{path} holds a damaged key ({len(key)} characters, not 40)")
    return public, secret

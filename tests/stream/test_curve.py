"""CURVE: who has a key that was let in reads; everyone else gets nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth

from engines.errors import ConfigError
from run_stream import main
from stream.commands import keys as command
from stream.curve import (
    ClientKeys,
    client_names,
    make_client_keys,
    make_server_keys,
    read_client_keys,
    read_server_keys,
)
from stream.publisher import Publisher
from stream.subscriber import Subscriber
from tests.stream.samples import status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Keys of a publisher that lets one client, the laptop, in."""
    folder = tmp_path / "keys"
    make_server_keys(folder)
    make_client_keys(folder, "laptop")
    return folder


def test_a_client_with_its_key_reads_and_others_get_nothing(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_server_keys(other)
    stranger = read_client_keys(make_client_keys(other, "stranger"))
    server = read_server_keys(folder)
    intruder = ClientKeys(server.public, stranger.public, stranger.secret)  # knows the server's public key
    laptop = read_client_keys(folder / "for-clients" / "laptop")
    with Publisher("tcp://0.0.0.0:*", curve=server) as publisher:
        address = f"tcp://127.0.0.1:{publisher.endpoint.rpartition(':')[2]}"
        publisher.send(status())
        with Subscriber(address, curve=laptop) as subscriber:
            assert subscriber.receive(5) == status()
        for keys in (None, stranger, intruder):
            with Subscriber(address, curve=keys) as subscriber:
                assert subscriber.receive(0.5) is None
                assert subscriber.connection != "connected"
        with Subscriber(address, curve=intruder) as subscriber:
            assert subscriber.receive(0.5) is None
            assert subscriber.connection == "refused", "a wrong key is told apart from nobody there"


def test_clients_can_be_let_in_and_locked_out_while_it_runs(folder: Path) -> None:
    with Publisher("tcp://127.0.0.1:*", curve=read_server_keys(folder)) as publisher:
        publisher.send(status())
        tablet = make_client_keys(folder, "tablet")
        with Subscriber(publisher.endpoint, curve=read_client_keys(tablet)) as subscriber:
            assert subscriber.receive(5) == status()
        (folder / "clients" / "tablet.key").unlink()
        with Subscriber(publisher.endpoint, curve=read_client_keys(tablet)) as subscriber:
            assert subscriber.receive(0.5) is None


def test_what_goes_over_the_network_is_encrypted(folder: Path) -> None:
    # A client that speaks no CURVE at all sees no byte of a message.
    with Publisher("tcp://127.0.0.1:*", curve=read_server_keys(folder)) as publisher:
        publisher.send(status())
        with zmq.Context() as context, context.socket(zmq.SUB) as plain:
            plain.subscribe("")
            plain.connect(publisher.endpoint)
            assert not plain.poll(500)


def test_secret_keys_are_for_the_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_server_keys(tmp_path / "keys")
        bundle = make_client_keys(tmp_path / "keys", "laptop")
    finally:
        os.umask(before)
    for path in [tmp_path / "keys" / "server.key_secret", bundle / "client.key_secret"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_other_zeromq_programs_can_read_the_files(folder: Path) -> None:
    public, secret = zmq.auth.load_certificate(folder / "server.key_secret")
    assert secret is not None
    assert zmq.curve_public(secret) == public
    assert zmq.auth.load_certificate(folder / "server.key") == (public, None)
    assert b"secret" not in (folder / "for-clients" / "laptop" / "server.key").read_bytes()


def test_making_keys_again_keeps_the_old_ones(folder: Path) -> None:
    before = read_server_keys(folder)
    assert not make_server_keys(folder)
    assert read_server_keys(folder) == before
    with pytest.raises(ConfigError, match="already"):
        make_client_keys(folder, "laptop")


@pytest.mark.parametrize("name", ["", "../evil", ".hidden", "a b"])
def test_a_client_name_cannot_leave_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="client's name"):
        make_client_keys(folder, name)


def test_keys_that_others_can_read_are_refused(folder: Path) -> None:
    (folder / "server.key_secret").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_server_keys(folder)


def test_mixed_up_missing_and_damaged_keys_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="signspot keys make"):
        read_server_keys(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds the publisher's keys"):
        read_client_keys(folder)
    with pytest.raises(ConfigError, match="holds a client's keys"):
        read_server_keys(folder / "for-clients" / "laptop")
    (folder / "server.key_secret").write_text("garbage")
    with pytest.raises(ConfigError, match="not a ZeroMQ certificate"):
        read_server_keys(folder)


def test_a_secret_key_is_never_printed(folder: Path) -> None:
    server = read_server_keys(folder)
    client = read_client_keys(folder / "for-clients" / "laptop")
    assert server.secret.decode() not in repr(server)
    assert client.secret.decode() not in repr(client)


def test_the_command_makes_keys_and_says_what_to_do_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "keys"
    assert main(["keys", "make", str(folder), "--client", "laptop", "--client", "tablet"]) == 0
    printed = capsys.readouterr().out
    assert str(folder / "for-clients" / "tablet") in printed
    assert "--keys" in printed
    assert client_names(folder) == ["laptop", "tablet"]
    assert main(["keys", "list", str(folder)]) == 0
    assert capsys.readouterr().out.split() == ["laptop", "tablet"]
    assert main(["keys", "remove", str(folder), "laptop"]) == 0
    assert client_names(folder) == ["tablet"]
    assert main(["keys", "remove", str(folder), "laptop"]) == 1
    assert "tablet" in capsys.readouterr().err
    assert command.SUMMARY

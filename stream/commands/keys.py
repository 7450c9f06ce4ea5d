"""`signspot keys`: make CURVE keys, and say which clients they let in."""

from __future__ import annotations

import argparse
from pathlib import Path

from stream.curve import client_names, make_client_keys, make_server_keys, read_server_keys, remove_client

SUMMARY = (
    "Make CURVE keys, so that messages can leave this machine encrypted and only chosen clients read them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = actions.add_parser("make", help="make the publisher's keys (once), and keys for clients")
    make.add_argument("folder", type=Path, metavar="DIR", help="where the keys are kept, on this machine")
    make.add_argument(
        "--client",
        action="append",
        default=[],
        metavar="NAME",
        help="let in one more client; may be repeated",
    )
    show = actions.add_parser("list", help="list the clients that are let in")
    show.add_argument("folder", type=Path, metavar="DIR", help="made by `signspot keys make`")
    remove = actions.add_parser("remove", help="lock a client out, from its next connection on")
    remove.add_argument("folder", type=Path, metavar="DIR", help="made by `signspot keys make`")
    remove.add_argument("name", metavar="NAME", help="as `signspot keys list` prints it")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    match args.action:
        case "make":
            make(args.folder, args.client)
        case "list":
            read_server_keys(args.folder)
            for name in client_names(args.folder):
                print(name)
        case "remove":
            read_server_keys(args.folder)
            remove_client(args.folder, args.name)
    return 0


def make(folder: Path, clients: list[str]) -> None:
    """Make what is missing, and say how it is used."""
    made = make_server_keys(folder)
    print(f"the publisher's keys {'are new' if made else 'were there already'}: {folder}")
    print(f"  signspot live --publish 'tcp://*:5570' --keys {folder}")
    for name in clients:
        bundle = make_client_keys(folder, name)
        print(f"keys for {name}: move the folder {bundle} to that machine, and there")
        print(f"  signspot listen --connect tcp://THIS-MACHINE:5570 --keys {name}")
    if not client_names(folder):
        print(f"no client is let in yet: signspot keys make {folder} --client NAME")

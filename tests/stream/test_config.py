"""Options from a file: every option, the command line winning, and errors that name the file and the way out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.errors import ConfigError
from stream.commands import keys, live
from stream.config import parse_with_config

COMMANDS = ("live", "listen", "keys", "tool")


def tool() -> argparse.ArgumentParser:
    """A parser with every form of option that Signspot's commands use."""
    parser = argparse.ArgumentParser(prog="tool")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--gallery", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--record-run", type=Path)
    parser.add_argument("-n", "--threads", type=int, default=1)
    parser.add_argument("--speed", choices=("realtime", "max"), default="realtime")
    parser.add_argument("--mirrored", action="store_true")
    parser.add_argument("--colour", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--kind", action="append", choices=("detection", "status"))
    parser.add_argument("--size", type=int, nargs=2)
    return parser


@pytest.fixture
def parse(tmp_path: Path) -> Callable[..., argparse.Namespace]:
    """Parse `tool` with a file of this text."""

    def parse(text: str, *words: str) -> argparse.Namespace:
        path = tmp_path / "some.toml"
        path.write_text(text, encoding="utf-8")
        return parse_with_config(tool(), ["--config", str(path), *words], "tool", COMMANDS)

    return parse


def test_every_form_of_option_can_stand_in_the_file(parse: Callable[..., argparse.Namespace]) -> None:
    args = parse(
        """
        [tool]
        source = "0"
        gallery = "my-signs"
        seconds = 3
        record-run = "runs/1"
        threads = 2
        speed = "max"
        mirrored = true
        colour = false
        kind = ["detection", "status"]
        size = [640, 480]
        """
    )
    assert args.source == "0"
    assert args.gallery == Path("my-signs")
    assert args.seconds == 3.0
    assert isinstance(args.seconds, float)
    assert args.record_run == Path("runs/1")
    assert (args.threads, args.speed, args.mirrored, args.colour) == (2, "max", True, False)
    assert args.kind == ["detection", "status"]
    assert args.size == [640, 480]


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(
    parse: Callable[..., argparse.Namespace],
) -> None:
    text = '[tool]\nsource = "0"\nthreads = 2\nkind = ["status"]\nspeed = "max"'
    args = parse(text, "--threads", "4", "--kind", "detection", "--source=1")
    assert (args.source, args.threads, args.speed, args.seconds) == ("1", 4, "max", 1.0)
    assert args.kind == ["detection"], "a repeated option on the command line replaces the file's list"


def test_an_option_that_may_be_repeated_may_stand_alone(parse: Callable[..., argparse.Namespace]) -> None:
    assert parse('[tool]\nsource = "0"\nkind = "status"').kind == ["status"]


def test_a_required_option_may_stand_in_the_file_alone(parse: Callable[..., argparse.Namespace]) -> None:
    assert parse('[tool]\nsource = "0"').source == "0"
    with pytest.raises(SystemExit):
        parse("[tool]\nthreads = 2")


def test_underscores_serve_as_well_as_dashes(parse: Callable[..., argparse.Namespace]) -> None:
    assert parse('[tool]\nsource = "0"\nrecord_run = "x"').record_run == Path("x")


def test_false_leaves_a_switch_off(parse: Callable[..., argparse.Namespace]) -> None:
    assert parse('[tool]\nsource = "0"\nmirrored = false').mirrored is False


def test_tables_of_other_commands_are_left_alone(parse: Callable[..., argparse.Namespace]) -> None:
    assert parse('[tool]\nsource = "0"\n[live]\nsource = "1"').source == "0"


def test_a_tilde_is_the_home_directory(
    parse: Callable[..., argparse.Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse('[tool]\nsource = "~"\ngallery = "~/signs"').gallery == Path("/home/me/signs")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[tool]\nsorce = "0"', ["sorce", "did you mean source?", "threads"]),  # misspelt option
        ("[tool]\nsource = 0", ["source", 'source = "0"', "not 0"]),  # a number where a string is meant
        ('[tool]\nthreads = "2"', ["threads", "whole number", '"2"']),
        ("[tool]\nthreads = true", ["threads", "whole number", "true"]),
        ("[tool]\nthreads = 1.5", ["threads", "whole number", "1.5"]),
        ('[tool]\nseconds = "long"', ["seconds", "must be a number"]),
        ('[tool]\nspeed = "maxx"', ["speed", "realtime, max", "did you mean max?"]),
        ('[tool]\nmirrored = "yes"', ["mirrored", "true or false"]),
        ("[tool]\nsize = 640", ["size", "a list in [ ]"]),
        ("[tool]\nkind = 3", ["kind", "a string", "not 3"]),
        ('[tool]\nkind = ["states"]', ["kind", "detection, status", "did you mean status?"]),
        ("[tool]\nsize = [640]", ["size", "list of 2"]),
        ("[tool]\nhelp = true", ["help", "is not an option"]),
        ('source = "0"', ["source", "outside a table", "[tool]"]),
        ('[toool]\nsource = "0"', ["[toool]", "did you mean tool?"]),  # misspelt command
        ("[tool\n", ["not TOML", "line 1"]),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file_and_the_remedy(
    parse: Callable[..., argparse.Namespace], text: str, says: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    for part in ["some.toml", *says]:
        assert part in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        parse_with_config(tool(), ["--config", str(tmp_path / "nowhere.toml")], "tool")


def test_an_abbreviated_config_is_refused_rather_than_passed_over(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse_with_config(tool(), ["--source", "0", "--conf", str(tmp_path / "x.toml")], "tool")


def test_words_after_a_double_dash_are_no_options(tmp_path: Path) -> None:
    args = parse_with_config(tool(), ["--source", "0", "--", "--config"], "tool")
    assert (args.folder, args.config) == (Path("--config"), None)


def test_no_file_is_read_that_was_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "SIGNSPOT.toml").write_text("[tool]\nthreads = 9")
    monkeypatch.chdir(tmp_path)
    assert parse_with_config(tool(), ["--source", "0"], "tool").threads == 1


def test_the_sub_commands_of_a_command_have_tables_within_its_own(tmp_path: Path) -> None:
    def parse(text: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        keys.add_arguments(parser)
        (tmp_path / "some.toml").write_text(text)
        words = ["make", "folder", "--config", str(tmp_path / "some.toml")]
        return parse_with_config(parser, words, "keys", COMMANDS)

    assert parse('[keys.make]\nclient = ["laptop"]').client == ["laptop"]
    with pytest.raises(ConfigError, match=r"\[keys\] mkae .* mean make"):
        parse('[keys.mkae]\nclient = ["laptop"]')
    with pytest.raises(ConfigError, match=r"\[keys.make\] cleint .* mean client"):
        parse('[keys.make]\ncleint = ["laptop"]')


def test_of_two_options_that_exclude_each_other_the_file_gives_one(tmp_path: Path) -> None:
    def parser() -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser()
        either = parser.add_mutually_exclusive_group(required=True)
        either.add_argument("--camera")
        either.add_argument("--file")
        return parser

    path = tmp_path / "some.toml"
    path.write_text('[tool]\ncamera = "0"')
    assert parse_with_config(parser(), ["--config", str(path)], "tool").camera == "0"
    path.write_text('[tool]\ncamera = "0"\nfile = "x"')
    with pytest.raises(ConfigError, match="cannot stand beside"):
        parse_with_config(parser(), ["--config", str(path)], "tool")


def test_every_option_of_the_live_command_can_stand_in_a_file(tmp_path: Path) -> None:
    # Written from each option's own default, so an option of a new form cannot be forgotten here.
    plain = argparse.ArgumentParser()
    live.add_arguments(plain)
    lines = ["[live]"]
    for action in plain._actions:
        name = action.option_strings[-1].lstrip("-")
        if name == "help":
            continue
        if action.nargs == 0:
            lines.append(f"{name} = true")
        elif isinstance(action, argparse._AppendAction):
            lines.append(f'{name} = ["x"]')
        elif action.type in (int, float):
            lines.append(f"{name} = 3")
        else:
            lines.append(f'{name} = "{next(iter(action.choices)) if action.choices else "x"}"')
    path = tmp_path / "live.toml"
    path.write_text("\n".join(lines))
    parser = argparse.ArgumentParser()
    live.add_arguments(parser)
    args = parse_with_config(parser, ["--config", str(path)], "live")
    assert args.source == ["x"]
    assert args.threads == 3
    assert args.encoder == ["x"]
    assert args.camera_fps == 3.0
    assert args.insecure is True

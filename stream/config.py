"""Options from a TOML file: every option of every command, one table a command; the command line wins.

    [live]
    source = "rtsp://camera/stream"
    gallery = "my-signs"

    [keys.make]                     # a command's own sub-command is a table within it
    client = ["laptop", "tablet"]

An option is named as on the command line, without the dashes at its front. Only the file named by `--config` is read.
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.errors import ConfigError

NEVER_IN_A_FILE = ("help", "version", "config")


def parse_with_config(
    parser: argparse.ArgumentParser, words: Sequence[str], command: str, commands: Iterable[str] = ()
) -> argparse.Namespace:
    """Parse a command line whose options may also stand in a file.

    Args:
        parser: with the command's options declared; gets `--config` and, from the file, other defaults.
        words: the command line after the command.
        command: whose table to read.
        commands: all commands there are, so that a misspelt table is noticed.

    Raises:
        ConfigError: the file cannot be read, or says something that no option can take.
    """
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file with options; those given here win"
    )
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    end = list(words).index("--") if "--" in words else len(words)
    # Taken out of the words here, it may stand anywhere, also behind a sub-command of the command.
    found, rest = finder.parse_known_args(words[:end])
    path = found.config
    if path is not None:
        tables = _read(path)
        known = sorted({command, *commands})
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise ConfigError(f"{path}: {name} stands outside a table; begin with [{command}]")
            if commands and name not in known:
                raise ConfigError(f"{path}: there is no command [{name}]{_instead(name, known)}")
        _apply(parser, tables.get(command, {}), _Place(path, command))
    args = _parsed(parser, [*rest, *words[end:]])
    if args.config is not None:
        parser.error("--config cannot be abbreviated")
    args.config = path
    return args


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse so that words may stand behind options too, as in `gallery nudge --gallery DIR HELLO 0.3`.

    `parse_args` takes all plain words from the first place where there are any. What `parse_intermixed_args` cannot do
    are sub-commands (which begin anew by themselves) and `--`.
    """
    nested = any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)
    return parser.parse_args(words) if nested or "--" in words else parser.parse_intermixed_args(words)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a file one is, for errors."""

    path: Path
    table: str

    def error(self, key: str, says: str) -> ConfigError:
        return ConfigError(f"{self.path}: [{self.table}] {key} {says}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except ValueError as error:  # tomllib.TOMLDecodeError and UnicodeDecodeError are kinds of it
        raise ConfigError(f"the configuration {path} is not TOML: {error}") from error


def _apply(parser: argparse.ArgumentParser, table: dict[str, Any], place: _Place) -> None:
    """Make a table's values the defaults of a parser."""
    options = {
        flag.lstrip("-"): action
        for action in parser._actions
        for flag in action.option_strings
        if flag.startswith("--") and flag.lstrip("-") not in NEVER_IN_A_FILE
    }
    inner = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})
    for name, value in table.items():
        if isinstance(value, dict) and name in inner:
            _apply(inner[name], value, _Place(place.path, f"{place.table}.{name}"))
            continue
        key = name.replace("_", "-")
        if key not in options:
            raise place.error(name, f"is not an option{_instead(key, [*options, *inner])}")
        action = options[key]
        default = _value(action, value, _Where(place, name))
        if default is not None:
            action.default = default
        action.required = False
    for group in parser._mutually_exclusive_groups:
        given = [name for name in table if options.get(name.replace("_", "-")) in group._group_actions]
        if len(given) > 1:
            raise place.error(given[0], f"cannot stand beside {given[1]}")
        if given:
            group.required = False


@dataclass(frozen=True, slots=True)
class _Where:
    """One entry of a file, for errors."""

    place: _Place
    name: str

    def must_be(self, what: str, value: Any) -> ConfigError:
        return self.place.error(self.name, f"must be {what}, not {_toml(value)}")


class _Replaceable(list[Any]):
    """A list of defaults that the first value on the command line replaces.

    argparse copies the default of an option that may be repeated, and appends to the copy.
    """

    def __copy__(self) -> list[Any]:
        return []


def _value(action: argparse.Action, value: Any, where: _Where) -> Any:
    """What argparse would have made of the value on the command line; None to leave the default."""
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            raise where.must_be("true or false", value)
        if isinstance(action, argparse.BooleanOptionalAction):
            return value
        return action.const if value else None
    repeated = isinstance(action, argparse._AppendAction)
    if repeated and action.nargs is None and not isinstance(value, list):
        value = [value]  # what may be given several times may be given once
    if repeated or action.nargs in ("*", "+") or isinstance(action.nargs, int):
        if not isinstance(value, list):
            raise where.must_be("a list in [ ]", value)
        if isinstance(action.nargs, int) and not repeated and len(value) != action.nargs:
            raise where.must_be(f"a list of {action.nargs}", value)
        flat = not repeated or isinstance(action, argparse._ExtendAction)
        if not flat and action.nargs is not None:
            raise where.must_be("given on the command line: it is a list of lists", value)
        return _Replaceable(_one(action, entry, where) for entry in value)
    return _one(action, value, where)


def _one(action: argparse.Action, value: Any, where: _Where) -> Any:
    """Convert and check one value."""
    kind = action.type
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise where.must_be("a whole number", value)
    elif kind is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise where.must_be("a number", value)
        value = float(value)
    elif kind in (None, str, Path) or isinstance(value, bool | list | dict):
        if not isinstance(value, str):
            raise where.must_be(f'a string, as in {where.name} = "0"', value)
        if kind is Path:
            value = Path(value).expanduser()  # on the command line the shell does it
    elif callable(kind):
        try:
            value = kind(value if isinstance(value, str) else str(value))
        except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
            raise where.must_be(f"usable ({error})", value) from error
    if action.choices is not None and value not in action.choices:
        choices = [str(choice) for choice in action.choices]
        raise where.must_be(f"one of {', '.join(choices)}{_near(str(value), choices)}", value)
    return value


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _instead(word: str, known: Sequence[str]) -> str:
    return f"{_near(word, known)}; there are: {', '.join(sorted(known))}"

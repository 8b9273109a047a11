"""The configuration file of C{xfer}: C{config.toml}, its keys and their types."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from xferproto.model.escape import printable

MAX_FILE = 1024 * 1024
"""The most bytes that a configuration file has."""

MAX_JOBS = 100
"""The most connections at once."""

MAX_TRIES = 999_999
"""The most tries of a request."""


@dataclass(frozen=True)
class Config:
    """
    The content of a configuration file.

    @ivar path: the file's path, also if it does not exist.
    @ivar default: the name of the server to use when none is named; it need not be among them.
    @ivar values: the settings for all servers, by the option's name.
    @ivar servers: the settings of each server, by its name.
    """

    path: Path
    default: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def default_path() -> Path:
    """
    Return the default path of the file: C{xfer/config.toml} in C{$XDG_CONFIG_HOME} or
    C{~/.config}, on macOS in C{~/Library/Application Support}.
    """
    return Path(click.get_app_dir("xfer", force_posix=False)) / "config.toml"


def read_config(path: str | None) -> Config:
    """
    Read a configuration file.

    @param path: None for the default path, where there need not be a file.
    @raise click.UsageError: the file can't be read, or has a mistake; the text says where.
    """
    file = default_path() if path is None else Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if path is None:
            return Config(file)
        raise _wrong(file, error.strerror or "not found") from None
    except OSError as error:
        raise _wrong(file, error.strerror or str(error)) from None
    except ValueError as error:  # a path that holds a zero byte
        raise _wrong(file, str(error)) from None
    if len(content) > MAX_FILE:
        raise _wrong(file, f"the file has more than {MAX_FILE} bytes")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _wrong(file, f"the file is not UTF-8, at byte {error.start}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(file, f"the file is not TOML: {error}") from None
    return _checked(file, table)


def _checked(file: Path, table: dict[str, Any]) -> Config:
    default = table.pop("default", None)
    servers = table.pop("servers", {})
    if default is not None and not isinstance(default, str):
        raise _wrong(file, f"default is the name of a server, not {_kind(default)}")
    if not isinstance(servers, dict):
        raise _wrong(
            file, f"servers is a table of tables, as in [servers.lab], not {_kind(servers)}"
        )
    values = _values(file, "", table, {**SERVER_KEYS, **GENERAL_KEYS})
    named = {}
    for name, entries in servers.items():
        place = f"servers.{printable(name)}"
        if not isinstance(entries, dict):
            raise _wrong(file, f"{place} is a table, as in [servers.lab], not {_kind(entries)}")
        named[name] = _values(file, f"{place}.", entries, SERVER_KEYS)
    return Config(file, default, values, named)


def unknown_server(name: str, known: Mapping[str, Any]) -> str:
    """Format a message about a server's name that is not in the file."""
    there = f"it has {', '.join(map(printable, known))}" if known else "it has none"
    return f"there is no server {printable(name)}; {there}"


def _values(
    file: Path, place: str, table: Mapping[str, Any], keys: Mapping[str, Callable[..., Any]]
) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        take = keys.get(key)
        if take is None:
            near = difflib.get_close_matches(key, [*keys, *(() if place else ("default",))], 1)
            hint = f"do you mean {near[0]}?" if near else f"the keys are {', '.join(keys)}"
            raise _wrong(file, f"{place}{printable(key)} is not a key; {hint}")
        try:
            values[key.replace("-", "_")] = take(value, file)
        except ValueError as error:
            raise _wrong(file, f"{place}{key} {error}, not {_kind(value)}") from None
    return values


def _text(value: Any, file: Path) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("is a text")
    return value


def _path(value: Any, file: Path) -> str:
    """Resolve a path relative to the configuration file."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("is the path of a file")
    try:
        expanded = Path(value).expanduser()
    except RuntimeError:
        raise ValueError("is the path of a file, with an existing user") from None
    return str(file.parent / expanded)


def _switch(value: Any, file: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def _number(least: int, most: int) -> Callable[[Any, Path], int]:
    def take(value: Any, file: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"is a number from {least} to {most}")
        return value

    return take


SERVER_KEYS: Mapping[str, Callable[[Any, Path], Any]] = {
    "host": _text,
    "port": _number(1, 65535),
    "endpoint": _text,
    "tls": _switch,
    "ca": _path,
    "fingerprint": _text,
    "cert": _path,
    "key": _path,
    "user": _text,
    "password-file": _path,
    "jobs": _number(1, MAX_JOBS),
    "tries": _number(1, MAX_TRIES),
}
"""The keys of a server's table; above all tables they hold for every server."""

GENERAL_KEYS: Mapping[str, Callable[[Any, Path], Any]] = {"progress": _switch}
"""The keys that are allowed above all tables only, beside C{default}."""


def _kind(value: Any) -> str:
    """Name the type of a TOML value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return f'"{printable(value)[:60]}"'
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else "a time"


def _wrong(file: Path, what: str) -> click.UsageError:
    return click.UsageError(f"{printable(str(file))}: {what}")

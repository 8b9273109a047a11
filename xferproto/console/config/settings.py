"""The settings of a run: flags over variables over the configuration file."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import click

from xferproto.console.config.file import Config, read_config, unknown_server
from xferproto.model.escape import printable

DEFAULT_HOST = "127.0.0.1"

DEFAULT_PORT = 9000

JOBS = 4

TRIES = 5

VARIABLES = "XFER_"
"""The prefix of the names of variables."""

WITH_TLS = ("ca", "fingerprint", "cert", "key")
"""The options that go with TLS only."""


@dataclass(frozen=True)
class Settings:
    """
    The settings of a subcommand.

    @ivar server: the depot as messages call it: C{lab (depot.example port 9000 with TLS)}.
    @ivar host: the depot's host, unless there is an C{endpoint}.
    @ivar port: its TCP port.
    @ivar endpoint: a Twisted client endpoint string, instead of host and port.
    @ivar tls: whether to connect with TLS.
    @ivar ca: a PEM file of the certificates to trust.
    @ivar fingerprint: of the depot's certificate.
    @ivar cert: a PEM file of the user's own certificate.
    @ivar key: a PEM file of its key.
    @ivar user: the user to log in as; None for no login.
    @ivar password_file: the file whose first line is the password.
    @ivar jobs: connections at once.
    @ivar tries: how often to try a request.
    @ivar quiet: whether to print failures and requested results only.
    @ivar json: whether to print JSON.
    @ivar progress: whether to show progress bars: they are wanted, and standard error is a terminal
        that can show them.
    """

    server: str
    host: str
    port: int
    endpoint: str | None
    tls: bool
    ca: str | None
    fingerprint: str | None
    cert: str | None
    key: str | None
    user: str | None
    password_file: str | None
    jobs: int
    tries: int
    quiet: bool
    json: bool
    progress: bool


class Level(NamedTuple):
    """
    The settings of one origin.

    @ivar values: by the option's name.
    @ivar origin: the file and its table; L{VARIABLES}; empty for the command line.
    """

    values: Mapping[str, Any]
    origin: str


class Levels:
    """
    Combine the settings of several origins, in the order of their precedence.

    @param levels: the origins.
    """

    def __init__(self, levels: Iterable[Level]) -> None:
        self._levels = tuple(levels)

    def find(self, *names: str) -> int | None:
        """Return the index of the first origin with one of these options."""
        for number, level in enumerate(self._levels):
            if any(name in level.values for name in names):
                return number
        return None

    def get(self, name: str, default: Any = None, down_to: int | None = None) -> Any:
        """
        Return the value with the highest precedence.

        @param down_to: the last level that is considered; None for all.
        """
        last = len(self._levels) if down_to is None else down_to + 1
        for level in self._levels[:last]:
            if name in level.values:
                return level.values[name]
        return default

    def password_file(self, user: str | None) -> str | None:
        """Return the password's file, unless it belongs to another user."""
        for level in self._levels:
            if "password_file" in level.values and level.values.get("user", user) == user:
                return str(level.values["password_file"])
        return None

    def called(self, name: str) -> str:
        """Return the name of an option in messages, by its origin."""
        at = self.find(name)
        origin = "" if at is None else self._levels[at].origin
        if origin == VARIABLES:
            return VARIABLES + name.upper()
        spelled = name.replace("_", "-")
        return f"{origin}: {spelled}" if origin else f"--{spelled}"


def choose(flags: Mapping[str, Any], variables: Mapping[str, Any]) -> Settings:
    """
    Combine flags, variables and the configuration file.

    Flags have precedence over variables, variables over the table of a server, that over the
    settings for all servers. The table of a server that a flag names has precedence over variables.

    @raise click.UsageError: a setting is wrong; the text is one line.
    """
    config = read_config(flags.get("config", variables.get("config")))
    levels, name = _levels(config, flags, variables)
    where = levels.find("host", "endpoint")
    host = levels.get("host", DEFAULT_HOST, where)
    # A port beside another host is not taken; one for all servers is.
    general = DEFAULT_PORT if "host" in config.values else config.values.get("port", DEFAULT_PORT)
    port = levels.get("port", general, where)
    endpoint = None if where is None else levels.get("endpoint", None, where)
    if where is not None and endpoint is not None:
        for other in ("host", "port"):
            found = levels.find(other)
            if found is not None and found <= where:
                raise click.UsageError(f"{levels.called(other)} goes without an endpoint")
    tls = _tls(levels, endpoint)
    user = levels.get("user")
    password_file = levels.password_file(user)
    if user is None and password_file is not None:
        raise click.UsageError(f"{levels.called('password_file')} takes a user (--user NAME)")
    quiet, json = bool(levels.get("quiet")), bool(levels.get("json"))
    return Settings(
        server=_described(name, host, port, endpoint, tls),
        host=host,
        port=port,
        endpoint=endpoint,
        tls=tls,
        ca=levels.get("ca") if tls else None,
        fingerprint=levels.get("fingerprint") if tls else None,
        cert=levels.get("cert") if tls else None,
        key=levels.get("key", None, levels.find("cert")) if tls else None,
        user=user,
        password_file=password_file,
        jobs=levels.get("jobs", JOBS),
        tries=levels.get("tries", TRIES),
        quiet=quiet,
        json=json,
        progress=bool(levels.get("progress", True))
        and not (quiet or json or levels.get("no_progress"))
        and _shows_bars(),
    )


def _levels(
    config: Config, flags: Mapping[str, Any], variables: Mapping[str, Any]
) -> tuple[Levels, str | None]:
    """Return the levels, and the name of the server whose table is among them."""
    high, low = dict(flags), dict(variables)
    named: str | None = None
    by_flag = "server" in flags
    if by_flag:
        named = _place(config, flags["server"], high, "--server")
    elif not {"host", "endpoint"} & high.keys():
        if "server" in variables:
            named = _place(config, variables["server"], low, "XFER_SERVER")
        elif not {"host", "endpoint"} & low.keys():
            named = config.default
            if named is not None and named not in config.servers:
                unknown = unknown_server(named, config.servers)
                raise click.UsageError(f"{printable(str(config.path))}: default: {unknown}")
    origin = printable(str(config.path))
    levels = [Level(high, "")]
    variable_level = Level(low, VARIABLES)
    table_level = Level({}, "")
    if named is not None:
        table_level = Level(config.servers[named], f"{origin}: servers.{printable(named)}")
    levels += [table_level, variable_level] if by_flag else [variable_level, table_level]
    levels.append(Level(config.values, origin))
    return Levels(levels), named


def _place(config: Config, text: str, values: dict[str, Any], option: str) -> str | None:
    """
    Resolve a server: return its name if it is in the file; else put its address into C{values}.
    """
    if text in config.servers:
        return text
    address = parse_address(text)
    if address is None:
        shown = printable(text)
        raise click.UsageError(
            f"{option}: {printable(str(config.path))}: {unknown_server(text, config.servers)}; "
            f"a host of that name is --host {shown} or {shown}:{DEFAULT_PORT}"
        )
    for name in ("host", "endpoint"):
        if name in values:
            raise click.UsageError(f"{option} {printable(text)} goes without --{name}")
    values["host"] = address[0]
    if address[1] is not None:
        if "port" in values:
            raise click.UsageError(
                f"{option} {printable(text)} has a port already; leave --port out"
            )
        values["port"] = address[1]
    return None


def parse_address(text: str) -> tuple[str, int | None] | None:
    """
    Parse C{HOST}, C{HOST:PORT}, C{[IPV6]}, C{[IPV6]:PORT} or an IPv6 address into host and port.
    None for a single word, which could be anything.
    """
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]/\s]+))(?::([0-9]{1,5}))?", text)
    if match is None:
        return (text, None) if _is_ipv6(text) else None
    if match[1] is not None and not _is_ipv6(match[1]):
        return None
    port = None if match[3] is None else int(match[3])
    if port is not None and not 1 <= port <= 65535:
        return None
    host = match[1] or match[2]
    if port is None and match[1] is None and "." not in host and host != "localhost":
        return None
    return host, port


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _tls(levels: Levels, endpoint: str | None) -> bool:
    """
    Return whether to connect with TLS.

    @raise click.UsageError: a TLS option is given without TLS, which is never ignored silently.
    """
    said = levels.find("tls")
    tls = bool(levels.get("tls", False))
    if tls and endpoint is not None:
        raise click.UsageError(
            f"{levels.called('tls')} goes with host and port, not with an endpoint; "
            "give --no-tls to connect without"
        )
    for name in WITH_TLS:
        at = levels.find(name)
        if at is not None and not tls and (said is None or at <= said):
            raise click.UsageError(
                f"{levels.called(name)} goes with TLS; give --tls, or --no-tls to do without"
            )
    if tls:
        if levels.find("key") is not None and levels.find("cert") is None:
            raise click.UsageError(f"{levels.called('key')} goes with --cert")
        if levels.find("fingerprint") is not None:
            from xferproto.net.certificates import parse_fingerprint

            try:
                parse_fingerprint(levels.get("fingerprint"))
            except ValueError as error:
                raise click.UsageError(f"{levels.called('fingerprint')}: {error}") from None
    return tls


def _described(name: str | None, host: str, port: int, endpoint: str | None, tls: bool) -> str:
    where = f"{host} port {port}" if endpoint is None else endpoint
    where = printable(where) + (" with TLS" if tls else "")
    return where if name is None else f"{printable(name)} ({where})"


def _shows_bars() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

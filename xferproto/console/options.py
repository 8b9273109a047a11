"""The options that every subcommand of C{xfer} takes, before its name and after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from xferproto.console.config import MAX_JOBS, MAX_TRIES
from xferproto.console.settings import Settings, choose

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass
class Chosen:
    """
    What was given of these options; C{ctx.obj} of every subcommand.

    @ivar flags: by the command line, from the option's name.
    @ivar variables: by C{XFER_…} variables.
    """

    flags: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> Settings:
        """
        All of it, with what the configuration file has.

        @raise click.UsageError: something is wrong; told in one line.
        """
        return choose(self.flags, self.variables)


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Put a value where L{Chosen} has it; what stands behind the subcommand's name counts more."""
    chosen = ctx.find_root().ensure_object(Chosen)
    assert parameter.name is not None
    source = ctx.get_parameter_source(parameter.name)
    if source is ParameterSource.COMMANDLINE:
        chosen.flags[parameter.name] = value
    elif source is ParameterSource.ENVIRONMENT:
        chosen.variables[parameter.name] = value


class ServerOption(click.Option):
    """One of them; its help stands apart."""


def _option(*names: str, variable: str, help: str, **more: Any) -> Callable[[F], F]:
    return click.option(
        *names,
        cls=ServerOption,
        envvar=variable,
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        default=None,
        help=help,
        **more,
    )


_OPTIONS = (
    _option(
        *("-s", "--server"),
        variable="XFER_SERVER",
        metavar="NAME",
        help="A server of config.toml, or HOST:PORT.",
    ),
    _option("--host", variable="XFER_HOST", metavar="HOST", help="The depot's host. [127.0.0.1]"),
    _option(
        *("-p", "--port"),
        variable="XFER_PORT",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Its TCP port. [9000]",
    ),
    _option(
        "--endpoint",
        variable="XFER_ENDPOINT",
        metavar="TEXT",
        help="A Twisted client endpoint instead, as in unix:/run/xfer.",
    ),
    _option(
        "--tls/--no-tls",
        variable="XFER_TLS",
        help="Connect with TLS, and check who is there.",
    ),
    _option(
        "--ca",
        variable="XFER_CA",
        metavar="FILE",
        help="PEM file of the certificates to trust, instead of the platform's.",
    ),
    _option(
        "--fingerprint",
        variable="XFER_FINGERPRINT",
        metavar="HEX",
        help="SHA-256 that the depot's certificate has to have; then nothing else counts.",
    ),
    _option(
        "--cert",
        variable="XFER_CERT",
        metavar="FILE",
        help="PEM file of your own certificate.",
    ),
    _option(
        "--key",
        variable="XFER_KEY",
        metavar="FILE",
        help="PEM file of its key, unless --cert has it.",
    ),
    _option(
        *("-u", "--user"),
        variable="XFER_USER",
        metavar="NAME",
        help="User to log in as; for the password see xfer login -h.",
    ),
    _option(
        "--password-file",
        variable="XFER_PASSWORD_FILE",
        metavar="FILE",
        help="File whose first line is the password.",
    ),
    _option(
        *("-j", "--jobs"),
        variable="XFER_JOBS",
        type=click.IntRange(1, MAX_JOBS),
        metavar="N",
        help="Connections at once. [4]",
    ),
    _option(
        "--tries",
        variable="XFER_TRIES",
        type=click.IntRange(1, MAX_TRIES),
        metavar="N",
        help="How often each request is tried when the connection is lost. [5]",
    ),
    _option(
        *("-q", "--quiet"),
        variable="XFER_QUIET",
        is_flag=True,
        help="No notes, no bars, no summary: failures only, and what was asked for.",
    ),
    _option(
        "--json",
        variable="XFER_JSON",
        is_flag=True,
        help="One JSON object a line, on standard output.",
    ),
    _option(
        "--no-progress",
        variable="XFER_NO_PROGRESS",
        is_flag=True,
        help="No bars, on a terminal either.",
    ),
    _option(
        "--config",
        variable="XFER_CONFIG",
        metavar="FILE",
        help="Configuration file, instead of config.toml in the user's directory.",
    ),
)


def server_options(function: F) -> F:
    """Let a subcommand take them all; they are in C{ctx.obj}, not among its arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class XferCommand(click.Command):
    """A subcommand whose help has its own options first, and those of all apart."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_options(self, ctx, formatter)


def format_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the options of a command's help, in two parts."""
    own: list[tuple[str, str]] = []
    common: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            (common if isinstance(parameter, ServerOption) else own).append(record)
    with formatter.section("Options"):
        formatter.write_dl(own)
    with formatter.section("Options of every command"):
        formatter.write_dl(common)


def command(name: str, **more: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """As C{click.command}, with L{server_options}, and a context as all have it."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        made: click.Command = click.command(
            name, cls=XferCommand, context_settings=CONTEXT, **more
        )(server_options(function))
        return made

    return decorate

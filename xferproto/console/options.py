"""The options that every subcommand of C{xfer} takes, before its name and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from xferproto.console.config.file import MAX_JOBS, MAX_TRIES, read_config
from xferproto.console.config.settings import Settings, choose
from xferproto.model.escape import printable

F = TypeVar("F", bound=Callable[..., Any])

STDIN = "-"
"""Standard input, or standard output, in place of a path."""

CONTEXT = {"help_option_names": ["-h", "--help"]}

RECURSIVE = dict.fromkeys(("-r", "-R", "--recursive"), "directories need no such option")
"""What C{put} and C{get} say of an option that other programs have for directories."""


@dataclass
class Chosen:
    """
    The values of these options; C{ctx.obj} of every subcommand.

    @ivar flags: those of the command line, by the option's name.
    @ivar variables: those of C{XFER_…} variables, by the option's name.
    """

    flags: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> Settings:
        """
        Combine these values with the configuration file.

        @raise click.UsageError: a value is wrong; the text is one line.
        """
        return choose(self.flags, self.variables)


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a value in L{Chosen}; one after the subcommand's name has precedence."""
    chosen = ctx.find_root().ensure_object(Chosen)
    assert parameter.name is not None
    source = ctx.get_parameter_source(parameter.name)
    if source is ParameterSource.COMMANDLINE:
        _check_given(ctx, parameter, value)
        chosen.flags[parameter.name] = value
    elif source is ParameterSource.ENVIRONMENT:
        chosen.variables[parameter.name] = value


def _check_given(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """
    Refuse an empty value on the command line: usually a shell variable is not set.

    @raise click.UsageError: the value is empty.
    """
    if value == "" or (isinstance(value, tuple) and "" in value):
        named = isinstance(parameter, click.Option)
        what = max(parameter.opts, key=len) if named else "an argument"
        raise click.UsageError(f"{what} is empty; is a variable not set?", ctx)


OFTEN = ("server", "user", "jobs", "quiet", "json")
"""The options that the help of every subcommand lists."""


class Number(click.IntRange):
    """
    A whole number of a command line or a variable.

    @param what: what it is, with its article; for messages.
    """

    def __init__(self, what: str, least: int, most: int) -> None:
        super().__init__(least, most)
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "":
            self.fail("it is empty; is a variable not set?")
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{printable(str(value))} is not {self._what}, {self.min} to {self.max}")
        return number


class ServerOption(click.Option):
    """One of these options; its help is in a section of its own, and names its variable."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        return self.opts_and_metavar(), f"{self.help}  [{self.envvar}]"

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            refused = error
        assert self.name is not None
        if isinstance(self.type, click.types.BoolParamType):
            text = f"{printable(str(value))} is not 1 (yes) or 0 (no)"
            refused = click.BadParameter(text, ctx, self)
        if ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            refused.param_hint = str(self.envvar)
        raise refused

    def opts_and_metavar(self) -> str:
        """Format the option as in C{-p, --port PORT}."""
        names = ", ".join(sorted(self.opts, key=len))
        if self.secondary_opts:
            return f"{names}, {', '.join(self.secondary_opts)}"
        return names if self.is_flag else f"{names} {self.metavar}"


def _option(*names: str, variable: str, help: str, **more: Any) -> Callable[[F], F]:
    return click.option(
        *names,
        cls=ServerOption,
        envvar=variable,
        expose_value=False,
        callback=_keep,
        default=None,
        help=help,
        **more,
    )


def _servers(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a server; without suggestions if the file can't be read."""
    chosen = ctx.find_root().ensure_object(Chosen)
    try:
        config = read_config(chosen.flags.get("config", chosen.variables.get("config")))
    except click.UsageError:
        return []
    return [
        CompletionItem(name, help=str(values.get("host", values.get("endpoint", ""))))
        for name, values in config.servers.items()
        if name.startswith(incomplete) and name.isprintable()
    ]


_OPTIONS = (
    _option(
        *("-s", "--server"),
        variable="XFER_SERVER",
        metavar="NAME",
        shell_complete=_servers,
        help="A server of config.toml, or HOST:PORT.",
    ),
    _option(
        "--host",
        variable="XFER_HOST",
        metavar="HOST",
        help="The depot's host; 127.0.0.1 if not given.",
    ),
    _option(
        *("-p", "--port"),
        variable="XFER_PORT",
        type=Number("a port", 1, 65535),
        metavar="PORT",
        help="Its TCP port; 9000 if not given.",
    ),
    _option(
        "--endpoint",
        variable="XFER_ENDPOINT",
        metavar="TEXT",
        help="A Twisted client endpoint instead of host and port, as in unix:/run/xfer.",
    ),
    _option(
        "--tls/--no-tls",
        variable="XFER_TLS",
        help="Connect with TLS, and check the depot's certificate.",
    ),
    _option(
        "--ca",
        type=click.Path(),
        variable="XFER_CA",
        metavar="FILE",
        help="PEM file of the certificates to trust, instead of the platform's.",
    ),
    _option(
        "--fingerprint",
        variable="XFER_FINGERPRINT",
        metavar="HEX",
        help="SHA-256 of the depot's certificate; its name and issuer do not count then.",
    ),
    _option(
        "--cert",
        type=click.Path(),
        variable="XFER_CERT",
        metavar="FILE",
        help="PEM file of your own certificate.",
    ),
    _option(
        "--key",
        type=click.Path(),
        variable="XFER_KEY",
        metavar="FILE",
        help="PEM file of the certificate's key, unless --cert contains it.",
    ),
    _option(
        *("-u", "--user"),
        variable="XFER_USER",
        metavar="NAME",
        help="User to log in as; for the password see xfer login -h.",
    ),
    _option(
        "--password-file",
        type=click.Path(),
        variable="XFER_PASSWORD_FILE",
        metavar="FILE",
        help="File whose first line is the password.",
    ),
    _option(
        *("-j", "--jobs"),
        variable="XFER_JOBS",
        type=Number("a number of connections", 1, MAX_JOBS),
        metavar="N",
        help="Connections at once; 4 if not given.",
    ),
    _option(
        "--tries",
        variable="XFER_TRIES",
        type=Number("a number of tries", 1, MAX_TRIES),
        metavar="N",
        help="How often to try a request when the connection is lost; 5 if not given.",
    ),
    _option(
        *("-q", "--quiet"),
        variable="XFER_QUIET",
        is_flag=True,
        help="Print only failures and requested results; no notes, bars or summary.",
    ),
    _option(
        "--json",
        variable="XFER_JSON",
        is_flag=True,
        help="Print JSON, one object per line.",
    ),
    _option(
        "--no-progress",
        variable="XFER_NO_PROGRESS",
        is_flag=True,
        help="No progress bars, also on a terminal.",
    ),
    _option(
        "--config",
        type=click.Path(),
        variable="XFER_CONFIG",
        metavar="FILE",
        help="Configuration file, instead of config.toml in the user's directory.",
    ),
)


def server_options(function: F) -> F:
    """Give a subcommand all these options; their values are in C{ctx.obj}."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class XferCommand(click.Command):
    """
    A subcommand that refuses empty values, and whose help lists its own options first, then the
    most used of the common ones.

    @ivar unneeded: what to say of options of other programs that it does not need.
    """

    def __init__(self, *arguments: Any, unneeded: Mapping[str, str] = {}, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.unneeded = unneeded

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if (advice := self.unneeded.get(error.option_name)) is not None:
                raise click.UsageError(f"There is no {error.option_name}; {advice}", ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        for parameter in self.get_params(ctx):
            assert parameter.name is not None
            if ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
                _check_given(ctx, parameter, ctx.params.get(parameter.name))
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        own = [one for one in options if not isinstance(one, ServerOption)]
        often = [one for one in options if isinstance(one, ServerOption) and one.name in OFTEN]
        write_options(ctx, formatter, "Options", own)
        write_options(ctx, formatter, "Options of every command (xfer -h shows all)", often)


def write_options(
    ctx: click.Context, formatter: click.HelpFormatter, title: str, options: Iterable[click.Option]
) -> None:
    """Write a section of a help."""
    with formatter.section(title):
        formatter.write_dl(list(filter(None, (one.get_help_record(ctx) for one in options))))


def command(name: str, **more: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a subcommand like C{click.command}, with L{server_options} and the common context."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        made: click.Command = click.command(
            name, cls=XferCommand, context_settings=CONTEXT, **more
        )(server_options(function))
        return made

    return decorate

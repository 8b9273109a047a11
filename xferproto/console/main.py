"""The command C{xfer}; a subcommand is imported when it is called."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from xferproto.console.options import (
    CONTEXT,
    Chosen,
    ServerOption,
    server_options,
    write_options,
)
from xferproto.model.escape import printable
from xferproto.version import __version__

__all__ = ["main", "server_options", "xfer"]

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


class Place(NamedTuple):
    """
    The location of a subcommand.

    @ivar path: its module and its name there.
    @ivar what: its line in the help of C{xfer}.
    """

    path: str
    what: str


COMMANDS = {
    "put": Place("put:put", "Store files and directories."),
    "get": Place("get:get", "Fetch files."),
    "ls": Place("listing:ls", "List names."),
    "stat": Place("listing:stat", "Show what the depot knows of a file."),
    "verify": Place("verify:verify", "Let the depot hash stored files again."),
    "rm": Place("rm:rm", "Remove names; the content goes with its last name."),
    "sums": Place("sums:sums", "Print hashes in the format of md5sum and sha256sum."),
    "ping": Place("ping:ping", "Test the connection: connect, log in, time the answers."),
    "watch-status": Place(
        "watch_status:watch_status", "Show what the unattended client of a directory is doing."
    ),
    "login": Place("login:login", "Store a password in the keyring."),
    "completion": Place("completion:completion", "Print the completion script for a shell."),
}
"""The subcommands, in the order of the help."""

INSTEAD = {
    "help": "xfer -h lists the commands, xfer COMMAND -h the options of one",
    **dict.fromkeys(("upload", "push", "send", "store"), "xfer put PATH stores files"),
    **dict.fromkeys(("download", "pull", "fetch", "mget"), "xfer get NAME fetches files"),
    "mput": "xfer put PATH... stores files",
    **dict.fromkeys(("cp", "copy", "sync", "rsync"), "use xfer put to store, xfer get to fetch"),
    **dict.fromkeys(("list", "dir"), "xfer ls lists names"),
    **dict.fromkeys(("delete", "del", "remove"), "xfer rm removes names"),
    "rmdir": "xfer rm -r DIRECTORY removes everything below it",
    "mkdir": "a depot has no empty directories; use xfer put --prefix DIRECTORY",
    **dict.fromkeys(
        ("mv", "move", "rename"),
        "store the file under the new name (xfer put --name), then xfer rm the old one",
    ),
    "cat": "xfer get NAME -o - writes to standard output",
    **dict.fromkeys(("md5sum", "sha256sum", "hash"), "xfer sums prints hashes"),
    **dict.fromkeys(("check", "fsck"), "xfer verify checks stored files"),
    "info": "xfer stat shows what the depot knows of a file",
    "status": "xfer watch-status shows an unattended client, xfer ping tests the connection",
}
"""Commands of other programs, and what to give here."""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is called, and not for its help or completion."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.path.partition(":")
        found: click.Command = getattr(
            importlib.import_module(f"xferproto.console.commands.{module}"), name
        )
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        given = args[0]
        if given in COMMANDS or given.startswith("-"):
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(given, COMMANDS, 1)
        advice = f"do you mean xfer {near[0]}?" if near else "xfer -h lists the commands"
        advice = INSTEAD.get(given.lower(), advice)
        raise click.UsageError(f"There is no command {printable(given)[:60]}; {advice}", ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.what) for name, place in COMMANDS.items()])
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        own = [one for one in options if not isinstance(one, ServerOption)]
        common = [one for one in options if isinstance(one, ServerOption)]
        write_options(ctx, formatter, "Options", own)
        write_options(ctx, formatter, "Options of every command, before its name or after", common)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        items = [
            CompletionItem(name, help=place.what)
            for name, place in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=LazyGroup,
    context_settings=CONTEXT,
    epilog="""\b
Examples:
  xfer put report.pdf photos/       store a file and a directory
  xfer ls photos/ -l                list what is stored below photos/
  xfer get photos -o /tmp           fetch it into /tmp/photos
  xfer -s lab ls                    use the depot that config.toml calls lab
  xfer -s depot.example:9000 --tls ping

See also `xfer COMMAND -h`. Exit status: 0 all done and verified, 1 something failed, 2 wrong usage,
130 interrupted.""",
)
@click.version_option(__version__, prog_name="xfer", message="%(prog)s %(version)s")
@server_options
@click.pass_context
def xfer(ctx: click.Context) -> None:
    """Store files in an xfer depot, and fetch them; client and server hash every byte."""
    ctx.ensure_object(Chosen)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command, and exit with its status."""
    try:
        status = xfer.main(arguments, prog_name="xfer", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(error.exit_code)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "xfer"
        print(f"xfer: {error.format_message()} (see {where} -h)", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        print(f"xfer: {error.format_message()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("xfer: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()

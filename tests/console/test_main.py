"""The frame of the console command: what it imports, its help, its table, its first connection."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import click
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.client.test_protocol import Script
from tests.support.console import environment
from tests.support.processes import PATIENCE, new_directory
from xferproto.console.first_connection import FirstTry
from xferproto.console.main import COMMANDS, xfer
from xferproto.console.options import _OPTIONS, Chosen, ServerOption
from xferproto.console.ui.advice import HungUp, Unreachable
from xferproto.model.errors import ConnectionCut, TLSFailed

HEAVY = ("twisted", "zope", "cryptography", "OpenSSL", "rich", "keyring", "sqlite3")
"""What takes long to import."""

IMPORTED = """
import sys
from xferproto.console.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


class ImportTests(SynchronousTestCase):
    """It starts at once."""

    def imported(self, *arguments: str, **variables: str) -> set[str]:
        """The packages that a command has imported when it ends."""
        directory = new_directory(self)
        ended = subprocess.run(
            [sys.executable, "-c", IMPORTED, *arguments],
            env=environment(directory, **variables),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return set(ended.stderr.splitlines()[-1].split())

    def test_light(self) -> None:
        """Version, help and completion import nothing that they do not need."""
        for arguments in (
            ("--version",),
            ("-h",),
            *((name, "-h") for name in COMMANDS),
            ("completion", "zsh"),
        ):
            self.assertEqual(self.imported(*arguments).intersection(HEAVY), set(), arguments)
        completing = {"COMP_WORDS": "xfer get -", "COMP_CWORD": "2"}
        found = self.imported(_XFER_COMPLETE="bash_complete", **completing)
        self.assertEqual(found.intersection(HEAVY), set())


class TableTests(SynchronousTestCase):
    """The subcommands."""

    def test_all(self) -> None:
        """Each is where the table says, is called so, and has a help with examples."""
        context = click.Context(xfer)
        for name, place in COMMANDS.items():
            command = xfer.get_command(context, name)
            assert command is not None
            self.assertEqual(command.name, name)
            self.assertTrue(command.help, name)
            self.assertTrue(command.epilog and "xfer " in command.epilog, name)
            module, _, attribute = place.path.partition(":")
            home = importlib.import_module(f"xferproto.console.commands.{module}")
            self.assertIs(getattr(home, attribute), command)
        self.assertIsNone(xfer.get_command(context, "frob"))

    def test_options(self) -> None:
        """Each takes all options that are of every command; each of those has its variable."""
        context = click.Context(xfer)
        common = [one for one in xfer.params if isinstance(one, ServerOption)]
        self.assertEqual(len(common), len(_OPTIONS))
        for option in common:
            longest = max(option.opts, key=len).removeprefix("--")
            self.assertEqual(option.envvar, "XFER_" + longest.upper().replace("-", "_"))
            self.assertIn(str(option.envvar), xfer.get_help(context))
        for name in COMMANDS:
            command = xfer.get_command(context, name)
            assert command is not None
            theirs = [one.name for one in command.params if isinstance(one, ServerOption)]
            self.assertEqual(theirs, [one.name for one in common], name)
            # No option of its own has the name or the letter of one of all.
            names = [text for one in command.params for text in one.opts]
            self.assertEqual(len(names), len(set(names)), name)


class EmptyTests(SynchronousTestCase):
    """Nothing that is given is empty: it is a variable that is not set, and never means all."""

    def setUp(self) -> None:
        def go_on(chosen: Chosen) -> None:
            raise AssertionError("an empty value is taken")

        self.patch(Chosen, "settings", go_on)

    def assert_refused(self, *arguments: str) -> None:
        error = self.assertRaises(
            click.UsageError, xfer.main, list(arguments), "xfer", standalone_mode=False
        )
        self.assertEqual(error.exit_code, 2, arguments)

    def test_whats(self) -> None:
        """What is to be fetched, removed and the like; beside others too."""
        for name in ("put", "get", "ls", "stat", "verify", "rm", "sums"):
            for whats in (("",), ("a", ""), ("", "a"), ("--", "")):
                self.assert_refused(name, *whats)
        self.assert_refused("rm", "-ry", "")
        self.assert_refused("get", "a", "-o", "")
        self.assert_refused("put", "a", "--prefix", "")
        self.assert_refused("put", "a", "--prefix", "/")
        self.assert_refused("--server", "", "ls")

    def test_every_parameter(self) -> None:
        """Every argument and every option with a value, of every command."""
        context = click.Context(xfer)
        for name in COMMANDS:
            command = xfer.get_command(context, name)
            assert command is not None
            needed = [
                "x" for one in command.params if isinstance(one, click.Argument) and one.required
            ]
            for parameter in command.params:
                if isinstance(parameter, click.Argument):
                    self.assert_refused(name, "")
                elif isinstance(parameter, click.Option) and not (
                    parameter.is_flag or parameter.secondary_opts
                ):
                    self.assert_refused(name, *needed, max(parameter.opts, key=len), "")
                    if isinstance(parameter, ServerOption):
                        self.assert_refused(max(parameter.opts, key=len), "", name, *needed)


@implementer(IStreamClientEndpoint)
class Attempts:
    """An endpoint whose attempts come out as they are told."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        outcome = self.outcomes.pop(0)
        return fail(outcome) if isinstance(outcome, Exception) else succeed(outcome)


class FirstTryTests(SynchronousTestCase):
    """The first connection."""

    def connect(self, endpoint: FirstTry) -> Deferred[IProtocol]:
        return endpoint.connect(Factory())

    def test_refused(self) -> None:
        """What refuses at first is not asked again."""
        for error in (
            ConnectionRefusedError(),
            DNSLookupError(),
            ConnectionCut("The connection was cut in the TLS handshake."),
            ValueError("no name"),
        ):
            failure = self.failureResultOf(self.connect(FirstTry(Attempts(error))), Unreachable)
            self.assertIs(failure.value.reason, error)

    def test_slow(self) -> None:
        """What does not answer may do so the next time."""
        for error in (TimeoutError(), TCPTimedOutError()):
            self.failureResultOf(self.connect(FirstTry(Attempts(error))), type(error))

    def test_later(self) -> None:
        """What refuses after it was there may be there again."""
        script = Script()
        endpoint = FirstTry(Attempts(script.client, ConnectionRefusedError()))
        self.assertIs(self.successResultOf(self.connect(endpoint)), script.client)
        self.failureResultOf(self.connect(endpoint), ConnectionRefusedError)

    def test_mute(self) -> None:
        """What hung up without a word is not connected to again; what said one is."""
        for word, mute in ((b"", True), (b"DONE\n", False)):
            script = Script()
            endpoint = FirstTry(Attempts(script.client, Script().client))
            self.successResultOf(self.connect(endpoint))
            listing = script.client.list_files()
            script.says(word)
            script.lose()
            listing.addErrback(lambda _: None)
            again = self.connect(endpoint)
            if mute:
                error = self.failureResultOf(again, Unreachable).value
                self.assertIsInstance(error.reason, HungUp)
            else:
                self.successResultOf(again)

    def test_given_up(self) -> None:
        """What this side has closed did not hang up."""
        script = Script()
        listing = script.client.list_files()
        listing.cancel()
        listing.addErrback(lambda _: None)
        script.lose()
        self.assertFalse(script.client.hung_up)

    def test_alert(self) -> None:
        """What answers in TLS is told to be that."""
        script = Script()
        listing = script.client.list_files()
        script.says(b"\x15\x03\x03\x00\x02\x02\x46")
        script.lose()
        self.assertIn("--tls", str(self.failureResultOf(listing, TLSFailed).value))

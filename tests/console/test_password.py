"""Where the console command has its password from."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import keyring
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from twisted.trial.unittest import SynchronousTestCase

from tests.console.test_settings import SettingsCase
from xferproto import prompt
from xferproto.client.password import VARIABLE
from xferproto.console.config import password
from xferproto.console.config.password import ask, checked, credentials, from_keyring, service
from xferproto.console.config.settings import Settings
from xferproto.console.options import server_options


class MemoryKeyring(KeyringBackend):
    """A keyring that is gone with the process."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.passwords[service, username]


class LockedKeyring(MemoryKeyring):
    """A keyring whose user does not open it."""

    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringLocked("no")


class PasswordCase(SettingsCase):
    """
    What the cases below share: no password anywhere, and nobody to ask.

    @ivar asked: the prompts that were shown.
    @ivar notes: what was told.
    """

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str] = []
        self.notes: list[str] = []
        self.patch(os, "environ", {k: v for k, v in os.environ.items() if k != VARIABLE})
        self.patch(password, "ask", self.type_nothing)
        self.use(fail.Keyring())

    def use(self, backend: KeyringBackend) -> None:
        """Let this be the keyring, by the package's own means."""
        usual = keyring.get_keyring()
        keyring.set_keyring(backend)
        self.addCleanup(keyring.set_keyring, usual)

    def type_nothing(self, prompt: str) -> str:
        self.asked.append(prompt)
        return "typed"

    def secret(self, content: bytes, mode: int = 0o600) -> str:
        """A file with a password."""
        path = self.directory / "password"
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def found(self, settings: Settings) -> tuple[str, str] | None:
        return credentials(settings, self.notes.append)


class SourceTests(PasswordCase):
    """One after the other."""

    def test_nobody(self) -> None:
        """Without a user nobody is asked anything."""
        os.environ[VARIABLE] = "x"
        self.assertIsNone(self.found(self.choose()))
        self.assertEqual(self.asked, [])

    def test_file(self) -> None:
        """The first line of the file, before all others."""
        os.environ[VARIABLE] = "variable"
        for content, expected in (
            (b"pa;ss w\xc3\xb6rd\nmore\n", "pa;ss wörd"),
            (b"windows\r\n", "windows"),
            (b" with spaces ", " with spaces "),
        ):
            settings = self.choose(user="alice", password_file=self.secret(content))
            self.assertEqual(self.found(settings), ("alice", expected))
        self.assertEqual((self.asked, self.notes), ([], []))

    def test_file_for_all(self) -> None:
        """A file that others can read is told of, and used."""
        path = self.secret(b"secret\n", 0o644)
        settings = self.choose(user="alice", password_file=path)
        self.assertEqual(self.found(settings), ("alice", "secret"))
        (note,) = self.notes
        self.assertIn(path, note)
        self.assertIn("chmod 600", note)

    def test_bad_files(self) -> None:
        """A file that has none, or can't be read, is not passed over for another password."""
        os.environ[VARIABLE] = "variable"
        missing = str(self.directory / "missing")
        for path, words in (
            (missing, f"{missing}: No such file"),
            (str(self.directory), "Is a directory"),
            ("a\0b", "--password-file: a\\x00b"),
            (self.secret(b""), "password"),
        ):
            settings = self.choose(user="alice", password_file=path)
            error = self.assertRaises(click.UsageError, self.found, settings)
            self.assertIn(words, error.format_message())
        for content in (b"\n", b"\xff\n", b"a\x00b\n", b"x" * 5000):
            settings = self.choose(user="alice", password_file=self.secret(content))
            self.assertRaises(click.UsageError, self.found, settings)

    def test_variable(self) -> None:
        """Then the variable."""
        os.environ[VARIABLE] = "variable"
        self.assertEqual(self.found(self.choose(user="alice")), ("alice", "variable"))
        os.environ[VARIABLE] = ""
        self.assertRaises(click.UsageError, self.found, self.choose(user="alice"))
        self.assertEqual(self.asked, [])

    def test_keyring(self) -> None:
        """Then the keyring: the password for this depot and user, and no other."""
        backend = MemoryKeyring()
        self.use(backend)
        keyring.set_password("xfer:depot.example:9100", "alice", "kept")
        self.file.write_text("host = 'depot.example'\nport = 9100")
        self.assertEqual(self.found(self.choose(user="alice")), ("alice", "kept"))
        self.assertEqual(self.asked, [])
        self.assertEqual(self.found(self.choose(user="bob")), ("bob", "typed"))
        self.assertEqual(self.found(self.choose(user="alice", port=1)), ("alice", "typed"))
        self.assertEqual(service(self.choose("", endpoint="unix:/x")), "xfer:unix:/x")

    def test_no_keyring(self) -> None:
        """Where there is none, it is locked, or its package is not installed, somebody is asked."""
        settings = self.choose(user="alice")
        for backend in (fail.Keyring(), null.Keyring(), LockedKeyring()):
            self.use(backend)
            self.assertIsNone(from_keyring(settings))
            self.assertEqual(self.found(settings), ("alice", "typed"))
        self.patch(sys, "modules", {**sys.modules, "keyring": None})
        self.assertEqual(self.found(settings), ("alice", "typed"))
        self.assertEqual(self.notes, [])

    def test_asked(self) -> None:
        """Last, somebody is asked, by a prompt that does nothing else."""
        self.assertEqual(self.found(self.choose(user="alice")), ("alice", "typed"))
        self.assertEqual(self.asked, ["Password of alice: "])
        self.assertRaises(click.UsageError, self.found, self.choose(user="a\x1b[2J"))
        self.assertTrue(all(prompt.isprintable() for prompt in self.asked))

    def test_checked(self) -> None:
        """What can be no user or password is told before it is sent."""
        self.assertEqual(checked("alice", "a;b"), ("alice", "a;b"))
        for user, word in (("a b", "user name"), ("", "user name"), ("alice", "password")):
            error = self.assertRaises(
                click.UsageError, checked, user, "" if word[0] == "p" else "x"
            )
            self.assertIn(word, error.format_message().lower())


class AskTests(SynchronousTestCase):
    """The terminal."""

    def test_no_terminal(self) -> None:
        """Where there is none, it is said what to do instead."""

        def refuse(*arguments: Any) -> int:
            raise OSError(6, "No such device or address")

        self.patch(os, "open", refuse)
        self.patch(sys, "stdin", None)
        error = self.assertRaises(click.UsageError, ask, "Password: ")
        for word in (VARIABLE, "--password-file", "xfer login"):
            self.assertIn(word, error.format_message())

    def test_end(self) -> None:
        """Whoever types Ctrl-D has typed no password."""

        def end(question: str, shown: bool = True) -> str:
            raise EOFError

        self.patch(prompt, "ask", end)
        self.assertRaises(click.UsageError, ask, "Password: ")


class OptionTests(SynchronousTestCase):
    """The command line."""

    def test_no_password_option(self) -> None:
        """No option takes a password, which others could read."""
        made = click.command("x")(server_options(lambda: None))
        names = {name for option in made.params for name in option.opts}
        self.assertIn("--password-file", names)
        self.assertEqual({name for name in names if "pass" in name}, {"--password-file"})

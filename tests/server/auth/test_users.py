"""The users file, and the operator's command for it."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from pathlib import Path
from unittest import mock

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.executors import InlineExecutor
from tests.support.visitors import PASSWORD, hashed, write
from xferproto.admin import main
from xferproto.depot.depot import Depot
from xferproto.model.errors import UsersUnreadable
from xferproto.model.identity import ALL_RIGHTS, NOBODY, Identity, Right, View
from xferproto.server.auth.authenticator import LOOK_INTERVAL, Authenticator, verify_password
from xferproto.server.auth.users import (
    MAX_FILE,
    User,
    Users,
    changed_users,
    format_users,
    parse_users,
)

HASH = hashed(PASSWORD)

ALICE = f"""[alice]
password = "{HASH}"
rights = ["list", "read"]
sees = "own"
quota = "10G"
"""


def replaced(old: str, new: str) -> bytes:
    """L{ALICE} with one thing changed."""
    assert old in ALICE
    return ALICE.replace(old, new).encode()


class ParseTests(SynchronousTestCase):
    """What the file says."""

    def test_user(self) -> None:
        """Every field of a user."""
        users = parse_users(ALICE.encode())
        rights = frozenset([Right.LIST, Right.READ])
        identity = Identity("alice", rights, View("alice", all=False), 10 * 2**30)
        self.assertEqual(users, {"alice": User(HASH, identity)})

    def test_least(self) -> None:
        """No quota, no right, no user: all that may be left out."""
        self.assertEqual(parse_users(b""), {})
        user = parse_users(f'["a.b"]\npassword = "{HASH}"\nrights = []\nsees = "all"\n'.encode())[
            "a.b"
        ]
        self.assertEqual(user.identity, Identity("a.b", frozenset(), View("a.b")))

    def test_hash_not_shown(self) -> None:
        """What is printed of a user has no hash in it."""
        self.assertNotIn("argon2", repr(parse_users(ALICE.encode())))

    def test_round_trip(self) -> None:
        """What is written is read as the same, whatever the names."""
        users = {
            name: User.make(name, HASH, rights, all, quota)
            for name in ("a", "A", "-", "0", ".", "..", "a.b", "x" * 64)
            for rights in (ALL_RIGHTS, frozenset[Right]())
            for all in (True, False)
            for quota in (None, 0, 1500, 2**40)
        }
        self.assertEqual(parse_users(format_users(users).encode()), users)

    def test_mistakes(self) -> None:
        """Each mistake is told in one line, with user and field."""
        long = "x" * 65
        for content, *words in (
            (b"\xff", "TOML"),
            (b"[alice", "TOML"),
            (b"a = " + b"[" * 5000, "TOML"),
            (ALICE.encode() * 2, "TOML"),
            (b"users = 1", "users", "[users]"),
            (b"[]", "TOML"),
            (b'[""]', "name"),
            (f"[{long}]".encode(), long, "name"),
            ('["é"]'.encode(), "name"),
            (b'["a\\nb"]', "name"),
            (b"[alice]", "alice", "password", "missing"),
            (replaced('sees = "own"\n', ""), "alice", "sees", "missing"),
            (replaced("rights", "right"), "alice", "right", "unknown field"),
            (replaced(HASH, "secret"), "alice", "password", "argon2id"),
            (replaced(HASH, ""), "alice", "password", "argon2id"),
            (replaced(HASH, HASH.replace("argon2id", "argon2i")), "alice", "password"),
            (replaced(HASH, HASH + '\\"\\n'), "alice", "password"),
            (replaced(f'"{HASH}"', "1"), "alice", "password"),
            (replaced('["list", "read"]', '"list"'), "alice", "rights"),
            (replaced('["list", "read"]', "[1]"), "alice", "rights"),
            (replaced('"read"', '"admin"'), "alice", "rights", "admin"),
            (replaced('"read"', '"\\u001b[2J"'), "alice", "rights"),
            (replaced('"own"', '"none"'), "alice", "sees"),
            (replaced('"own"', "[]"), "alice", "sees"),
            (replaced('"10G"', "10"), "alice", "quota"),
            (replaced('"10G"', '"much"'), "alice", "quota", "much"),
            (replaced('"10G"', '"\\u001b[2J"'), "alice", "quota"),
            (replaced('"10G"', '"-1"'), "alice", "quota"),
            (replaced('"10G"', '"9999999T"'), "alice", "quota"),
        ):
            with self.subTest(content[:60]):
                error = self.assertRaises(UsersUnreadable, parse_users, content)
                for word in words:
                    self.assertIn(word, str(error))
                self.assertTrue(str(error).isprintable(), str(error))
                self.assertNotIn("$argon2", str(error))


class ReloadTests(SynchronousTestCase):
    """The file changes while the server runs."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.write(ALICE)
        self.clock = Clock()
        self.users = Users(self.path)
        self.users.read()
        self.authenticator = Authenticator(Depot(None, InlineExecutor(), self.clock), self.users)
        self.authenticator.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.authenticator.stop()))

    def write(self, text: str | bytes) -> None:
        write(self.path, text)

    def look(self) -> list[str]:
        """Let the file be looked at: what is logged then."""
        with capturedLogs() as events:
            self.clock.advance(LOOK_INTERVAL)
        return [formatEvent(event) for event in events]

    def test_unchanged(self) -> None:
        """A file that stays as it is is not read again."""
        before = self.users.by_name
        self.assertEqual(self.look(), [])
        self.assertIs(self.users.by_name, before)

    def test_changed(self) -> None:
        """Written in place or replaced, added to or emptied: it is in force."""
        self.write(ALICE + ALICE.replace("alice", "bob"))
        self.assertEqual(self.look(), [f"2 users in {self.path}"])
        self.assertEqual(sorted(self.users.by_name), ["alice", "bob"])
        aside = Path(self.mktemp())
        write(aside, ALICE)
        aside.rename(self.path)
        self.look()
        self.assertEqual(list(self.users.by_name), ["alice"])
        self.write("")
        self.assertIn("nobody can log in", self.look()[1])
        self.assertEqual(self.users.by_name, {})

    def test_broken(self) -> None:
        """A mistake is logged once, and the users stay; when it is mended that is in force."""
        for content in (b"[alice", b"\0", ALICE.replace('"own"', '"no"').encode(), b"#" * MAX_FILE):
            with self.subTest(content[:10]):
                before = self.users.by_name
                self.write(content + b"#")
                (line,) = self.look()
                self.assertIn("the users are not replaced", line)
                self.assertIn(str(self.path), line)
                self.assertEqual(self.look(), [])
                self.assertIs(self.users.by_name, before)
                self.write(ALICE)
                self.look()
                self.assertEqual(list(self.users.by_name), ["alice"])

    def test_gone(self) -> None:
        """A file that is gone, or something else now, is the same."""
        self.path.unlink()
        (line,) = self.look()
        self.assertIn("No such file or directory; make it with xfer-depot users add", line)
        self.assertEqual(self.look(), [])
        os.mkfifo(self.path)
        (line,) = self.look()
        self.assertIn("not a regular file", line)
        self.path.unlink()
        self.path.mkdir()
        self.assertEqual(len(self.look()), 1)
        self.assertEqual(list(self.users.by_name), ["alice"])
        self.path.rmdir()
        self.write(ALICE.replace("alice", "bob"))
        self.look()
        self.assertEqual(list(self.users.by_name), ["bob"])

    def test_readable_by_others(self) -> None:
        """That others can read it is warned of."""
        self.path.chmod(0o644)
        self.assertEqual(len(self.look()), 2)

    def test_start(self) -> None:
        """A server does not start with a broken file."""
        self.write("[alice")
        error = self.assertRaises(UsersUnreadable, Users(self.path).read)
        self.assertIn(str(self.path), str(error))
        self.assertRaises(UsersUnreadable, Users(Path(self.mktemp())).read)

    def test_none(self) -> None:
        """Without a file there are no users, and nothing is looked at."""
        clock = Clock()
        authenticator = Authenticator(Depot(None, InlineExecutor(), clock))
        authenticator.start()
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(authenticator.users.by_name, {})
        self.assertEqual(NOBODY.rights, frozenset())


class WriteTests(SynchronousTestCase):
    """How the file is written."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "users.toml"

    def add(self, path: Path, name: str) -> None:
        with changed_users(path) as users:
            users[name] = User.make(name, HASH)

    def test_private(self) -> None:
        """It is the owner's alone, whatever the umask, and nothing is left beside it."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.add(self.path, "alice")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(list(self.directory.iterdir()), [self.path])

    def test_link(self) -> None:
        """A link stays one."""
        link = self.directory / "link"
        link.symlink_to("users.toml")
        self.add(link, "alice")
        self.add(link, "bob")
        self.assertTrue(link.is_symlink())
        self.assertEqual(sorted(parse_users(self.path.read_bytes())), ["alice", "bob"])

    def test_failed(self) -> None:
        """What fails midway changes nothing, and leaves nothing."""
        self.add(self.path, "alice")
        before = self.path.read_bytes()

        def fail() -> None:
            with changed_users(self.path) as users:
                users.clear()
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        with mock.patch("os.fsync", side_effect=OSError(28, "full")):
            self.assertRaises(OSError, self.add, self.path, "bob")
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(list(self.directory.iterdir()), [self.path])

    def test_broken(self) -> None:
        """A file with a mistake is not written over."""
        self.path.write_text("[alice")
        self.assertRaises(UsersUnreadable, self.add, self.path, "bob")
        self.assertEqual(self.path.read_text(), "[alice")


class Terminal(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


class CommandTests(SynchronousTestCase):
    """C{xfer-depot users}."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patched = mock.patch("xferproto.admin.users.PasswordHasher", lambda: cheap)
        patched.start()
        self.addCleanup(patched.stop)

    def run_users(
        self, *arguments: str | Path, stdin: str = "", typed: list[str] | None = None
    ) -> tuple[int, str, str]:
        """Exit status, output and errors; C{typed} is what is typed at a terminal."""
        out, err = io.StringIO(), io.StringIO()
        source = io.StringIO(stdin) if typed is None else Terminal()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "stdin", source),
            mock.patch("xferproto.prompt.ask", side_effect=typed),
        ):
            try:
                status = main.main(["users", *map(str, arguments)])
            except SystemExit as ended:
                status = int(str(ended.code))
        return status, out.getvalue(), err.getvalue()

    def user(self, name: str) -> User:
        return parse_users(self.path.read_bytes())[name]

    def refused(
        self, *arguments: str | Path, stdin: str = "", typed: list[str] | None = None
    ) -> str:
        """The one line that a refused command says."""
        before = self.path.read_bytes() if self.path.exists() else None
        status, out, err = self.run_users(*arguments, stdin=stdin, typed=typed)
        self.assertNotEqual(status, 0)
        self.assertEqual(out, "")
        self.assertEqual(self.path.read_bytes() if self.path.exists() else None, before)
        last = err.splitlines()[-1]
        self.assertTrue(last.startswith("xfer-depot"), err)
        return last

    def test_add(self) -> None:
        """A user is added, with all rights or those that are given; the password is hashed."""
        outcome = self.run_users("add", self.path, "alice", stdin="a;b c\n")
        self.assertEqual(outcome, (0, "", ""))
        self.assertEqual(self.user("alice").identity, Identity("alice", view=View("alice")))
        self.assertTrue(verify_password(self.user("alice").password, b"a;b c"))
        self.assertNotIn("a;b c", self.path.read_text())
        self.run_users(
            *("add", self.path, "bob", "--rights", "list,write", "--sees", "own"),
            *("--quota", "10G"),
            stdin="x\r\n",
        )
        rights = frozenset([Right.LIST, Right.WRITE])
        self.assertEqual(
            self.user("bob").identity, Identity("bob", rights, View("bob", all=False), 10 * 2**30)
        )
        self.assertTrue(verify_password(self.user("bob").password, b"x"))
        self.assertEqual(
            self.run_users("list", self.path),
            (
                0,
                "alice list,read,write,delete sees=all\nbob list,write sees=own quota=10G\n",
                "",
            ),
        )

    def test_typed(self) -> None:
        """At a terminal it is typed twice, the same."""
        self.assertEqual(self.run_users("add", self.path, "alice", typed=["p", "p"])[0], 0)
        self.assertTrue(verify_password(self.user("alice").password, b"p"))
        self.assertIn("1 to 1024", self.refused("passwd", self.path, "alice", typed=["\udc80"] * 2))
        self.assertIn("differ", self.refused("passwd", self.path, "alice", typed=["p", "q"]))

    def test_passwd(self) -> None:
        """The password changes, and nothing else."""
        self.run_users("add", self.path, "alice", "--sees", "own", "--quota", "1K", stdin="old")
        before = self.user("alice")
        self.assertEqual(self.run_users("passwd", self.path, "alice", stdin="new\n")[0], 0)
        self.assertEqual(self.user("alice").identity, before.identity)
        self.assertTrue(verify_password(self.user("alice").password, b"new"))
        self.assertFalse(verify_password(self.user("alice").password, b"old"))

    def test_remove(self) -> None:
        """A user goes, the others stay."""
        for name in ("alice", "bob"):
            self.run_users("add", self.path, name, stdin="p")
        self.assertEqual(self.run_users("remove", self.path, "alice")[0], 0)
        self.assertEqual(list(parse_users(self.path.read_bytes())), ["bob"])

    def test_refused(self) -> None:
        """What can't be done is told in one line, and changes nothing."""
        for command in ("list", "remove", "passwd"):
            arguments = [command, self.path, "alice"][: 2 if command == "list" else 3]
            self.assertIn(str(self.path), self.refused(*arguments))
        self.run_users("add", self.path, "alice", stdin="p")
        self.assertIn('already a user "alice"', self.refused("add", self.path, "alice", stdin="p"))
        self.assertIn('no user "bob"', self.refused("passwd", self.path, "bob", stdin="p"))
        self.assertIn('no user "bob"', self.refused("remove", self.path, "bob"))
        nothing = self.refused("add", self.path, "bob", stdin="")
        self.assertIn("no password on standard input", nothing)
        for password in ("\n", "a\x1bb\n", "x" * 1025):
            self.assertIn("1 to 1024 bytes", self.refused("add", self.path, "bob", stdin=password))
        for name in ("", "a b", "a;b", "é", "x" * 65):
            self.assertIn("user name", self.refused("add", self.path, name))
        self.assertIn("admin", self.refused("add", self.path, "bob", "--rights", "admin"))
        self.assertIn("much", self.refused("add", self.path, "bob", "--quota", "much"))
        self.refused("add", self.path, "bob", "--sees", "some")
        self.refused("add", self.path / "below", "bob", stdin="p")
        self.path.write_text("[alice")
        self.assertIn("TOML", self.refused("add", self.path, "bob", stdin="p"))

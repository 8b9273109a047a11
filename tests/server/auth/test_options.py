"""The options that say who may come in, and where the client has its password from."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from xferproto.client import password
from xferproto.model.identity import ALL_RIGHTS, ANYONE, NOBODY, Identity, Right, View
from xferproto.server.auth.options import check_reach, is_near
from xferproto.server.service import Options


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


class StrangersTests(SynchronousTestCase):
    """C{--anonymous}."""

    def test_default(self) -> None:
        """Without users strangers may do everything, with users nothing."""
        self.assertEqual(parsed().anonymous_identity(), ANYONE)
        self.assertEqual(parsed("--users", "x").anonymous_identity(), NOBODY)

    def test_given(self) -> None:
        """What they may do, and whose files they see."""
        both = frozenset([Right.LIST, Right.READ])
        own = View(all=False)
        for arguments, expected in (
            (["--anonymous", "list,read"], Identity(rights=both, view=own)),
            (["--users", "x", "-a", " read , list,all"], Identity(rights=both)),
            (["--anonymous", "list,read,write,delete"], Identity(rights=ALL_RIGHTS, view=own)),
        ):
            self.assertEqual(parsed(*arguments).anonymous_identity(), expected)

    def test_bad(self) -> None:
        """What is no right, and none at all, is refused in one line."""
        for text in ("", "all", "list,,read", "lists", "LIST", "list read", "list;read", "own"):
            error = self.assertRaises(SystemExit, parsed, "--anonymous", text)
            self.assertNotIn("\n", str(error.code))

    def test_path(self) -> None:
        """The users file is found whatever directory twistd goes to."""
        self.assertEqual(parsed("--users", "users.toml")["users"], Path("users.toml").absolute())


class ReachTests(SynchronousTestCase):
    """Where a server may listen without being told who comes in."""

    NEAR = (
        "unix:/run/xfer/socket",
        r"unix:/tmp/a\:b:mode=660",
        "tcp:9000:interface=127.0.0.1",
        "tcp:9000:127.0.0.1",
        "tcp:port=9000:interface=127.9.9.9",
        "tcp:interface=localhost:port=9000",
        r"tcp6:9000:interface=\:\:1",
        r"tcp6:9000:interface=\:\:ffff\:127.0.0.1",
        "ssl:9443:interface=127.0.0.1:privateKey=k:certKey=c",
        "ssl:9443:k:c:TLSv1_2:127.0.0.1",
    )

    FAR = (
        "",
        "tcp",
        "tcp:9000",
        "tcp:9000:interface=",
        "tcp:9000:interface=0.0.0.0",
        "tcp:9000:192.0.2.1",
        "tcp:9000:interface=127.0.0.1:interface=192.0.2.1",
        "tcp:9000:interface=127.0.0.1.example.org",
        r"tcp:9000:interface\=127.0.0.1",
        "tcp:9000:backlog=127.0.0.1",
        "tcp=unix:9000",
        "tcp6:9000",
        r"tcp6:9000:interface=\:\:",
        "ssl:9443:privateKey=k:certKey=c",
        "ssl:9443:127.0.0.1",
        "systemd:domain=INET:index=0",
        "systemd:domain=UNIX:index=0",
        "haproxy:tcp:9000:interface=127.0.0.1",
        "tls:9000:interface=127.0.0.1",
        "fd:3",
        "unixes:/a",
    )

    def test_near(self) -> None:
        """What only this machine can reach."""
        for text in self.NEAR:
            self.assertTrue(is_near(text), text)

    def test_far(self) -> None:
        """What can't be shown to be so, counts as not."""
        for text in self.FAR:
            self.assertFalse(is_near(text), text)

    def test_started(self) -> None:
        """On the machine itself, or with users or words about strangers, a server may start."""
        check_reach(parsed())
        for interface in ("127.0.0.1", "::1", "localhost"):
            check_reach(parsed("--interface", interface))
        check_reach(parsed("--classic", "9999"))
        near = [
            word for text in self.NEAR for word in ("--endpoint", text, "--classic-endpoint", text)
        ]
        check_reach(parsed(*near))
        for told in (("--users", "x"), ("--anonymous", "list")):
            check_reach(parsed("--interface", "0.0.0.0", *told))
            for text in self.FAR:
                if text:  # an empty option is wrong usage before
                    check_reach(parsed("--endpoint", text, "--classic-endpoint", text, *told))

    def test_refused(self) -> None:
        """Else it says in one line what to give."""
        far = [["--interface", host] for host in ("0.0.0.0", "::", "192.0.2.1", "example.org")]
        far += [["--endpoint", text] for text in self.FAR if text]
        far += [["--classic-endpoint", text] for text in self.FAR if text]
        far += [["--endpoint", self.NEAR[0], "--endpoint", "tcp:9000"]]
        for arguments in far:
            error = self.assertRaises(SystemExit, check_reach, parsed(*arguments))
            for word in (repr(arguments[-1]), "--users", "--anonymous"):
                self.assertIn(word, str(error.code))
            self.assertNotIn("\n", str(error.code))


class Terminal(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


class PasswordTests(SynchronousTestCase):
    """Where C{twistd xfer-client} has its password from."""

    def setUp(self) -> None:
        os.environ.pop(password.VARIABLE, None)
        self.patch(sys, "stdin", io.StringIO())

    def file(self, content: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)

    def test_file(self) -> None:
        """It is the first line of the file, without its end."""
        for content in (b"a;b \n", b"a;b \r\n", b"a;b ", b"a;b \nmore\xff"):
            found = password.credentials("alice", self.file(content))
            self.assertEqual(found, ("alice", "a;b "))

    def test_variable(self) -> None:
        """Without a file it is in a variable."""
        with mock.patch.dict(os.environ, {password.VARIABLE: "secret"}):
            self.assertEqual(password.credentials("alice", None), ("alice", "secret"))
            self.assertEqual(password.credentials("alice", self.file(b"x")), ("alice", "x"))

    def test_typed(self) -> None:
        """Without either it is typed, where somebody is there."""
        self.patch(sys, "stdin", Terminal())
        with mock.patch("xferproto.prompt.ask", return_value="typed"):
            self.assertEqual(password.credentials("alice", None), ("alice", "typed"))

    def test_none(self) -> None:
        """Who does not log in needs none."""
        self.assertIsNone(password.credentials(None, None))

    def test_bad(self) -> None:
        """A password that is none, or nowhere, is told in one line, and not shown."""
        for name, path in (
            ("alice", None),
            ("alice", self.file(b"")),
            ("alice", self.file(b"\nsecret")),
            ("alice", self.file(b"secret\xff")),
            ("alice", self.file(b"secret\0")),
            ("alice", self.file(b"secret" * 1000)),
            ("alice", self.mktemp()),
            ("a b", self.file(b"secret")),
            (None, self.file(b"secret")),
        ):
            error = self.assertRaises(SystemExit, password.credentials, name, path)
            self.assertNotIn("\n", str(error.code))
            self.assertNotIn("secret", str(error.code))

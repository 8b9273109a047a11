"""
What one does not see tells nothing: a file of another's is treated as one that is not there, and
what others do changes nothing of what one is told.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot, Session, make_store, overwrite
from tests.support.visitors import PASSWORD, peer, user
from xferproto.model.errors import NoSuchFile
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.wire.codec import format_error

LARGE = bytes(SMALL_SIZE + 1)
NO_SUCH_FILE = format_error(NoSuchFile()) + b"\n"
CONTENTS = (b"theirs", LARGE + b"theirs")
NEVER = b"never stored"

CALLS = (
    *("open", "stat", "lstat", "unlink", "remove", "rename", "replace", "link", "mkdir", "rmdir"),
    *("fsync", "fdatasync", "listdir", "scandir", "statvfs", "utime", "chmod", "truncate"),
)
"""The functions of C{os} that are counted."""


def id_of(content: bytes) -> str:
    return md5(content).hexdigest()


def sha256_of(content: bytes) -> str:
    return sha256(content).hexdigest()


class UnseenCase(SynchronousTestCase):
    """A depot, one who sees their own files only, and C{root}."""

    now = 1e9
    watching: list[object] | None = None

    def setUp(self) -> None:
        real = sqlite3.connect

        def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = real(*arguments, **options)
            connection.set_trace_callback(self.noted)
            return connection

        self.patch(sqlite3, "connect", connect)
        for name in CALLS:
            if hasattr(os, name):
                self.patch(os, name, self.counted(name, getattr(os, name)))
        self.depot = self.new_depot()
        self.mine = self.visit("one")
        self.theirs = self.visit("root")

    def new_depot(self) -> Depot:
        store = make_store(self, now=lambda: self.now)
        users = [user("one", all=False), user("two", all=False), user("root")]
        return Depot.over(self, store, users)

    def visit(self, name: str) -> Session:
        session = self.depot.connect(peer("127.0.0.1"))
        session.send(f"LOGIN {name};{PASSWORD}\n".encode())
        return session

    def store(self, session: Session, content: bytes, name: str) -> str:
        session.send(f"UPLOAD {name};{len(content)}\n".encode(), content)
        return id_of(content)

    def noted(self, what: object) -> None:
        if self.watching is not None:
            self.watching.append(what)

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            self.noted((name, *(str(one) for one in arguments if isinstance(one, str | Path))))
            return function(*arguments, **options)

        return called


class SamePathTests(UnseenCase):
    """What is not seen takes the way of what is not there, statement by statement."""

    def work(self, *requests: str) -> list[object]:
        """Answers, statements and file operations of what one who sees their own files asks."""
        self.mine.send(b"HELP\n")  # or there were too many errors in a row
        done: list[object] = []
        self.watching = done
        try:
            for request in requests:
                self.noted(self.mine.send(request.encode()))
        finally:
            self.watching = None
        return done

    def assert_same(self, form: Callable[[bytes], str], *hidden: bytes) -> list[object]:
        """What is done is the same for these contents and one that nobody stored."""
        for session in (self.mine, self.visit("one")):
            self.mine = session
            absent = self.work(form(NEVER))
            for content in hidden:
                found = self.work(form(content))
                for of, to in ((id_of, "ID"), (sha256_of, "SHA")):
                    absent = _replaced(absent, of(NEVER), to)
                    found = _replaced(found, of(content), to)
                self.assertEqual(found, absent)
        return absent

    def test_commands(self) -> None:
        """Whatever the command, its form, and how the other's file is kept."""
        for content in CONTENTS:
            self.store(self.theirs, content, "their name")
            self.store(self.theirs, content, "their other name")
        self.store(self.mine, b"mine", "my name")
        for form in (
            *("STAT %s", "VERIFY %s", "DOWNLOAD %s", "DOWNLOAD %s;1;2", "DOWNLOAD %s;99999999"),
            *("DELETE %s", "DELETE %s;their name", "DELETE %s;my name", "STAT\n%s", "DELETE\n%s"),
        ):
            with self.subTest(form):
                done = self.assert_same(lambda one, form=form: form % id_of(one) + "\n", *CONTENTS)  # type: ignore[misc]
                self.assertTrue(done)
                self.assertIn(NO_SUCH_FILE.strip(), b"".join(a for a in done if type(a) is bytes))

    def test_damaged(self) -> None:
        """Nor does it show that another's file is damaged or gone."""
        for content in CONTENTS:
            id = self.store(self.theirs, content, "their name")
            overwrite(self.depot.store._root, id, bytes(len(content)))
            self.assertTrue(self.theirs.send(f"VERIFY {id}\n".encode()).startswith(b"ERROR corr"))
        for form in ("STAT %s\n", "VERIFY %s\n", "DOWNLOAD %s\n", "DELETE %s\n"):
            self.assert_same(lambda one, form=form: form % id_of(one), *CONTENTS)  # type: ignore[misc]

    def test_names_of_one_that_is_seen(self) -> None:
        """Of a content that both have, a name of the other's is none."""
        for content in CONTENTS:
            id = self.store(self.theirs, content, "their name")
            self.store(self.mine, content, "my name")
            for request in (f"DELETE {id};their name\n", f"DELETE {id};no name\n"):
                self.mine.send(b"HELP\n")
                self.assertEqual(self.mine.send(request.encode()), NO_SUCH_FILE)
            theirs = self.work(f"DELETE {id};their name\n")
            nobodys = self.work(f"DELETE {id};some name\n")
            self.assertEqual(_replaced(theirs, "their name", "some name"), nobodys)

    def test_token(self) -> None:
        """A hash that another's file has is one that is not known."""
        for content in CONTENTS:
            self.store(self.theirs, content, "their name")
            size = len(content)

            def ask(one: bytes, size: int = size) -> str:
                return f"RESUME new;{size};sha256:{sha256_of(one)}\n"

            def settled(done: list[object]) -> list[object]:
                partial = str(self.depot.store._root / "partial")
                return [
                    (one[0], "PARTIAL") if isinstance(one, tuple) and partial in str(one) else one
                    for one in done
                ]

            absent = _replaced(self.work(ask(NEVER)), sha256_of(NEVER), "SHA")
            self.mine.lose()
            self.mine = self.visit("one")
            found = _replaced(self.work(ask(content)), sha256_of(content), "SHA")
            self.mine.lose()
            self.mine = self.visit("one")
            self.assertEqual(settled(found), settled(absent))

    def test_own_token(self) -> None:
        """One's own token of a content that one has deleted: whether another has it or not."""
        done = []
        for content, shared in ((LARGE + b"a", False), (LARGE + b"b", True)):
            if shared:
                self.store(self.theirs, content, "their name")
            ask = f"RESUME mine;{len(content)};tok\n"
            self.mine.send(ask.encode(), b"0\n", content)
            delete = f"DELETE {id_of(content)}\n".encode()
            self.assertEqual(self.mine.send(delete), f"{id_of(content)}\n".encode())
            done.append(self.work(ask))
            self.mine.lose()
            self.mine = self.visit("one")
            self.successResultOf(self.depot.store.maintenance.age_partials(10, 1))
        self.assertEqual(*done)

    def test_no_inodes(self) -> None:
        """Where no file can be made, what is not seen is still not there."""
        for content in CONTENTS:
            self.store(self.theirs, content, "their name")
        real = os.open

        def full(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(path, flags, *rest, **options)

        self.patch(os, "open", full)
        for content in (*CONTENTS, NEVER):
            for request in (f"DELETE {id_of(content)}\n", f"DELETE {id_of(content)};their name\n"):
                self.assertEqual(self.mine.send(request.encode()), NO_SUCH_FILE)

    def test_busy(self) -> None:
        """What another does with a file at the moment makes nobody wait who does not see it."""
        id = self.store(self.theirs, LARGE, "their name")
        lock = self.depot.store._locks.held(id)
        self.successResultOf(Deferred.fromCoroutine(lock.__aenter__()))
        for command in ("DELETE", "STAT", "VERIFY", "DOWNLOAD"):
            self.assertEqual(self.mine.send(f"{command} {id}\n".encode()), NO_SUCH_FILE)
        self.successResultOf(Deferred.fromCoroutine(lock.__aexit__(None, None, None)))


class OthersTests(UnseenCase):
    """Whatever others do, one who sees their own files only is answered as if they had not."""

    SCRIPT = (
        "LIST_FILES\n",
        "STAT {id}\n",
        "UPLOAD b;{size}\n{content}",
        "STAT {id}\n",
        "VERIFY {id}\n",
        "STAT {id}\n",
        "UPLOAD a;{size}\n{content}",
        "STAT {id}\n",
        "DOWNLOAD {id}\n",
        "RESUME c;{size};sha256:{sha256}\n{size}\n",
        "STAT {id}\n",
        "LIST_FILES\n",
        "DELETE {id};b\n",
        "DOWNLOAD {id};1;1\n",
        "STAT {id}\n",
        "DELETE {id};shared\n",
        "DELETE {id}\n",
        "DELETE {id}\n",
        "STAT {id}\n",
        "RESUME c;{size};sha256:{sha256}\n",
    )

    def answers(self, content: bytes, others: Callable[[int], None]) -> list[bytes]:
        """What one is answered, where others do something before each request."""
        self.now = 1e9
        self.depot = self.new_depot()
        self.mine, self.theirs = self.visit("one"), self.visit("two")
        values = {
            "id": id_of(content),
            "size": len(content),
            "sha256": sha256_of(content),
            "content": content.decode(),
        }
        answers = []
        for number, request in enumerate(self.SCRIPT):
            self.now += 10
            others(number)
            self.now += 10
            *lines, last = request.format(**values).splitlines(keepends=True)
            answers.append(b"".join(self.mine.send(one.encode()) for one in (*lines, last)))
        return answers

    def test_others(self) -> None:
        """They store, name, verify, fetch, resume and delete the same contents."""
        for content in (b"content", b"c" * (SMALL_SIZE + 1)):
            id, size = id_of(content), len(content)

            def busy(number: int, content: bytes = content, id: str = id, size: int = size) -> None:
                for name in ("shared", "a", f"n{number}"):
                    self.store(self.theirs, content, name)
                for request in (
                    f"VERIFY {id}\n",
                    f"DELETE {id};a\n",
                    f"DOWNLOAD {id}\n",
                    f"RESUME r{number};{size};sha256:{sha256_of(content)}\n",
                    f"{size}\n",
                    f"STAT {id}\n",
                    f"DELETE {id};shared\n" if number % 3 else "LIST_FILES\n",
                ):
                    self.assertNotIn(b"ERROR", self.theirs.send(request.encode()))

            alone = self.answers(content, lambda number: None)
            self.assertEqual(self.answers(content, busy), alone)
            self.assertEqual([b"ERROR" in answer for answer in alone].count(True), 4)


def _replaced(done: list[object], before: str, after: str) -> list[object]:
    """The same with one word for another."""
    return [
        tuple(str(part).replace(before, after) for part in one)
        if isinstance(one, tuple)
        else one.replace(before.encode(), after.encode())
        if isinstance(one, bytes)
        else str(one).replace(before, after)
        for one in done
    ]

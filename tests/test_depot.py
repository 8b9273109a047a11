"""The operator's command over real storage directories: partials, and a catalogue that is lost."""

from __future__ import annotations

import contextlib
import io
import sqlite3
from hashlib import md5
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.depot import Depot, make_store
from xferproto.depot import main
from xferproto.store.local import LocalStore
from xferproto.store.schema import BACKUP, CATALOGUE

HELLO = md5(b"hello").hexdigest()
OTHER = md5(b"other").hexdigest()


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """The command's exit status, and what it prints on both streams."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


class PartialsTests(SynchronousTestCase):
    """C{xfer-depot partials}."""

    def test_listed(self) -> None:
        """An unfinished upload is told, escaped, while the server runs; a finished one is not."""
        depot = Depot(self)
        session = depot.connect()
        session.send(b"RESUME done;5;t1\n", b"0\n", b"hello")
        session.send(b"RESUME \xe2\x80\xaehalf;5;t2\n", b"0\n", b"hel")
        session.lose()
        status, out, err = run("partials", depot.root)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out, '3 of 5 bytes, idle for 0.0 h: "\\u202ehalf" "t2"\n')

    def test_no_depot(self) -> None:
        """A directory that is no storage directory, or not there, is one line and status 1."""
        empty = Path(self.mktemp())
        for make in (lambda: None, empty.mkdir):
            make()
            status, out, err = run("partials", empty)
            self.assertEqual((status, out), (1, ""))
            self.assertEqual(err.count("\n"), 1)


class RebuildTests(SynchronousTestCase):
    """C{xfer-depot rebuild}."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        store = self.open()
        self.put(store, "a.txt", b"hello")
        self.put(store, "b.txt", b"hello")
        self.put(store, "c.txt", b"other")
        self.store = store

    def open(self) -> LocalStore:
        return make_store(self, self.root)

    def put(self, store: LocalStore, name: str, content: bytes) -> None:
        depot = Depot.over(self, store)
        session = depot.connect()
        session.send(b"UPLOAD %s;%d\n" % (name.encode(), len(content)), content)

    def listed(self) -> list[bytes]:
        session = Depot.over(self, self.open()).connect()
        return session.send(b"LIST_FILES\n").splitlines()[:-1]

    def close(self) -> None:
        self.successResultOf(self.store.close())

    def test_in_use(self) -> None:
        """A directory that a server uses is left alone."""
        status, _, err = run("rebuild", self.root)
        self.assertEqual(status, 1)
        self.assertIn("in use", err)

    def test_lost(self) -> None:
        """Without a catalogue, all contents are there under recovered names."""
        self.close()
        for path in self.root.glob("catalogue*"):
            path.unlink()
        status, out, _ = run("rebuild", self.root)
        self.assertEqual(status, 0)
        self.assertIn("2 contents under 2 names, 2 of them recovered", out)
        expected = [f"{id};recovered/{id};5".encode() for id in sorted((HELLO, OTHER))]
        self.assertEqual(self.listed(), expected)

    def test_copy(self) -> None:
        """With a copy of the catalogue, names that it has are kept; later ones are recovered."""
        self.successResultOf(self.store.backup())
        self.put(self.store, "d.txt", b"later")
        self.close()
        self.assertTrue((self.root / BACKUP).exists())
        (self.root / CATALOGUE).write_bytes(b"this is no database" * 1000)
        status, out, _ = run("rebuild", self.root)
        self.assertEqual(status, 0)
        self.assertIn("1 of them recovered", out)
        later = md5(b"later").hexdigest()
        self.assertEqual(
            self.listed(),
            [
                f"{HELLO};a.txt;5".encode(),
                f"{HELLO};b.txt;5".encode(),
                f"{OTHER};c.txt;5".encode(),
                f"{later};recovered/{later};5".encode(),
            ],
        )

    def test_readable(self) -> None:
        """Names come from the old catalogue where it can be read, and it is kept."""
        self.close()
        status, out, _ = run("rebuild", self.root)
        self.assertEqual(status, 0)
        self.assertIn("2 contents under 3 names, 0 of them recovered", out)
        self.assertEqual(len(self.listed()), 3)
        (kept,) = self.root.glob("catalogue.*.damaged")
        with contextlib.closing(sqlite3.connect(kept)) as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM entry").fetchone(), (3,))

    def test_damaged_object(self) -> None:
        """An object that no longer hashes to its id is put aside, and one that is gone is told."""
        self.close()
        (self.root / "objects" / HELLO[:2] / HELLO).write_bytes(b"jello")
        (self.root / "objects" / OTHER[:2] / OTHER).unlink()
        status, out, _ = run("rebuild", self.root)
        self.assertEqual(status, 1)
        self.assertIn(f"{HELLO} is damaged", out)
        self.assertIn(f'the bytes of {OTHER} are not there; it was "c.txt"', out)
        self.assertEqual(self.listed(), [b"No files available at the moment"])
        self.assertEqual(len(list((self.root / "quarantine").iterdir())), 1)

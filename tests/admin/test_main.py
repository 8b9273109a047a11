"""The operator's command over real storage directories: partials, and a catalogue that is lost."""

from __future__ import annotations

import contextlib
import io
import sqlite3
from hashlib import md5
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.store.contract import stored_bytes
from tests.support.depot import NO_SMALL, Depot, make_store, overwrite, small_marks, small_rows
from xferproto.admin.main import main
from xferproto.model.identity import EVERYTHING
from xferproto.store.local.packed import SMALL, SMALL_SIZE, PackedContents
from xferproto.store.local.schema import BACKUP, CATALOGUE
from xferproto.store.local.store import LocalStore

HELLO = md5(b"hello").hexdigest()
OTHER = md5(b"other").hexdigest()

PAGE_SIZE = 4096
"""Bytes of a page of an SQLite file."""


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
        self.assertIn("is not a storage directory of xfer", err)

    def test_obstacles(self) -> None:
        """What is in the place of the directory is named, by every command that takes one."""
        root = Path(self.mktemp()).absolute()
        root.mkdir()
        (root / "file").touch()
        (root / "link").symlink_to("/nowhere/mnt")
        for name, reason in (
            ("file", f"{root}/file is a file, not a directory."),
            ("link", "is a link to /nowhere/mnt, which does not exist; is it mounted?"),
            ("none", f"There is no directory {root}/none."),
        ):
            for command in ("partials", "damaged", "rebuild"):
                status, out, err = run(command, root / name)
                self.assertEqual((status, out, err.count("\n")), (1, "", 1))
                self.assertIn(reason, err)

    def test_certificate(self) -> None:
        """A directory for a certificate that can't be made says why, in one line."""
        status, out, err = run("certificate", "/proc/xfer-none")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(
            err,
            "xfer-depot: Can't make /proc/xfer-none: no directory can be made in /proc.\n",
        )


class RebuildTests(SynchronousTestCase):
    """
    C{xfer-depot rebuild}, where every content has an object file.

    @cvar small: the most bytes of a small content.
    """

    small = NO_SMALL

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        store = self.open()
        self.put(store, "a.txt", b"hello")
        self.put(store, "b.txt", b"hello")
        self.put(store, "c.txt", b"other")
        self.store = store

    def open(self) -> LocalStore:
        return make_store(self, self.root, small=self.small)

    def put(self, store: LocalStore, name: str, content: bytes) -> None:
        depot = Depot.over(self, store)
        session = depot.connect()
        session.send(b"UPLOAD %s;%d\n" % (name.encode(), len(content)), content)

    def listed(self) -> list[bytes]:
        store = self.open()
        session = Depot.over(self, store).connect()
        lines = session.send(b"LIST_FILES\n").splitlines()[:-1]
        self.successResultOf(store.close())
        return lines

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
        self.successResultOf(self.store.maintenance.backup())
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
        """A content that no longer hashes to its id is put aside, and one that is gone is told."""
        self.close()
        overwrite(self.root, HELLO, b"jello")
        overwrite(self.root, OTHER, None)
        status, out, _ = run("rebuild", self.root)
        self.assertEqual(status, 1)
        self.assertIn(f"{HELLO} is damaged", out)
        self.assertIn(f'the bytes of {OTHER} are missing; its names were "c.txt"', out)
        self.assertEqual(self.listed(), [b"No files available at the moment"])
        (aside,) = (self.root / "quarantine").iterdir()
        self.assertEqual(aside.read_bytes(), b"jello")


class SmallRebuildTests(RebuildTests):
    """The same, where the contents are small ones."""

    small = SMALL_SIZE

    def rebuild(self) -> tuple[int, str]:
        status, out, err = run("rebuild", self.root)
        self.assertEqual(err, "")
        return status, out

    def assert_whole(self, *contents: bytes) -> None:
        """All these can be had, and there is a row or a file for each, and no other."""
        store = self.open()
        ids = sorted(md5(content).hexdigest() for content in contents)
        for content in contents:
            found = self.successResultOf(stored_bytes(store, md5(content).hexdigest()))
            self.assertEqual(found, content)
        there = [id for _, id in small_rows(self.root)]
        there += [path.name for path in (self.root / "objects").glob("*/*")]
        self.assertEqual(sorted(there), ids)
        self.assertEqual(small_marks(self.root), [])
        self.successResultOf(store.close())

    def test_used_on(self) -> None:
        """What is rebuilt is served, stored anew and deleted as before."""
        self.close()
        self.assertEqual(self.rebuild()[0], 0)
        self.assert_whole(b"hello", b"other")
        store = self.open()
        self.put(store, "new", b"new")
        self.put(store, "again", b"hello")
        self.successResultOf(store.delete(OTHER, None, EVERYTHING))
        self.successResultOf(store.close())
        self.assert_whole(b"hello", b"new")
        self.assertEqual(self.rebuild()[0], 0)
        self.assert_whole(b"hello", b"new")

    def test_litter(self) -> None:
        """A content has one row afterwards, though a crash has left two, or a mark."""
        self.close()
        with contextlib.closing(PackedContents(self.root)) as small:
            small.add([(HELLO, b"hello"), (md5(b"new").hexdigest(), b"new")])
        status, out = self.rebuild()
        self.assertEqual(status, 0)
        self.assertIn("3 contents under 4 names, 1 of them recovered", out)
        self.assert_whole(b"hello", b"other", b"new")

    def test_file_and_row(self) -> None:
        """Of a content that is both a file and a row the file stays, where it is right."""
        self.successResultOf(self.store.close())
        store = make_store(self, Path(self.mktemp()), small=NO_SMALL)
        self.put(store, "x", b"hello")
        source = Path(store._root) / "objects" / HELLO[:2] / HELLO
        target = self.root / "objects" / HELLO[:2] / HELLO
        for content, rows, status in ((b"jello", 2, 1), (b"hello", 1, 0)):
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(source.read_bytes() if content == b"hello" else content)
            self.assertEqual(self.rebuild()[0], status)
            self.assert_whole(b"hello", b"other")
            self.assertEqual(len(small_rows(self.root)), rows)
        self.assertEqual(len(self.listed()), 3)

    def test_both_damaged(self) -> None:
        """Both are kept for whoever investigates where neither is right."""
        self.close()
        overwrite(self.root, HELLO, b"jello")
        target = self.root / "objects" / HELLO[:2] / HELLO
        target.parent.mkdir()
        target.write_bytes(b"cello")
        status, out = self.rebuild()
        self.assertEqual((status, out.count(f"{HELLO} is damaged")), (1, 2))
        asides = [path.read_bytes() for path in (self.root / "quarantine").iterdir()]
        self.assertEqual(sorted(asides), [b"cello", b"jello"])
        self.assert_whole(b"other")

    def test_damaged_id(self) -> None:
        """An id that is none names no file: the bytes are put aside under their own."""
        self.close()
        with contextlib.closing(sqlite3.connect(self.root / SMALL)) as connection:
            connection.execute("UPDATE small SET id = '../../x' WHERE id = ?", (OTHER,))
            connection.commit()
        status, out = self.rebuild()
        self.assertEqual(status, 1)
        self.assertIn('"../../x" is damaged', out)
        (aside,) = (self.root / "quarantine").iterdir()
        self.assertTrue(aside.name.startswith(OTHER))
        self.assert_whole(b"hello")

    def test_unreadable(self) -> None:
        """A database of small contents that is none is told and kept; the rest goes on."""
        self.close()
        large = bytes(SMALL_SIZE + 1)
        store = self.open()
        self.put(store, "large", large)
        self.successResultOf(store.close())
        (self.root / SMALL).write_bytes(b"this is no database" * 1000)
        status, out = self.rebuild()
        self.assertEqual(status, 1)
        self.assertIn("small.sqlite is damaged", out)
        self.assertIn("the old small.sqlite is kept as small.", out)
        self.assertIn(f'the bytes of {HELLO} are missing; its names were "a.txt", "b.txt"', out)
        self.assertIn("1 contents under 1 names, 0 of them recovered", out)
        (kept,) = self.root.glob("small.*.damaged")
        self.assertIn(b"no database", kept.read_bytes())
        self.assert_whole(large)

    def test_damaged_page(self) -> None:
        """Of one with a damaged page, the rows that can be read are taken, from both ends."""
        contents = [b"%05d" % number * 300 for number in range(60)]  # two on a page
        for content in contents:
            self.put(self.store, "x", content)
        self.close()
        path = self.root / SMALL
        data = bytearray(path.read_bytes())
        page = data.index(contents[30]) // PAGE_SIZE
        data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE] = b"\xff" * PAGE_SIZE
        path.write_bytes(data)
        status, out = self.rebuild()
        self.assertEqual(status, 1)
        self.assertIn("small.sqlite is damaged", out)
        ids = {line.split(b";")[0].decode() for line in self.listed()}
        left = [content for content in contents if md5(content).hexdigest() in ids]
        self.assertEqual((left[0], left[-1]), (contents[0], contents[-1]))
        self.assertIn(len(left), range(len(contents) - 4, len(contents)))
        self.assert_whole(*left, b"hello", b"other")

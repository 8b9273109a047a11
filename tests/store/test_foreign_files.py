"""What lies in a storage directory and is not the depot's: it stays, it is told, nothing stops."""

from __future__ import annotations

import os
import re
import signal
from hashlib import md5
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import NO_SMALL, Depot, make_store
from tests.support.processes import Server, new_directory
from xferproto.store.local.layout import foreign

CONTENT = b"hello"
ID = md5(CONTENT).hexdigest()
OTHER = md5(b"other").hexdigest()

FILES = (
    ".nfs0001",
    "catalogue.sqlite~",
    "notes.txt",
    "objects/README",
    f"objects/{ID[:2]}/.#{ID}",
    f"objects/{ID[:2]}/{ID}~",
    f"objects/{ID[:2]}/{ID.upper()}",
    f"objects/{ID[:2]}/{OTHER}",
    "incoming/notes~",
    "incoming/notes.commit",
    f"incoming/{ID.upper()}",
    "partial/notes",
    f"partial/{'A' * 64}",
    "quarantine/notes",
)

FOLDERS = (
    ".snapshot",
    "lost+found",
    "objects/lost+found",
    "objects/AB",
    f"objects/{ID[:2]}/lost+found",
    f"objects/{OTHER[:2]}/{OTHER}",
    "incoming/.snapshot",
    f"incoming/{OTHER}",
    f"incoming/{OTHER}.commit",
    "partial/lost+found",
    f"partial/{'a' * 64}",
    "quarantine/.snapshot",
    f"quarantine/{OTHER}.1",
)

LINKS = (
    "link",
    "objects/link",
    "objects/cd",
    f"objects/{ID[:2]}/{ID[:2]}{'0' * 30}",
    f"incoming/{'1' * 32}",
    f"incoming/{'2' * 32}.commit",
    f"partial/{'3' * 64}",
)


class ForeignTests(SynchronousTestCase):
    """A server in a directory that has all of this."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.successResultOf(make_store(self, self.root).close())

    def litter(self) -> list[str]:
        """Put it there: what there is, sorted."""
        for name in (*FILES, *FOLDERS, *LINKS):
            (self.root / name).parent.mkdir(exist_ok=True)
        for name in FILES:
            (self.root / name).write_text("mine")
        for name in FOLDERS:
            (self.root / name).mkdir(exist_ok=True)
            (self.root / name / "file").write_text("mine")
        for name in LINKS:
            (self.root / name).symlink_to("/nowhere")
        os.mkfifo(self.root / "objects" / "pipe")
        return sorted([*FILES, *FOLDERS, *LINKS, "objects/pipe"])

    def assert_there(self, names: list[str]) -> None:
        for name in names:
            self.assertTrue(os.path.lexists(self.root / name), name)
        for name in FILES:
            self.assertEqual((self.root / name).read_text(), "mine")
        for name in FOLDERS:
            self.assertEqual((self.root / name / "file").read_text(), "mine")

    def test_left_alone(self) -> None:
        """It survives starts, uploads, deletions and stops; the depot works as without it."""
        names = self.litter()
        for small in (NO_SMALL, 100):
            store = make_store(self, self.root, small=small)
            session = Depot.over(self, store).connect()
            self.assertEqual(session.send(b"UPLOAD a;5\n", CONTENT), f"{ID}\n".encode())
            self.assertEqual(
                session.send(f"DOWNLOAD {ID}\n".encode()), f"{ID};a;5\n".encode() + CONTENT
            )
            self.assertEqual(session.send(f"DELETE {ID}\n".encode()), f"{ID}\n".encode())
            self.successResultOf(store.close())
            self.assert_there(names)

    def test_found(self) -> None:
        """All of it is found, and nothing that is the depot's."""
        self.assertEqual(foreign(self.root), [])
        names = self.litter()
        store = make_store(self, self.root, small=NO_SMALL)
        session = Depot.over(self, store).connect()
        session.send(b"UPLOAD a;5\n", CONTENT)
        session.send(b"RESUME b;5;token\n", b"0\n", b"by")
        session.send(b"UPLOAD c;5\n", b"by")
        self.successResultOf(store.maintenance.backup())
        self.assertEqual([str(path) for path in foreign(self.root)], names)

    def test_directory_in_place_of_object(self) -> None:
        """A directory that has come in the place of a stored file is damage, and stays."""
        store = make_store(self, self.root, small=NO_SMALL)
        session = Depot.over(self, store).connect()
        session.send(b"UPLOAD a;5\n", CONTENT)
        path = self.root / "objects" / ID[:2] / ID
        path.unlink()
        (path / "mine").mkdir(parents=True)
        for request in (f"DOWNLOAD {ID}\n", f"VERIFY {ID}\n"):
            self.assertTrue(session.send(request.encode()).startswith(b"ERROR corrupt "))
        (kept,) = self.root.rglob("mine")
        self.successResultOf(store.close())
        (self.root / "incoming" / f"{ID}.commit").touch()
        self.successResultOf(make_store(self, self.root, small=NO_SMALL).close())
        self.assertTrue(kept.is_dir())

    def test_pipe_in_place_of_object(self) -> None:
        """A pipe there does not hold anybody up."""
        store = make_store(self, self.root, small=NO_SMALL)
        session = Depot.over(self, store).connect()
        session.send(b"UPLOAD a;5\n", CONTENT)
        path = self.root / "objects" / ID[:2] / ID
        path.unlink()
        os.mkfifo(path)
        answer = session.send(f"DOWNLOAD {ID}\n".encode())
        self.assertTrue(answer.startswith(b"ERROR corrupt "), answer)

    def test_marked_directory(self) -> None:
        """A directory named like an object that a crash has left is no reason not to start."""
        path = self.root / "objects" / OTHER[:2] / OTHER
        path.mkdir(parents=True)
        (self.root / "incoming" / f"{OTHER}.commit").touch()
        self.successResultOf(make_store(self, self.root).close())
        self.assertTrue(path.is_dir())


class LogTests(SynchronousTestCase):
    """What the log says of it."""

    def test_once(self) -> None:
        """One line at the start names some of it, and how many there are."""
        directory = new_directory(self)
        storage = directory / "storage"
        (storage / "incoming").mkdir(parents=True)
        for number in range(50):
            (storage / f"{number:02}\x1b\n").touch()
        (storage / "incoming" / "lost+found").mkdir()
        server = Server(self, directory)
        line = server.wait_for("not the depot's")
        self.assertIn("51 files or directories", line)
        self.assertIn(r'"00\x1b\n"', line)
        self.assertEqual(len(re.findall(r'"[^"]*"', line)), 10)
        server.signal(signal.SIGTERM)
        self.assertEqual(sum("not the depot's" in line for line in server.wait().out), 1)

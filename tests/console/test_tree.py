"""What the console command finds to be sent, and where it lets fetched files go."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from xferproto.console.transfers.destinations import Destinations, small_hashes
from xferproto.console.transfers.local_tree import (
    EMPTY,
    LINK,
    SPECIAL,
    Found,
    LeftOut,
    LocalFile,
    Refused,
    first_name,
    found_at,
    matches,
)
from xferproto.console.transfers.resolve import among, note_directory
from xferproto.console.transfers.summary import Summary
from xferproto.console.ui.advice import LocalRefusal
from xferproto.model.entry import Entry
from xferproto.model.errors import BadName


class TreeTests(SynchronousTestCase):
    """Files below a path."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()

    def file(self, name: str | bytes, content: bytes = b"x") -> None:
        path = self.root / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    def found(self, follow: bool = False, first: str = "top") -> list[Found]:
        return list(found_at(str(self.root), first, follow))

    def names(self, follow: bool = False, first: str = "top") -> list[str]:
        return [one.name for one in self.found(follow, first) if isinstance(one, LocalFile)]

    def left_out(self, follow: bool = False) -> Counter[str]:
        return Counter(one.kind for one in self.found(follow) if isinstance(one, LeftOut))

    def refused(self) -> list[Refused]:
        return [one for one in self.found() if isinstance(one, Refused)]

    def test_tree(self) -> None:
        """Names are relative to the directory, in the order of their bytes, with its own first."""
        for name in ("b", "a/z", "a/é", "a.txt", ".hidden"):
            self.file(name)
        self.assertEqual(self.names(), ["top/.hidden", "top/a/z", "top/a/é", "top/a.txt", "top/b"])
        self.assertEqual(self.names(first="")[0], ".hidden")

    def test_file(self) -> None:
        """A file has the name that it is given, and its size."""
        self.file("a", b"12345")
        path = str(self.root / "a")
        self.assertEqual(list(found_at(path, "b")), [LocalFile(path, "b", 5)])

    def test_missing(self) -> None:
        """A path that leads nowhere is refused."""
        for path in (str(self.root / "nothing"), "with\0nul"):
            (refused,) = found_at(path, "x")
            assert isinstance(refused, Refused)
            self.assertIsInstance(refused.error, (OSError, ValueError))

    def test_left_out(self) -> None:
        """Links, pipes and empty directories are left out, and counted."""
        self.file("a")
        (self.root / "link").symlink_to("a")
        (self.root / "loop").symlink_to(".")
        (self.root / "nowhere").symlink_to("gone")
        (self.root / "empty").mkdir()
        os.mkfifo(self.root / "pipe")
        self.assertEqual(self.names(), ["top/a"])
        self.assertEqual(self.left_out(), {LINK: 3, EMPTY: 1, SPECIAL: 1})
        self.assertEqual(self.refused(), [])

    def test_followed(self) -> None:
        """Followed links count as what they lead to; a loop ends, a dead one is refused."""
        self.file("d/a")
        (self.root / "link").symlink_to("d/a")
        (self.root / "d/loop").symlink_to("..")
        (self.root / "nowhere").symlink_to("gone")
        (self.root / "self").symlink_to("self")
        self.assertEqual(self.names(follow=True), ["top/d/a", "top/link"])
        self.assertEqual(self.left_out(follow=True), {LINK: 1})
        refused = [one.path for one in self.found(follow=True) if isinstance(one, Refused)]
        self.assertEqual([Path(path).name for path in refused], ["nowhere", "self"])

    def test_argument_followed(self) -> None:
        """What is named is followed, be it a link or not."""
        self.file("d/a")
        link = self.root / "link"
        link.symlink_to("d")
        self.assertEqual([type(one) for one in found_at(str(link), "l")], [LocalFile])

    def test_pipe(self) -> None:
        """A pipe that is named is refused, not waited for."""
        os.mkfifo(self.root / "pipe")
        (refused,) = found_at(str(self.root / "pipe"), "p")
        assert isinstance(refused, Refused)
        self.assertIn("regular", str(refused.error))

    def test_names(self) -> None:
        """Names that no depot stores are refused one by one, a directory for all in it."""
        bad: list[str | bytes] = [
            "new\nline",
            "back\\slash",
            b"\xff.bin",
            "\u2028",
            "d\x1b/a",
            "d\x1b/b",
        ]
        for name in ("good", *bad):
            self.file(name)
        self.assertEqual(self.names(), ["top/good"])
        self.assertEqual(len(self.refused()), 5)
        for refused in self.refused():
            self.assertIsInstance(refused.error, BadName)

    def test_deep(self) -> None:
        """Where names become too long it ends, whatever is below."""
        path = self.root
        for _ in range(12):
            path /= "d" * 100
            path.mkdir()
        (path / "file").touch()
        self.assertEqual(self.names(), [])
        (refused,) = self.refused()
        self.assertIn("1024", str(refused.error))

    def test_excluded(self) -> None:
        """Patterns leave out files, and directories with all that is in them."""
        for name in ("a.tmp", "d/b.tmp", "d/c", "cache/x", "d/cache/y"):
            self.file(name)
        for patterns, names in (
            (["*.tmp"], ["cache/x", "d/c", "d/cache/y"]),
            (["cache"], ["a.tmp", "d/b.tmp", "d/c"]),
            (["/cache", "d/*"], ["a.tmp"]),
            (["[a-c]*"], []),
            (["nothing", "d/?"], ["a.tmp", "cache/x", "d/b.tmp", "d/cache/y"]),
        ):
            found = found_at(str(self.root), "", excluded=partial(matches, patterns=patterns))
            self.assertEqual(
                [one.name for one in found if isinstance(one, LocalFile)], names, patterns
            )

    def test_first_name(self) -> None:
        """A name begins with the last component of its path, if it has one."""
        for path, name in (
            ("a/b", "b"),
            ("a/b/", "b"),
            (".", ""),
            ("..", ""),
            ("a/.", ""),
            ("/", ""),
            ("/x", "x"),
        ):
            self.assertEqual(first_name(path), name)


class PlaceTests(SynchronousTestCase):
    """Where files go."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.places = Destinations(str(self.root))

    def test_made(self) -> None:
        """The directory and those below it are made."""
        self.assertIsNone(self.places.make("a/b/c.txt"))
        self.assertTrue((self.root / "a/b").is_dir())
        self.assertIsNone(self.places.make("a/b/d.txt"))
        self.assertIsNone(self.places.make("top.txt"))

    def test_file_in_the_way(self) -> None:
        """A file where a directory has to be is told, and stays."""
        self.root.mkdir()
        (self.root / "a").write_bytes(b"x")
        refusal = self.places.make("a/b")
        self.assertIsInstance(refusal, OSError)
        self.assertIn("in the place of a directory", str(refusal))
        self.assertEqual((self.root / "a").read_bytes(), b"x")

    def test_links(self) -> None:
        """A link that stays inside may be used; one that leads out is refused, and nothing made."""
        outside = Path(self.mktemp())
        outside.mkdir()
        (self.root / "in").mkdir(parents=True)
        (self.root / "inside").symlink_to("in")
        (self.root / "outside").symlink_to(outside.absolute())
        (self.root / "dead").symlink_to("nothing")
        self.assertIsNone(self.places.make("inside/x/y"))
        self.assertTrue((self.root / "in/x").is_dir())
        self.assertIsInstance(self.places.make("outside/x/y"), LocalRefusal)
        self.assertEqual(list(outside.iterdir()), [])
        self.assertIsInstance(self.places.make("dead/x"), OSError)

    def test_root_of_its_own(self) -> None:
        """The directory itself may be reached by links."""
        real = Path(self.mktemp())
        real.mkdir()
        self.root.symlink_to(real.absolute())
        self.assertIsNone(self.places.make("a/b"))
        self.assertTrue((real / "a").is_dir())

    def test_hashes(self) -> None:
        """Small regular files have sizes and hashes, large ones sizes, others nothing."""
        self.root.mkdir()
        (self.root / "small").write_bytes(b"hello")
        (self.root / "large").write_bytes(b"x" * 100)
        (self.root / "link").symlink_to("small")
        paths = [str(self.root / name) for name in ("small", "large", "link", "none", "no\0ne")]
        self.assertEqual(
            small_hashes(paths, 50),
            [(5, "5d41402abc4b2a76b9719d911017c592"), (100, None), *[(None, None)] * 3],
        )


class WantedTests(SynchronousTestCase):
    """What an argument stands for."""

    def among(self, what: str, *names: str) -> list[str]:
        entries = [Entry("0" * 32, name, 1) for name in names if name.startswith(what)]
        return [entry.name for entry in among(entries, what)]

    def test_among(self) -> None:
        """A name counts before a directory, a directory before a beginning."""
        names = ("a", "a/1", "a/2", "ab", "b/1")
        self.assertEqual(self.among("a", *names), ["a"])
        self.assertEqual(self.among("a/", *names), ["a/1", "a/2"])
        self.assertEqual(self.among("b", *names), ["b/1"])
        self.assertEqual(self.among("a", "a/1", "ab"), ["a/1"])
        self.assertEqual(self.among("a", "ab", "ac"), ["ab", "ac"])
        self.assertEqual(self.among("", *names), list(names))
        self.assertEqual(self.among("x", *names), [])

    def noted(self, what: str, *names: str) -> list[str]:
        notes: list[str] = []
        note_directory([Entry("0" * 32, name, 1) for name in names], what, notes.append)
        return notes

    def test_directory_too(self) -> None:
        """A note says that an argument is a name and a directory, and how to give the directory."""
        self.assertEqual(
            self.noted("a", "a", "a", "a/1", "a/1", "a/b/2", "ab"),
            [
                '"a" is a name, and a directory of 2 names; this is the name alone. '
                'Give "a/" for the directory.'
            ],
        )
        self.assertIn("a directory of 1 name;", self.noted("a", "a", "a/1")[0])
        self.assertIn('"\\x1b" is', self.noted("\x1b", "\x1b", "\x1b/1")[0])
        for names in (("a",), ("a/1", "a/2"), ("a", "ab", "a.b/1"), ("b", "b/1"), ()):
            self.assertEqual(self.noted("a", *names), [])
        self.assertEqual(self.noted("a/", "a", "a/1"), [])
        self.assertEqual(self.noted("", "a", "a/1"), [])


class TallyTests(SynchronousTestCase):
    """The last line."""

    def test_text(self) -> None:
        """It says what there is to say, and nothing else."""
        tally = Summary(done=1, moved=1)
        self.assertEqual(tally.text("stored", "sent", "there"), "1 file stored (1 byte sent)")
        tally = Summary(10_000, 41_000_000, 2, 1536, 3, 4)
        tally.left_out.update({LINK: 2, EMPTY: 1})
        self.assertEqual(
            tally.text("stored", "sent", "there"),
            "10,000 files stored (39.1 MiB sent); 2 there (1.5 KiB); 3 failed; 4 unfinished; "
            "left out: 2 symbolic links, 1 empty directory",
        )
        self.assertEqual(Summary(present=1, kept=1).text("", "", "there"), "1 file there (1 byte)")
        self.assertEqual(
            Summary(left_out=Counter({EMPTY: 2})).text("", "", "")[-19:], "2 empty directories"
        )

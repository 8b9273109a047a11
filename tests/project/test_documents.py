"""What README.md and docs/ show is what happens; their Python programs are in test_python.py."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.documents import (
    PROJECT,
    SHELL,
    Block,
    Reader,
    blocks,
    documents,
    missing,
    statements,
    transcript,
)

REASONS = {
    "another machine",
    "another program",
    "certificate authority",
    "installs software",
    "root",
    "systemd",
    "takes minutes",
}
"""Why commands are not run here."""

LANGUAGES = {*SHELL, "abnf", "ini", "mermaid", "python", "text", "toml"}

PYTHON = {"README.md", "protocol.md", "python.md"}
"""Documents whose Python programs other tests run."""

FILES = {
    "report.txt": b"All is well.\n",
    "report.pdf": b"%PDF-1.4\n%%EOF\n",
    "photo.jpg": b"photo" * 1000,
    "photos/autumn.jpg": b"autumn" * 5000,
    "photos/winter.jpg": b"winter" * 5000,
}
"""What the reader of a document has."""


def place(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


class CommandTests(SynchronousTestCase):
    """Each document by itself: a fresh directory, and the servers that it starts."""

    def read(self, name: str) -> None:
        """Run every block of a document that is not marked."""
        reader = Reader(self)
        for file, content in FILES.items():
            (reader.home / file).parent.mkdir(exist_ok=True)
            (reader.home / file).write_bytes(content)
        for block in blocks(PROJECT / name):
            if block.language in SHELL and not block.not_run and not missing(block):
                reader.read(block)

    def test_readme(self) -> None:
        self.read("README.md")

    def test_client(self) -> None:
        self.read("docs/client.md")

    def test_coming_from(self) -> None:
        self.read("docs/coming-from.md")

    def test_deployment(self) -> None:
        self.read("docs/deployment.md")

    def test_operation(self) -> None:
        self.read("docs/operation.md")

    def test_unattended(self) -> None:
        self.read("docs/unattended.md")

    def test_all(self) -> None:
        """Each document with such blocks has a test of its own here."""
        tested = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        with_blocks = {
            path.stem.lower().replace("-", "_")
            for path in documents()
            if any(block.language in SHELL and not block.not_run for block in blocks(path))
        }
        self.assertEqual(with_blocks, tested - {"all"})


class ReaderTests(SynchronousTestCase):
    """The reader of these tests notices what is wrong."""

    def setUp(self) -> None:
        self.reader = Reader(self)

    def read(self, language: str, text: str) -> None:
        self.reader.read(Block("a document:1", language, text, "", (), ()))

    def test_right(self) -> None:
        """What varies, or is left out, may differ."""
        self.read("console", "$ echo took 3.5 ms\ntook 7 ms\n$ echo a/b\n…/b\n$ true\n")
        self.read("console", "$ echo 2026-11-26T19:06:29+0000\n2026-01-02T03:04:05+0000\n")
        self.read("sh", "cat > file <<'END'\nfor you\nEND\nfor i in 1 2; do\n    echo $i\ndone\n")
        self.assertEqual((self.reader.home / "file").read_text(), "for you\n")

    def test_wrong(self) -> None:
        """Other output, more, less, or a failure."""
        for language, text in (
            ("console", "$ echo a\nb\n"),
            ("console", "$ echo a\na\nb\n"),
            ("console", "$ echo a; echo b\na\n"),
            ("console", "$ false\n"),
            ("sh", "true\nfalse\n"),
            ("sh", "twistd -n xfer --nonsense\n"),
        ):
            self.assertRaises(AssertionError, self.read, language, text)

    def test_session(self) -> None:
        """What a server says is compared too."""
        self.read("sh", "twistd -n xfer\n")
        self.read("console", "$ nc 127.0.0.1 9000\nSTAT\nPlease send a file ID\n1\nERROR …\nQUIT\n")
        wrong = "$ nc 127.0.0.1 9000\nLIST_FILES\nNothing\nDONE\nQUIT\n"
        self.assertRaises(AssertionError, self.read, "console", wrong)


class MarkTests(SynchronousTestCase):
    """What every document keeps to."""

    def each(self) -> list[tuple[Path, Block]]:
        return [(path, block) for path in documents() for block in blocks(path)]

    def test_languages(self) -> None:
        """A block has a language, and commands stand in blocks of a shell's."""
        for path, block in self.each():
            self.assertIn(block.language, LANGUAGES, block.where)
            if block.language == "python":
                self.assertIn(path.name, PYTHON, block.where)
            if block.language in SHELL:
                found = (
                    transcript(block.text)
                    if block.language == "console"
                    else statements(block.text)
                )
                self.assertTrue(found, block.where)

    def test_reasons(self) -> None:
        """What is not run has a reason that we know."""
        for _, block in self.each():
            if block.not_run:
                self.assertIn(block.not_run, REASONS, block.where)
                self.assertIn(block.language, SHELL, block.where)

    def test_paths(self) -> None:
        """The folders and modules that the architecture names are there."""
        text = (PROJECT / "docs" / "architecture.md").read_text("utf-8")
        found = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", text)
        self.assertGreater(len(found), 30)
        for path in found:
            there = [(root / path).exists() for root in (PROJECT, PROJECT / "xferproto")]
            self.assertTrue(any(there) or path == "objects/", path)

    def test_links(self) -> None:
        """Each link within the project leads somewhere."""
        for path in [*documents(), PROJECT / "CONTRIBUTING.md", PROJECT / "CHANGELOG.md"]:
            text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.M | re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                file, _, anchor = target.partition("#")
                if file.startswith(("https:", "http:")):
                    continue
                there = (path.parent / file).resolve() if file else path
                self.assertTrue(there.exists(), f"{path.name}: {target}")
                if anchor:
                    titles = re.findall("^#+ (.*)$", there.read_text("utf-8"), re.M)
                    self.assertIn(anchor, map(place, titles), f"{path.name}: {target}")

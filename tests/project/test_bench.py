"""The bench: that it measures, that it notices what is wrong, and that its document holds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from bench.cases import upload
from bench.contents import Batch, WrongArrival, check_batch, make_batch, make_content
from bench.figures import Figures, Result, Sample, absolute, ratio
from bench.pace import percentile
from bench.peers import PEERS, Peer
from bench.processes import SOURCE_TREE, Process, environment, free_port, python, run
from bench.report import Record, rendered
from tests.support.processes import PATIENCE


class Careless(Peer):
    """A server that serves nothing; its client makes a copy, one bit of which is not right."""

    name = "careless"

    def serve(self) -> list[str]:
        return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(self.port)]

    def upload(self, source: Path, name: str) -> list[str]:
        code = (
            "import pathlib, sys; data = bytearray(pathlib.Path(sys.argv[1]).read_bytes());"
            "data[-1] ^= 1; pathlib.Path(sys.argv[2]).write_bytes(data)"
        )
        return [sys.executable, "-c", code, str(source), str(self.root / name)]

    def download(self, name: str, target: Path) -> list[str]:
        raise NotImplementedError

    def upload_all(self, batch: Batch) -> list[str]:
        raise NotImplementedError

    def download_all(self, batch: Batch, target: Path) -> list[str]:
        raise NotImplementedError


def directory_for(case: SynchronousTestCase) -> Path:
    """A new directory; gone after the test."""
    temporary = tempfile.TemporaryDirectory(prefix="xfer-bench-test-")
    case.addCleanup(temporary.cleanup)
    return Path(temporary.name)


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the bench as a user does, without what may not be installed here."""
    return subprocess.run(
        python("bench", "--quick", "--rounds", "1", "--only", "xfer", "--no-write", *arguments),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class QuickTests(SynchronousTestCase):
    """The command, with small sizes."""

    def run_case(self, name: str, *labels: str) -> None:
        """Run a case: all these figures come out, each with its unit."""
        directory = directory_for(self)
        ended = bench("--case", name, "--directory", directory)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        for label in labels:
            self.assertRegex(ended.stdout, rf"(?m)^  {label} +[0-9.,e-]+ [A-Za-z/ ]+", ended.stdout)
        self.assertEqual(list(directory.iterdir()), [], "it leaves nothing")

    def test_upload(self) -> None:
        self.run_case("upload", "md5sum", "xfer", "plain sender to xfer")

    def test_download(self) -> None:
        self.run_case("download", "md5sum", "xfer")

    def test_small(self) -> None:
        self.run_case("small", "up: xfer", "down: xfer")

    def test_list(self) -> None:
        self.run_case("list", "LIST_FILES: to the first line", "LIST_FILES: entries a second")

    def test_many(self) -> None:
        self.run_case("many", "all clients together", "server memory for an idle connection")

    def test_start(self) -> None:
        self.run_case("start", "twistd -n xfer, to the first connection")

    def test_cost(self) -> None:
        self.run_case("cost", "server", "hashes and copy alone", "memory: client, up, 16 MiB")

    def test_unknown(self) -> None:
        """A case that there is not is told."""
        ended = bench("--case", "sideways")
        self.assertEqual(ended.returncode, 2)
        self.assertIn("sideways", ended.stderr)


class ArrivalTests(SynchronousTestCase):
    """What arrived wrong is noticed."""

    def test_flipped(self) -> None:
        """A peer that turns a bit over ends the bench."""
        directory = directory_for(self)
        content = make_content(directory / "big", 100_000)
        peer = Careless(directory / "peer")
        self.addCleanup(peer.stop)
        peer.start()
        with self.assertRaises(WrongArrival):
            list(upload.sending(peer, content).run())

    def test_batch(self) -> None:
        """So does a file that is missing, and one that differs."""
        directory = directory_for(self)
        batch = make_batch(directory / "small", 3, 10)
        check_batch(batch.directory, batch)
        name = next(iter(batch.ids))
        (batch.directory / name).write_bytes(b"other")
        with self.assertRaises(WrongArrival):
            check_batch(batch.directory, batch)
        (batch.directory / name).unlink()
        with self.assertRaises(WrongArrival):
            check_batch(batch.directory, batch)

    def test_yardsticks_check(self) -> None:
        """The plain program hashes what it gets."""
        directory = directory_for(self)
        content = make_content(directory / "big", 3_000_001)
        port = free_port()
        command = python("bench.plain_server", port, content.size, directory / "received")
        server = Process(command, directory, directory / "log")
        self.addCleanup(server.stop)
        server.wait_for_port(port)
        contender = upload.yardstick(port, content, directory / "received")
        [sample] = contender.run()
        self.assertEqual(sample.label, upload.TO_PLAIN)

    def test_failed_command(self) -> None:
        """A client that fails is no measurement."""
        with self.assertRaisesRegex(Exception, "ended with 3"):
            run([sys.executable, "-c", "raise SystemExit(3)"])


def record() -> Record:
    """A case as it might be."""
    figures = Figures()
    for fast, slow in ((1.0, 2.0), (1.5, 2.0), (1.1, 4.4)):
        figures.add([Sample("xfer", "s", fast), Sample("snail", "s", slow)])
    goals = (
        ratio(1, "xfer's time to the snail's", figures["xfer"], figures["snail"], "at most", 0.5),
        absolute(2, "xfer", figures["xfer"], "at most", 1.0),
    )
    result = Result(tuple(figures.all()), goals, ("tortoise: not installed here",))
    return Record("A race", "2026-01-31", 3, {"processor": "8086", "cores": "2"}, result)


class RenderTests(SynchronousTestCase):
    """The document."""

    DOCUMENT = (
        "# Mine\n\n<!-- begin goals -->\nold\n<!-- end goals -->\n\nBy hand: \\1.\n\n"
        "<!-- begin figures -->\n<!-- end figures -->\nThe end.\n"
    )

    def test_rendered(self) -> None:
        """Figures come in, with what was left out; what is written by hand stays."""
        text = rendered(self.DOCUMENT, {"race": record()})
        self.assertNotIn("old", text)
        for expected in (
            "By hand: \\1.",
            "The end.",
            "| 1 | xfer's time to the snail's | at most 0.5× | 0.55× | 0.25–0.75 | **missed** |",
            "| 2 | xfer | at most 1 s | 1.1 s | 1–1.5 | **missed** |",
            "| snail | 2 s | 2–4.4 |",
            "Left out: tortoise: not installed here.",
            "2026-01-31, 3 rounds, machine A.",
            "Machine A: processor 8086, cores 2.",
        ):
            self.assertIn(expected, text)
        self.assertEqual(rendered(text, {"race": record()}), text, "rendered again")

    def test_no_place(self) -> None:
        """A document without the marks is not written over."""
        with self.assertRaises(ValueError):
            rendered("# Mine\n", {"race": record()})

    def test_kept(self) -> None:
        """What is kept in a file comes back."""
        kept = record().to_json()
        self.assertEqual(Record.from_json(kept).to_json(), kept)

    def test_document(self) -> None:
        """The one in docs/ has the marks."""
        document = (SOURCE_TREE / "docs" / "performance.md").read_text()
        self.assertIn("8086", rendered(document, {"race": record()}))

    @skipIf(find_spec("matplotlib") is None, "takes matplotlib")
    def test_chart(self) -> None:
        """The same figures give the same chart, with its text as text."""
        from bench.chart import draw

        directory = directory_for(self)
        for name in ("one", "two"):
            draw({"upload": record()}, directory / name)
        chart = (directory / "one").read_text()
        self.assertEqual((directory / "two").read_text(), chart)
        self.assertIn(">snail</text>", chart)


class FigureTests(SynchronousTestCase):
    """The arithmetic."""

    def test_percentile(self) -> None:
        self.assertEqual(percentile(range(1, 101), 99), 99)
        self.assertEqual(percentile([5.0], 99), 5.0)

    def test_met(self) -> None:
        """At most and at least."""
        figures = Figures()
        figures.add([Sample("rate", "files/s", 10.0)])
        self.assertTrue(absolute(1, "", figures["rate"], "at least", 10).met)
        self.assertTrue(absolute(1, "", figures["rate"], "at most", 10).met)
        self.assertFalse(absolute(1, "", figures["rate"], "at least", 11).met)

    def test_peers(self) -> None:
        """Every peer has a name of its own."""
        names = [peer.name for peer in PEERS]
        self.assertEqual(len(set(names)), len(names))

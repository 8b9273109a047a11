"""The blocking face of the client in programs of all kinds, each run by a fresh interpreter."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import Authority, write, write_authority
from tests.support.processes import Outcome, Server, listening_port, new_directory
from tests.support.programs import Program, run_program

BEGIN = """
import os, sys, threading
from pathlib import Path
from xferproto import *
port = int(sys.argv[1])
depot = BlockingClient(f"tcp:127.0.0.1:{port}")
"""
"""What the programs begin with."""

SLOW = ("--rate", "4M")
"""Options of a server at which a transfer of a few MiB has a middle."""


class ProgramCase(SynchronousTestCase):
    """A server and programs that use it."""

    def setUp(self) -> None:
        self.directory = new_directory(self)

    def serve(self, *options: str | Path) -> Server:
        server = Server(self, self.directory, *options)
        server.drain()
        return server

    def start(self, server: Server, code: str, *arguments: str | Path) -> Program:
        """Run a program."""
        return Program(self, self.directory, BEGIN + dedent(code), server.port, *arguments)

    def run_to_end(self, server: Server, code: str, *arguments: str | Path) -> list[str]:
        """Run a program to its good and quiet end: what it has written."""
        outcome = self.start(server, code, *arguments).wait()
        self.assertEqual((outcome.err, outcome.status), ([], 0))
        return outcome.out


class EndTests(ProgramCase):
    """However a program ends, the interpreter does too, at once and quietly."""

    def test_not_closed(self) -> None:
        """A client that was used and not closed does not keep it."""
        code = """
        print(depot.upload(b"a", "a").name)
        other = BlockingClient(host="127.0.0.1", port=port)
        print(len(other.list_files()))
        """
        self.assertEqual(self.run_to_end(self.serve(), code), ["a", "1"])

    def test_not_used(self) -> None:
        """Nor does one that was never used."""
        self.assertEqual(self.run_to_end(self.serve(), "print(depot)")[0][:1], "<")

    def test_under_way(self) -> None:
        """Nor do requests that are under way on threads of no importance; nothing is stored."""
        code = """
        begun = threading.Event()

        def send():
            depot.upload(bytes(8 * 1024 * 1024), "large", lambda done, total: begun.set())

        def ask():
            other = BlockingClient(f"tcp:127.0.0.1:{port}")
            while True:
                other.list_files()

        for work in (send, ask, ask):
            threading.Thread(target=work, daemon=True).start()
        begun.wait()
        print("end")
        """
        server = self.serve(*SLOW)
        self.assertEqual(self.run_to_end(server, code), ["end"])
        self.assertEqual(self.run_to_end(server, "print(depot.list_files())"), ["[]"])

    def test_download_under_way(self) -> None:
        """What has come of a download is kept, and found by the next program."""
        code = """
        begun = threading.Event()
        first = []

        def progress(done, total):
            first.append(done)
            if done > total // 4:
                begun.set()

        def fetch():
            entry, = depot.list_files()
            depot.download(entry.id, "copy", progress=progress)
            print(first[0] > 0, entry.size == Path("copy").stat().st_size)

        thread = threading.Thread(target=fetch, daemon=len(sys.argv) > 2)
        thread.start()
        begun.wait()
        """
        server = self.serve(*SLOW)
        self.run_to_end(server, 'depot.upload(bytes(8 * 1024 * 1024), "large")')
        self.assertEqual(self.run_to_end(server, code, "daemon"), [])
        self.assertEqual(self.run_to_end(server, code), ["True True"])
        left = [path.name for path in self.directory.iterdir() if path.suffix == ".part"]
        self.assertEqual(left, [])

    def test_waited_for(self) -> None:
        """Requests of other threads come to their end."""
        code = """
        def send():
            depot.upload(bytes(2 * 1024 * 1024), "large")
            print(threading.main_thread().is_alive())

        depot.list_files()
        threading.Thread(target=send).start()
        """
        server = self.serve(*SLOW)
        self.assertEqual(self.run_to_end(server, code), ["False"])
        self.assertEqual(len(self.run_to_end(server, "print(depot.list_files())")), 1)

    def test_exit_within(self) -> None:
        """Its status is that of whoever ends it."""
        code = """
        with depot:
            depot.list_files()
            sys.exit(3)
        """
        outcome = self.start(self.serve(), code).wait()
        self.assertEqual(outcome, Outcome(3, [], []))

    def test_too_late(self) -> None:
        """A request when all has ended is refused."""
        code = """
        import atexit

        def late():
            try:
                depot.list_files()
            except RuntimeError as error:
                print(error)
            depot.close()

        atexit.register(late)  # what is registered later is called earlier
        """
        code = dedent(code) + BEGIN + "depot.list_files()"
        outcome = Program(self, self.directory, code, self.serve().port).wait()
        self.assertEqual((outcome.err, outcome.status), ([], 0))
        self.assertIn("ending", outcome.out[0])


class InterruptTests(ProgramCase):
    """Ctrl-C."""

    SEND = """
    def progress(done, total):
        if 0 < done < total:
            print(done)

    path = Path("large")
    if not path.exists():
        path.write_bytes(os.urandom(8 * 1024 * 1024))
    """

    def test_caught(self) -> None:
        """It is raised in the thread that waits; the client goes on where it was."""
        code = """
        try:
            depot.upload("large", progress=progress)
        except KeyboardInterrupt:
            print("interrupted")
        print(len(depot.list_files()))
        begun = []
        depot.upload("large", progress=lambda done, total: begun.append(done))
        print("from", begun[0] > 0, len(depot.list_files()))
        depot.close()
        print(threading.active_count())
        """
        program = self.start(self.serve(*SLOW), dedent(self.SEND) + dedent(code))
        program.wait_for("")
        program.interrupt()
        program.wait_for("interrupted")
        outcome = program.wait()
        self.assertEqual(outcome.out[-3:], ["0", "from True 1", "1"])
        self.assertEqual((outcome.err, outcome.status), ([], 0))

    def test_not_caught(self) -> None:
        """Where nobody catches it, it ends the program; the next one goes on."""
        server = self.serve(*SLOW)
        code = dedent(self.SEND) + dedent(
            """
            with depot:
                depot.upload("large", progress=progress)
            """
        )
        program = self.start(server, code)
        program.wait_for("")
        program.interrupt()
        outcome = program.wait()
        self.assertEqual(outcome.err[-1], "KeyboardInterrupt")
        self.assertNotEqual(outcome.status, 0)
        again = """
        begun = []
        depot.upload("large", progress=lambda done, total: begun.append(done))
        print(begun[0] > 0)
        """
        self.assertEqual(self.run_to_end(server, again), ["True"])

    def test_many(self) -> None:
        """It ends a request for many files; what was told of is stored."""
        code = """
        told = []
        def tell(name, outcome):
            told.append(name)
            print(name)

        def files():
            for number in range(10_000_000):
                yield b"%d" % number, str(number)

        try:
            depot.upload_many(files(), tell)
        except KeyboardInterrupt:
            print("interrupted")
        names = {entry.name for entry in depot.list_files()}
        print(names >= set(told))
        """
        program = self.start(self.serve(), code)
        program.wait_for("100")
        program.interrupt()
        program.wait_for("interrupted")
        outcome = program.wait()
        self.assertEqual((outcome.out[-1], outcome.err, outcome.status), ("True", [], 0))

    def test_no_server(self) -> None:
        """It ends the wait between two tries."""
        code = """
        depot = BlockingClient(f"tcp:127.0.0.1:1", tries=1000, notify=print)
        try:
            depot.list_files()
        except KeyboardInterrupt:
            print("interrupted")
        """
        program = self.start(self.serve(), code)
        program.wait_for("Trying again")
        program.interrupt()
        outcome = program.wait()
        self.assertEqual((outcome.out[-1], outcome.err, outcome.status), ("interrupted", [], 0))


class BesideTests(ProgramCase):
    """What else a program may run, and must not see anything of this."""

    def test_reactor(self) -> None:
        """Nothing that a client does so much as imports the program's own reactor."""
        authority = Authority()
        ca = write_authority(self.directory, authority)
        files = write(self.directory, "server", authority.issue("localhost"))
        server = Server(
            self,
            self.directory,
            *("--tls-cert", files.cert, "--tls-key", files.key),
            *("--endpoint", "tcp:0:interface=127.0.0.1"),
            *("--endpoint", "tls+tcp:0:interface=127.0.0.1"),
            *("--endpoint", "unix:socket"),
        )
        with_tls = listening_port(server.wait_for("listening on"))
        server.wait_for("listening on")
        server.drain()
        code = """
        def use(depot):
            with depot:
                entry = depot.upload(b"a", "a")
                depot.upload(bytes(1_000_000), "b")
                depot.list_files(), depot.stat(entry.id), depot.verify(entry.id)
                depot.download(entry.id, "copy", replace=True)
                depot.read(entry.id)
                depot.delete(entry.id)

        tls = int(sys.argv[2])
        use(depot)
        use(BlockingClient(host="localhost", port=port))
        use(BlockingClient("unix:" + os.path.abspath("socket")))
        use(BlockingClient(host="localhost", port=tls, tls=True, ca=sys.argv[3]))
        said = []
        for options in ({"host": "127.0.0.1", "port": 1}, {"endpoint": "tcp:127.0.0.1:1"}):
            try:
                use(BlockingClient(**options, tries=2, notify=said.append))
            except OSError as error:
                pass
            except Exception as error:
                print(type(error).__name__)
        print(len(said), threading.active_count(), "twisted.internet.reactor" in sys.modules)
        from twisted.internet import asyncioreactor
        asyncioreactor.install()
        """
        out = self.run_to_end(server, code, str(with_tls), ca)
        self.assertEqual(out, ["ConnectionRefusedError"] * 2 + ["2 1 False"])

    def test_asyncio(self) -> None:
        """In a running loop, as in a notebook, a request blocks it and works; so do its threads."""
        code = """
        import asyncio

        async def cell():
            loop = asyncio.get_running_loop()
            ticked = loop.create_task(asyncio.sleep(0, "ticked"))
            depot.upload(b"a", "a")
            print(len(depot.list_files()), await ticked)
            print((await asyncio.to_thread(depot.upload, b"b", "b")).name)

        asyncio.run(cell())
        depot.close()
        asyncio.run(asyncio.sleep(0))
        """
        self.assertEqual(self.run_to_end(self.serve(), code), ["1 ticked", "b"])

    def test_twisted(self) -> None:
        """In a Twisted program it works on the threads of its reactor, and on that itself."""
        code = """
        from twisted.internet import reactor
        from twisted.internet.defer import gatherResults
        from twisted.internet.task import react
        from twisted.internet.threads import deferToThread
        from twisted.python.threadable import isInIOThread

        async def main(reactor):
            entries = await gatherResults(
                [deferToThread(depot.upload, b"%d" % n, str(n)) for n in range(20)]
            )
            print(len(entries), len(depot.list_files()), isInIOThread())
            client = await connect(reactor, f"tcp:127.0.0.1:{port}")
            print(len(await client.list_files()))
            await client.disconnect()

        react(main)
        """
        self.assertEqual(self.run_to_end(self.serve(), code), ["20 20 True", "20"])

    def test_fork(self) -> None:
        """A forked child uses the client as if it were new; the parent's upload goes on."""
        code = """
        begun = threading.Event()
        said = []
        depot = BlockingClient(f"tcp:127.0.0.1:{port}", notify=said.append)

        def send():
            depot.upload(os.urandom(12 * 1024 * 1024), "large", lambda done, total: begun.set())

        thread = threading.Thread(target=send)
        thread.start()
        begun.wait()
        for status in range(3):
            pid = os.fork()
            if not pid:
                depot.upload(b"%d" % status, str(status))
                names = {thread.name for thread in threading.enumerate()}
                assert "xfer" in names, names
                if status == 1:
                    depot.close()
                elif status == 2:
                    os._exit(status)
                sys.exit(status)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        thread.join()
        print([entry.name for entry in depot.list_files()], said)
        depot.close()
        print(threading.active_count())
        """
        self.assertEqual(
            self.run_to_end(self.serve(*SLOW), code),
            ["0", "1", "2", "['0', '1', '2', 'large'] []", "1"],
        )

    def test_fork_at_rest(self) -> None:
        """A child that closes, forgets or leaves its copy takes nothing from its parent."""
        code = """
        import gc, multiprocessing

        def use(number):
            return depot.upload(b"%d" % number, str(number)).name

        def close(number):
            depot.close()
            return number

        depot.list_files()
        context = multiprocessing.get_context("fork")
        for work in (use, close):
            with context.Pool(2) as pool:
                print(pool.map(work, range(4), chunksize=1) if work is use else work.__name__)
        pid = os.fork()
        if not pid:
            del depot
            gc.collect()
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(depot.list_files()))
        """
        self.assertEqual(
            self.run_to_end(self.serve(), code), ["['0', '1', '2', '3']", "close", "7 4"]
        )


class ImportTests(SynchronousTestCase):
    """What C{import xferproto} costs."""

    def test_import(self) -> None:
        """Nothing: neither Twisted nor any module of the package's is imported."""
        code = """
import sys
before = set(sys.modules)
import xferproto
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("twisted", "zope")))
print(sorted(name for name in sys.modules if name.startswith("xferproto")))
from xferproto import Entry, RequestError, XferError, __version__
print("twisted" in sys.modules)
from xferproto import *
print(BlockingClient.__name__)
"""
        outcome = run_program(self, new_directory(self), code)
        expected = ["[]", "['xferproto', 'xferproto.version']", "False", "BlockingClient"]
        self.assertEqual(outcome, Outcome(0, expected, []))

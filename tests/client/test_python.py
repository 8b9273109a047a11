"""What docs/python.md and the README say of the Python API is what there is."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pydoc
import re
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import xferproto
from tests.support import visitors
from tests.support.certificates import Authority, write, write_authority
from tests.support.processes import PATIENCE, Server, listening_port, new_directory
from tests.support.programs import PROJECT, run_program
from xferproto import errors
from xferproto.client.deprecation import renamed_parameters

PAGE = (PROJECT / "docs" / "python.md").read_text("utf-8")
README = (PROJECT / "README.md").read_text("utf-8")
CONSUMER = PROJECT / "tests" / "support" / "consumer.py"

STABLE = (
    "BlockingClient",
    "CertificateError",
    "ConnectError",
    "ConnectionCut",
    "DNSLookupError",
    "Entry",
    "HashMismatch",
    "OnResult",
    "OnWait",
    "Outcomes",
    "Progress",
    "RequestError",
    "RetryingClient",
    "SourceChanged",
    "Status",
    "TLSFailed",
    "TargetExists",
    "Trace",
    "UnexpectedReply",
    "UnknownRequestError",
    "XferClientFactory",
    "XferClientProtocol",
    "XferError",
    "__version__",
    "connect",
    "tls_endpoint",
)
"""The names that programs rely on. One that goes breaks somebody's: see the page's last section."""


def programs(text: str) -> list[str]:
    """The Python programs in a text."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def section(text: str, heading: str) -> str:
    """A section of a text."""
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


class ProgramTests(SynchronousTestCase):
    """The programs, each run by a Python of its own against a real server, as it stands."""

    def setUp(self) -> None:
        self.directory = new_directory(self)
        authority = Authority()
        self.ca = write_authority(self.directory, authority)
        files = write(self.directory, "server", authority.issue("localhost"))
        users = self.directory / "users.toml"
        rights = 'rights = ["list", "read", "write", "delete"]\nsees = "all"\n'
        visitors.write(users, f'[alice]\npassword = "{visitors.hashed("secret")}"\n{rights}')
        self.server = Server(
            self,
            self.directory,
            *("--users", users, "--anonymous", "list,read,write,delete,all"),
            *("--tls-cert", files.cert, "--tls-key", files.key),
            *("--endpoint", "tls+tcp:0:interface=127.0.0.1"),
            *("--endpoint", "tcp:0:interface=127.0.0.1"),
        )
        self.with_tls = self.server.port
        self.without = listening_port(self.server.wait_for("listening on"))
        self.server.drain()

    def run_program(self, number: int, program: str) -> str:
        """Run a program where a reader might: what it has written."""
        place = self.directory / str(number)
        (place / "photos").mkdir(parents=True, exist_ok=True)
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            (place / "photos" / name).write_bytes(name.encode())
        (place / "README.md").write_text(README, "utf-8")
        (place / "cert.pem").write_bytes(self.ca.read_bytes())
        port = self.with_tls if "depot.example" in program else self.without
        program = program.replace("9000", str(port)).replace("depot.example", "localhost")
        outcome = run_program(self, place, program)
        self.assertEqual((outcome.err, outcome.status), ([], 0), program)
        return "\n".join(outcome.out)

    def test_page(self) -> None:
        """Those of docs/python.md run, and do what is said of them."""
        size = f"{len(README.encode()):,}"
        expected = [
            r"^[0-9a-f]{32} docs/readme.md \d+\n[0-9a-f]{64}$",
            r"^{'answer': 42}$",
            rf"{size} of {size} bytes$",
            r"^3 wanted, 0 failed$",
            r"^it is not there$",
            r"^$",
            r"^$",
            r"^Entry\(.*\)$",
            r" README\.md \d+$",
            r"^$",
            r"^a\.jpg Entry\(.*\)\nb\.jpg .*\nc\.jpg .*$",
        ]
        found = programs(PAGE)
        self.assertEqual(len(found), len(expected))
        for number, (program, pattern) in enumerate(zip(found, expected, strict=True)):
            out = self.run_program(number, program)
            if "iterdir" in program:
                out = "\n".join(sorted(out.splitlines()))
            self.assertRegex(out, pattern, program)
        self.assertRegex(self.run_program(0, found[0]), expected[0], "again")

    def test_readme(self) -> None:
        """So do those of the README: both upload a file, list it, and fetch it back."""
        blocking, deferred = programs(section(README, "From Python"))
        for number, program in enumerate((blocking, deferred)):
            out = self.run_program(number, program)
            self.assertIn("README.md", out)
            copy = self.directory / str(number) / "copy.md"
            self.assertEqual(copy.read_text("utf-8"), README)


class NameTests(SynchronousTestCase):
    """The stable names."""

    def test_stable(self) -> None:
        """They are there, all and no others, and are what their modules have."""
        self.assertEqual(sorted(xferproto.__all__), sorted(STABLE))
        for name in STABLE:
            value = getattr(xferproto, name)
            home = importlib.import_module(xferproto._HOME.get(name, "xferproto.version"))
            self.assertIs(value, getattr(home, name))
            self.assertIn(name, dir(xferproto))
        self.assertRaises(AttributeError, getattr, xferproto, "nonsense")
        self.assertRaises(ImportError, exec, "from xferproto import nonsense")

    def test_types(self) -> None:
        """A type checker finds each where the interpreter does."""
        tree = ast.parse(inspect.getsource(xferproto))
        seen = {
            alias.name: statement.module
            for node in tree.body
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
            for statement in node.body
            if isinstance(statement, ast.ImportFrom)
            for alias in statement.names
        }
        self.assertEqual(seen, xferproto._HOME)

    def test_documented(self) -> None:
        """Each is in the table of the page, and says itself what it is."""
        table = section(PAGE, "All names")
        for name in STABLE:
            self.assertIn(f"`{name}`", table)
        for name in STABLE:
            value = getattr(xferproto, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                self.assertTrue(inspect.getdoc(value), name)

    def test_requests(self) -> None:
        """So is what can be asked of a depot."""
        table = section(PAGE, "All names")
        for name, method in inspect.getmembers(xferproto.BlockingClient, inspect.isfunction):
            if not name.startswith("_"):
                self.assertIn(f"`{name}`", table)
                self.assertTrue(inspect.getdoc(method), name)

    def test_errors(self) -> None:
        """The page says what each error means that the client can raise."""
        text = section(PAGE, "When something fails")
        for name in STABLE:
            value = getattr(xferproto, name)
            if inspect.isclass(value) and issubclass(value, Exception):
                self.assertIn(f"`{name}`", text)
        for symbol, error in errors.REQUEST_ERRORS.items():
            self.assertTrue(issubclass(error, xferproto.RequestError), symbol)

    def test_help(self) -> None:
        """C{help(xferproto)} shows them."""
        text = pydoc.plain(pydoc.render_doc(xferproto))
        missing = [name for name in STABLE if name not in text]
        self.assertEqual(missing, ["__version__"])  # it has a section of its own
        self.assertIn(xferproto.__version__, text)


class FormerNameTests(SynchronousTestCase):
    """Names of earlier versions, which still work."""

    def warned(self) -> str:
        """The one warning since the last call."""
        (warning,) = self.flushWarnings()
        self.assertIs(warning["category"], DeprecationWarning)
        return str(warning["message"])

    def test_types(self) -> None:
        """Types that are called otherwise now are the same, and are not in the list of names."""
        for former, present in {"Told": "OnResult", "Waited": "OnWait"}.items():
            self.assertIs(getattr(xferproto, former), getattr(xferproto, present))
            self.assertIn(present, self.warned())
            self.assertNotIn(former, xferproto.__all__)
            self.assertIn(f"`{former}`", section(PAGE, "What is promised"))

    def test_parameters(self) -> None:
        """Parameters that are called otherwise now are taken by both names, but not at once."""

        class Example:
            @renamed_parameters(told="on_result")
            def request(self, files: list[str], on_result: str) -> tuple[list[str], str]:
                return files, on_result

        example: Any = Example()
        self.assertEqual(example.request([], told="x"), ([], "x"))
        self.assertIn("takes on_result instead of told", self.warned())
        self.assertEqual(example.request([], "x"), example.request([], on_result="x"))
        self.assertEqual(self.flushWarnings(), [])
        self.assertRaises(TypeError, example.request, [], told="x", on_result="y")
        self.assertRaises(TypeError, example.request, [], said="x")
        self.assertEqual(list(inspect.signature(example.request).parameters)[1:], ["on_result"])

    def test_modules(self) -> None:
        """A module that has moved can be imported from where it was."""
        sys.modules.pop("xferproto.client.watch.status", None)
        former = importlib.import_module("xferproto.client.watch.status")
        self.assertIn("xferproto.watch.status", self.warned())
        present = importlib.import_module("xferproto.watch.status")
        for name in former.__all__:
            self.assertIs(getattr(former, name), getattr(present, name))

    def test_requests(self) -> None:
        """So it is for all parameters that have changed their names."""
        depot = xferproto.BlockingClient("tcp:127.0.0.1:1", say=print)  # type: ignore[call-arg]
        self.assertIn("notify", self.warned())
        depot.close()
        for request, former in (
            ("upload", "waited"),
            ("verify", "waited"),
            ("upload_many", "told"),
            ("download_many", "told"),
        ):
            with self.assertRaises(RuntimeError):  # it is closed
                getattr(depot, request)(["x"], **{former: None})
            self.assertIn(former, self.warned())


class ConsumerTests(SynchronousTestCase):
    """A program that is checked against the types that the package ships."""

    if importlib.util.find_spec("mypy") is None:
        skip = "mypy is not installed"

    def test_strict(self) -> None:
        """It passes mypy --strict, without any plugin or setting of ours."""
        directory = new_directory(self)
        program = directory / "program.py"
        program.write_bytes(CONSUMER.read_bytes())
        ended = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir=cache", program.name],
            cwd=directory,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(
            ended.stdout.splitlines()[-1:],
            ["Success: no issues found in 1 source file"],
            ended.stdout,
        )

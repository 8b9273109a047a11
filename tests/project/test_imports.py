"""
The arrows between modules: who may import whom, read from the sources.

A new module gets its place in L{ARROWS}, and where it needs them a line in the sets below.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "xferproto"
PLUGIN = ROOT / "twisted" / "plugins" / "xfer_plugin.py"

ARROWS: Mapping[str, tuple[str, ...]] = {
    # no arrow leaves these
    "prompt": (),
    "signals": (),
    "version": (),
    # what stands on them; within a package, every module may import every other
    "model": ("model",),
    "errors": ("model",),
    "threads": ("threads",),
    "net": ("model", "net"),
    "wire": ("model", "wire"),
    "files": ("files", "model"),
    "twistd": ("model",),
    # what is stored, its bytes on their way, and what is done with them
    "store": ("model", "store.reservation"),
    "store.local": (
        "files",
        "model",
        "store.interface",
        "store.local",
        "store.reservation",
        "threads",
    ),
    "store.memory": ("model", "store.interface", "store.memory"),
    "transfer": ("model", "store.interface", "threads", "transfer"),
    "depot": (
        "depot",
        "model",
        "store.interface",
        "store.reservation",
        "threads",
        "transfer",
    ),
    # the server
    "server": (
        "depot",
        "model",
        "net",
        "server",
        "twistd",
    ),
    "server.service": (
        "depot",
        "model",
        "server",
        "signals",
        "store.local.store",
        "threads",
        "twistd",
    ),
    "server.auth": (
        "depot",
        "model",
        "net",
        "server.auth",
        "server.traffic.hangup",
        "threads",
    ),
    "server.line": ("depot", "model", "net", "server", "store.interface", "transfer", "wire"),
    "server.maintenance": ("model", "store.interface", "threads", "transfer"),
    "server.classic": (
        "depot.account",
        "model",
        "server.classic",
        "server.traffic",
        "server.transfer_log",
    ),
    "server.traffic": (
        "depot.account",
        "depot.depot",
        "depot.request",
        "depot.small_upload",
        "depot.upload",
        "depot.uploader",
        "model",
        "net",
        "server.connections",
        "server.limits",
        "server.traffic",
        "transfer.sender",
        "wire.codec",
    ),
    # the client; its service alone knows of the unattended one
    "client": ("client", "files", "model", "net", "threads", "transfer", "wire"),
    "client.watch": ("watch.status",),  # a former name
    "client.password": ("client.credentials", "model", "prompt"),
    "client.exchange": ("client", "files", "model", "signals", "twistd"),
    "client.service": ("client", "model", "twistd", "watch"),
    "watch": ("client", "files", "model", "signals", "threads", "watch"),
    # the commands
    "console": (
        "client",
        "console",
        "files",
        "model",
        "net",
        "prompt",
        "threads",
        "version",
        "watch.status",
    ),
    "admin": (
        "admin",
        "files",
        "model",
        "net",
        "prompt",
        "server.auth.users",
        "store.local",
        "version",
    ),
    # the Python API: a client's
    "": ("client", "errors", "model", "version"),
}
"""
What each module of the package may import of it, C{""} being the package's own C{__init__}.

A name stands for a module, or for a package with all in it; the longest name that fits counts.
"""

PURE = (
    "admin.certificate",
    "errors",
    "model",
    "net.certificates",
    "prompt",
    "version",
    "wire",
)
"""These know nothing of Twisted and zope.interface, and can be used without."""

ENDPOINTS = (
    "client.endpoint",
    "client.factory",
    "client.blocking.host",
    "client.tls",
    "server.listen",
)
"""These alone know of L{twisted.internet.endpoints}."""

REACTOR = ("client.service", "console.session", "server.service")
"""These alone know of the one and only reactor, and import it only inside of functions."""

MOST_METHODS = 25
"""The most methods that a class has, public and private ones together."""

MOST_LINES = {"server.line.protocol.LineProtocol": 150}
"""The most lines of classes that only hand on what comes."""

SQL = ("store.local.catalogue", "store.local.schema", "store.local.packed")
"""What the names of modules begin with that speak SQL; the others call them."""

SQL_ELSEWHERE = {
    "store.local.backup",
    "store.local.group_commit",
    "store.local.preflight",
    "store.local.rebuild",
    "store.local.salvage",
}
"""Transactions as such, and what looks at databases that may be damaged or of another version."""

VAGUE = ("common", "engine", "handler", "helper", "manager", "misc", "util")
"""What a module is not named, be it one or several: it would say nothing of what is in it."""


@dataclass(frozen=True)
class Module:
    """
    A source file.

    @ivar name: its dotted name below the package.
    @ivar path: where it is.
    @ivar imports: the full names of all that it imports.
    @ivar at_start: those of them that are imported outside of functions.
    """

    name: str
    path: Path
    tree: ast.Module = field(repr=False)
    imports: frozenset[str] = field(repr=False)
    at_start: frozenset[str] = field(repr=False)


def read_module(path: Path, name: str, package: str) -> Module:
    """
    Parse a source file.

    @param package: the dotted name of the package that relative imports start from.
    """
    tree = ast.parse(path.read_bytes(), str(path))
    return Module(
        name,
        path,
        tree,
        frozenset(imported(tree, package, functions=True)),
        frozenset(imported(tree, package, functions=False)),
    )


def imported(node: ast.AST, package: str, functions: bool) -> Iterator[str]:
    """
    The full names of what is imported below a node: C{a.b.c} for C{from a.b import c}.

    @param functions: whether to look into functions.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            start = child.module or ""
            if child.level:
                above = package.split(".")[: len(package.split(".")) + 1 - child.level]
                start = ".".join([*above, *([start] if start else [])])
            yield from (f"{start}.{alias.name}" for alias in child.names)
        elif functions or not isinstance(
            child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        ):
            yield from imported(child, package, functions)


def within(name: str, whole: str) -> bool:
    """Whether a dotted name is C{whole}, or below it."""
    return name == whole or name.startswith(whole + ".")


@functools.cache
def read_package() -> list[Module]:
    """All modules of the package."""
    modules = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = ".".join(parts[:-1])
        names = parts[1:-1] if parts[-1] == "__init__" else parts[1:]
        modules.append(read_module(path, ".".join(names), package))
    return modules


def graph(modules: Iterable[Module]) -> dict[str, set[str]]:
    """The modules that each module imports, of the package, by their names."""
    names = {module.name for module in modules}
    found: dict[str, set[str]] = {}
    for module in modules:
        found[module.name] = set()
        for imported_name in module.imports:
            if within(imported_name, PACKAGE):
                target = imported_name.removeprefix(PACKAGE).removeprefix(".")
                while target not in names:  # what is imported of a module, and not itself one
                    target = target.rpartition(".")[0]
                found[module.name].add(target)
        found[module.name].discard(module.name)
    return found


def closure(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """All nodes that one gets to from each node."""
    reached: dict[str, set[str]] = {}
    for node in graph:
        found: set[str] = set()
        further = [node]
        while further:
            new = graph[further.pop()] - found
            found |= new
            further += new
        reached[node] = found
    return reached


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The largest sets of nodes from each of which one gets to every other one, sorted."""
    reached = closure(graph)
    both = ({other for other in reached[node] if node in reached[other]} for node in graph)
    return [list(circle) for circle in sorted({tuple(sorted(circle)) for circle in both if circle})]


class ArrowTests(SynchronousTestCase):
    """The package."""

    def setUp(self) -> None:
        self.modules = read_package()

    def assert_none(self, offences: list[str], rule: str) -> None:
        """There are no offences against this rule."""
        self.assertEqual(offences, [], rule)

    def test_found(self) -> None:
        """The sources are found: every module that the tables name is there."""
        found = {module.name for module in self.modules}
        for name in {*ARROWS, *PURE, *ENDPOINTS, *REACTOR}:
            self.assertIn(name, found)

    def test_arrows(self) -> None:
        """Every module has a place in the table, and imports of the package what it says there."""
        offences = []
        for module in self.modules:
            places = [place for place in ARROWS if place and within(module.name, place)]
            if module.name and not places:
                offences.append(f"{module.name} has no place in ARROWS")
                continue
            allowed = ARROWS[max(places, key=len, default="")]
            for name in sorted(module.imports):
                if within(name, PACKAGE) and not any(
                    within(name, f"{PACKAGE}.{target}") for target in allowed
                ):
                    offences.append(f"{module.name or PACKAGE} imports {name}")
        self.assert_none(offences, "the arrows of ARROWS")

    def test_circles(self) -> None:
        """No modules import each other in a circle, imports for types alone counted."""
        self.assertEqual(circles(graph(self.modules)), [])

    def test_ends_apart(self) -> None:
        """The table itself keeps the server and the client apart, and the inner parts from both."""
        forbidden = {
            "server": ("client",),
            "server.classic": ("server.line", "wire", "store", "client"),
            "client": ("server",),
            "store": ("server", "client", "depot", "transfer", "wire"),
            "store.local": ("server", "client", "depot", "transfer", "wire", "store.memory"),
            "store.memory": ("server", "client", "depot", "transfer", "wire", "store.local"),
            "transfer": ("server", "client", "depot", "wire"),
            "depot": ("server", "client", "wire"),
            "wire": ("server", "client", "depot", "transfer", "store"),
        }
        for place, targets in forbidden.items():
            for target in targets:
                for allowed in ARROWS[place]:
                    self.assertFalse(within(allowed, target), f"{place} to {target}")

    def test_thin_front(self) -> None:
        """A front of another protocol is small: it finds all that it needs beside it."""
        front = [module for module in self.modules if within(module.name, "server.classic")]
        lines = sum(len(module.path.read_text("utf-8").splitlines()) for module in front)
        self.assertTrue(front)
        self.assertLessEqual(lines, 200)

    def test_pure(self) -> None:
        """What is pure imports nothing of Twisted and zope, nor does what it imports."""
        reached = closure(graph(self.modules))
        foreign = {
            module.name
            for module in self.modules
            if any(name.partition(".")[0] in ("twisted", "zope") for name in module.imports)
        }
        self.assert_none(
            [
                f"{module.name} needs {name}"
                for module in self.modules
                for name in sorted({module.name, *reached[module.name]} & foreign)
                if any(within(module.name, pure) for pure in PURE)
            ],
            f"{PURE} know nothing of Twisted",
        )

    def test_endpoints(self) -> None:
        """Endpoints are for the service modules, and the factory that connects."""
        self.assert_none(
            [
                module.name
                for module in self.modules
                if module.name not in ENDPOINTS
                and any(within(name, "twisted.internet.endpoints") for name in module.imports)
            ],
            f"only {ENDPOINTS} import twisted.internet.endpoints",
        )

    def test_reactor(self) -> None:
        """No module imports the reactor when it is imported, and only services do at all."""
        self.assert_none(
            [
                module.name
                for module in self.modules
                if any(
                    within(name, "twisted.internet.reactor")
                    for name in (module.at_start if module.name in REACTOR else module.imports)
                )
            ],
            f"only {REACTOR} import the reactor, and only inside of functions",
        )

    def test_names(self) -> None:
        """Modules and packages are named for what they hold."""
        self.assert_none(
            [
                module.name
                for module in self.modules
                for part in module.name.split(".")
                if part.removesuffix("s") in VAGUE
            ],
            "no module has a vague name",
        )

    def test_class_sizes(self) -> None:
        """No class has too many methods."""
        found = {
            f"{module.name}.{node.name}"
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
            and sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in node.body)
            > MOST_METHODS
        }
        self.assertEqual(found, set())

    def test_thin_classes(self) -> None:
        """Classes that hand on what comes have no more lines than that takes."""
        found = {
            f"{module.name}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        for name, most in MOST_LINES.items():
            self.assertLessEqual(found[name], most, name)

    def test_sql(self) -> None:
        """SQL stands in the modules of the catalogue, of its schema, and of the small contents."""
        found = {
            module.name
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("execute", "executemany", "executescript")
            and within(module.name, "store.local")
            and not module.name.startswith(SQL)
        }
        self.assertEqual(found, SQL_ELSEWHERE)

    def test_docstrings(self) -> None:
        """Every module of the package, the plugin and the tests says what it is for."""
        paths = [PLUGIN, *(ROOT / "tests").rglob("*.py")]
        others = [read_module(path, path.stem, "") for path in sorted(paths)]
        self.assert_none(
            [
                str(module.path.relative_to(ROOT))
                for module in (*self.modules, *others)
                if not ast.get_docstring(module.tree)
            ],
            "every module has a docstring",
        )


class PropertyTests(SynchronousTestCase):
    """Tests of properties, with Hypothesis."""

    def test_deterministic(self) -> None:
        """Their inputs are the same in every run, and they have no time limit of their own."""
        for path in sorted((ROOT / "tests").rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if isinstance(node, ast.Call) and called == "settings" and not node.args:
                    options = {word.arg: ast.unparse(word.value) for word in node.keywords}
                    self.assertEqual(options.get("derandomize"), "True", path)
                    self.assertEqual(options.get("deadline"), "None", path)
                decorators = getattr(node, "decorator_list", [])
                names = {ast.unparse(one).partition("(")[0] for one in decorators}
                if "given" in names:
                    self.assertTrue(names & {"settings", "untimed", "SHORT"}, path)


class PluginTests(SynchronousTestCase):
    """What every C{twistd} of a machine imports."""

    def test_plugin(self) -> None:
        """The plugin imports nothing of the package: where that breaks, twistd does not."""
        module = read_module(PLUGIN, "xfer_plugin", "twisted.plugins")
        self.assertEqual([name for name in module.imports if within(name, PACKAGE)], [])

    def test_no_packages(self) -> None:
        """Nothing makes C{twisted} or C{twisted.plugins} a package of ours, hiding the real one."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])


class ImportedTests(SynchronousTestCase):
    """What these tests see of a source."""

    SOURCE = """
import a.b
from c import d
from . import e
from .f import g
from ..h import i as j
if TYPE_CHECKING:
    from k import l
class M:
    import n
    def o(self):
        import p
async def q():
    from r import s, t
"""

    def test_imported(self) -> None:
        """Every form of import is seen, wherever it stands."""
        tree = ast.parse(self.SOURCE)
        at_start = ["a.b", "c.d", "x.y.e", "x.y.f.g", "x.h.i", "k.l", "n"]
        self.assertEqual(list(imported(tree, "x.y", functions=False)), at_start)
        self.assertEqual(
            list(imported(tree, "x.y", functions=True)), [*at_start, "p", "r.s", "r.t"]
        )

    def test_circles(self) -> None:
        """Circles are found, whatever hangs on them."""
        nodes = {"a": {"b"}, "b": {"c", "x"}, "c": {"a"}, "d": {"a"}, "x": set(), "y": {"z"}}
        self.assertEqual(circles({**nodes, "z": {"y", "x"}}), [["a", "b", "c"], ["y", "z"]])
        self.assertEqual(circles({**nodes, "z": set()}), [["a", "b", "c"]])

    def test_within(self) -> None:
        """A name is within itself and what it is below, not what it merely begins with."""
        self.assertTrue(within("a.b", "a.b"))
        self.assertTrue(within("a.b.c", "a.b"))
        self.assertFalse(within("a.bc", "a.b"))
        self.assertFalse(within("a", "a.b"))

"""docs/client.md says what is so: options, keys, commands, failures, and every object of JSON."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.console.test_commands import HELLO, KEYRING, WORLD, CommandCase, store
from tests.support.console import Running
from tests.support.depot import overwrite
from tests.support.visitors import PASSWORD, hashed, write
from tests.wire.test_spec import rows
from xferproto.console.config.file import GENERAL_KEYS, SERVER_KEYS, read_config
from xferproto.console.main import COMMANDS, xfer
from xferproto.console.options import ServerOption
from xferproto.console.ui.advice import REFUSALS
from xferproto.model.errors import REQUEST_ERRORS

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"

TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "true or false": (bool,),
    "list": (list,),
    "object": (dict,),
    "null": (type(None),),
}

TRANSFERS = {"stored", "fetched", "present", "planned", "summary put", "summary get"}
"""The objects of put and get alone."""


def part(title: str) -> str:
    """The text below a heading, down to the next of its rank or above."""
    text = DOCUMENT.read_text("utf-8")
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |^\1 |\Z)", text, re.M | re.S)
    assert found is not None, title
    return found[2]


class Event:
    """
    An object of JSON as the document has it.

    @ivar fields: type by name, of those that are always there.
    @ivar optional: of the others.
    """

    def __init__(self, text: str) -> None:
        self.fields: dict[str, tuple[type, ...]] = {}
        self.optional: dict[str, tuple[type, ...]] = {}
        for name, kind, _ in rows(text):
            words, optional = kind.removesuffix(", optional"), kind.endswith(", optional")
            types = tuple(
                one
                for word in words.split(" or null")
                for one in (TYPES[word] if word else (type(None),))
            )
            (self.optional if optional else self.fields)[name.strip("`")] = types


def documented() -> dict[str, Event]:
    """All of them; the summaries by C{summary COMMAND}."""
    found = {}
    for name, text in re.findall(r"^#### `(\w+)`\n(.*?)(?=^#+ |\Z)", part("JSON"), re.M | re.S):
        first, *others = re.split(r"^Of `(\w+)`:\n", text, flags=re.M)
        found[name] = Event(first)
        for command, own in zip(others[::2], others[1::2], strict=True):
            event = found[f"{name} {command}"] = Event(own)
            event.fields |= found[name].fields
    return found


class TextTests(SynchronousTestCase):
    """What stands there."""

    def test_options(self) -> None:
        """All options of every command, each with its variable."""
        options = {
            ", ".join(
                f"`{name}`" for name in sorted((*one.opts, *one.secondary_opts), key=_order)
            ): (f"`{one.envvar}`")
            for one in xfer.params
            if isinstance(one, ServerOption)
        }
        table = part("Server and user").partition("**The configuration file**")[0]
        self.assertEqual({row[0]: row[1] for row in rows(table)}, options)

    def test_keys(self) -> None:
        """All keys of the configuration file, and an example that can be read."""
        text = part("Server and user").partition("**The configuration file**")[2]
        keys = [row[0].strip("`") for row in rows(text)]
        self.assertEqual(sorted(keys), sorted(("default", *GENERAL_KEYS, *SERVER_KEYS)))
        example = re.findall(r"^```toml\n(.*?)^```$", text, re.M | re.S)[0]
        file = Path(self.mktemp())
        file.write_text(example)
        self.assertEqual(
            set(read_config(str(file)).servers), set(tomllib.loads(example)["servers"])
        )

    def test_commands(self) -> None:
        """Each command, and each link within the page leads somewhere."""
        text = DOCUMENT.read_text("utf-8")
        for command in COMMANDS:
            self.assertIn(f"xfer {command} ", text)
        titles = re.findall(r"^#+ (.*)$", text, re.M)
        places = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        for place in re.findall(r"\(#([^)]+)\)", text):
            self.assertIn(place, places)

    def test_failures(self) -> None:
        """Each symbol with the words that the command has for it."""
        table = rows(part("Failures, and what to do").partition("And without a symbol")[0])
        self.assertEqual(table, [[f"`{symbol}`", *REFUSALS[symbol]] for symbol in REQUEST_ERRORS])

    def test_status(self) -> None:
        """The exit statuses."""
        statuses = [row[0] for row in rows(part("Exit status"))]
        self.assertEqual(statuses, ["0", "1", "2", "130", "141", "143"])


def _order(name: str) -> tuple[int, bool]:
    return (0 if not name.startswith("--") else 1, name.startswith("--no-"))


class JsonTests(CommandCase):
    """What commands really say."""

    def setUp(self) -> None:
        super().setUp()
        self.documented = documented()
        self.seen: set[str] = set()

    def told(self, *arguments: str, **variables: str) -> None:
        """Each object that a command says is one of the document's."""
        for told in self.xfer("--json", *arguments, **variables).objects():
            self.assert_documented(arguments[0], told)

    def assert_documented(self, command: str, told: dict[str, Any]) -> None:
        """The document has this object."""
        name = told.pop("event")
        if name == "summary":
            name = f"summary {command}"
        event = self.documented[name]
        self.seen.add(name)
        for field, value in told.items():
            types = event.fields.get(field) or event.optional.get(field)
            self.assertTrue(types, f"{name} has {field}")
            assert types is not None
            self.assertIn(type(value), types, f"{name}: {field}")
        self.assertEqual(set(event.fields) - set(told), set(), name)

    def test_objects(self) -> None:
        """All of them, by all commands but put and get."""
        users = self.directory / "users.toml"
        write(
            users,
            f'[alice]\npassword = "{hashed(PASSWORD)}"\n'
            'rights = ["list", "read", "write", "delete"]\nsees = "all"\n',
        )
        server = self.serve("--users", users, "--anonymous", "list,read,write,delete,all")
        files = [("d/a", b"hello"), ("d/b", b"world"), ("c", b"hello"), ("c", b"other")]
        store(self.port, *files)
        for arguments in (
            ("ls",),
            ("ls", "-d"),
            ("ls", "nope"),
            ("stat", "c", "nope"),
            ("sums",),
            ("sums", "--sha256", "d", "c"),
            ("ping", "-c", "2", "-i", "0"),
            ("rm", HELLO),
            ("rm", "-n", "d/a"),
            ("rm", "d/a", "nope"),
            ("verify", "--all"),
        ):
            self.told(*arguments)
        overwrite(server.storage, WORLD, b"w0rld")
        self.told("verify", "--all")
        self.told("ls")
        self.told("rm", "-y", WORLD)
        (self.directory / "file_keyring.py").write_text(KEYRING)
        variables = {
            "PYTHONPATH": str(self.directory),
            "PYTHON_KEYRING_BACKEND": "file_keyring.Keyring",
            "XFER_USER": "alice",
        }
        running = Running(
            *(self, self.directory, "login", "--json"),
            terminal=True,
            variables=self.variables(**variables),
        )
        running.wait_for("Password")
        running.type(f"{PASSWORD}\n")
        self.assertEqual(running.wait(), 0)
        self.assert_documented("login", json.loads(running.text.splitlines()[-1]))
        self.told("ping", **variables)
        self.told("login", "--forget", **variables)
        self.assertEqual(set(self.documented) - TRANSFERS - self.seen, {"summary", "watch"})

    def test_transfers(self) -> None:
        """Those of put and get."""
        self.serve()
        (self.directory / "d").mkdir()
        for name in ("d/a", "d/b", "d/bad\\name"):
            write(self.directory / name, name)
        self.told("put", "d", "-n")
        self.told("put", "d")
        write(self.directory / "d/a", "changed")
        self.told("put", "d")
        self.told("get", "d", "nope", "-n", "-o", "x")
        self.told("get", "d", "nope", "-o", "x")
        write(self.directory / "x/d/b", "changed")
        self.told("get", "d", "-o", "x")
        self.assertEqual(self.seen, TRANSFERS | {"failed", "note"})

"""Where the console command's settings come from, which count, and mistakes in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from twisted.trial.unittest import SynchronousTestCase

from xferproto.console.config.file import MAX_FILE, default_path, read_config
from xferproto.console.config.settings import Settings, choose, parse_address

FINGERPRINT = "ab" * 32

LAB = """
default = "lab"
jobs = 8

[servers.lab]
host = "depot.example"
port = 9100
tls = true
ca = "lab.pem"
user = "alice"
password-file = "alice.password"

[servers.home]
endpoint = "unix:/run/xfer"
tries = 1
"""


class SettingsCase(SynchronousTestCase):
    """What the cases below share: a configuration file in a directory of its own."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.file = self.directory / "config.toml"
        self.file.write_text("")

    def choose(
        self, config: str | None = None, variables: dict[str, Any] | None = None, **flags: Any
    ) -> Settings:
        """The settings of flags and variables, with such a file."""
        if config is not None:
            self.file.write_text(config)
        return choose({"config": str(self.file), **flags}, variables or {})

    def refused(self, *words: str, **more: Any) -> str:
        """The settings are refused in one line with these words; the line."""
        error = self.assertRaises(click.UsageError, self.choose, **more)
        self.assertEqual(error.exit_code, 2)
        line: str = error.format_message()
        self.assertTrue(line.isprintable(), ascii(line))
        for word in words:
            self.assertIn(word, line)
        return line


class PrecedenceTests(SettingsCase):
    """Flags over variables over a server's table over the file's defaults over what is built in."""

    def test_built_in(self) -> None:
        """Nobody has said anything."""
        settings = self.choose()
        self.assertEqual(
            settings,
            Settings(
                server="127.0.0.1 port 9000",
                host="127.0.0.1",
                port=9000,
                endpoint=None,
                tls=False,
                ca=None,
                fingerprint=None,
                cert=None,
                key=None,
                user=None,
                password_file=None,
                jobs=4,
                tries=5,
                quiet=False,
                json=False,
                progress=False,
            ),
        )

    def test_default_server(self) -> None:
        """The file's default server is taken where none is named; paths start at the file."""
        settings = self.choose(LAB)
        self.assertEqual(settings.server, "lab (depot.example port 9100 with TLS)")
        self.assertEqual(
            (settings.host, settings.port, settings.tls), ("depot.example", 9100, True)
        )
        self.assertEqual(settings.ca, str(self.directory / "lab.pem"))
        self.assertEqual(settings.password_file, str(self.directory / "alice.password"))
        self.assertEqual((settings.user, settings.jobs, settings.tries), ("alice", 8, 5))

    def test_each_level(self) -> None:
        """A number that all levels have is that of the highest; without it, of the next."""
        levels: list[tuple[str, dict[str, Any]]] = [
            ("", {}),
            ("jobs = 2\n[servers.lab]\nhost = 'a.b'\n", {}),
            ("jobs = 2\n[servers.lab]\nhost = 'a.b'\njobs = 3\n", {}),
            ("jobs = 2\n[servers.lab]\nhost = 'a.b'\njobs = 3\n", {"variables": {"jobs": 5}}),
            (
                "jobs = 2\n[servers.lab]\nhost = 'a.b'\njobs = 3\n",
                {"variables": {"jobs": 5}, "jobs": 6},
            ),
        ]
        for expected, (config, more) in zip((4, 2, 3, 5, 6), levels, strict=True):
            default = 'default = "lab"\n' if config else ""
            self.assertEqual(self.choose(default + config, **more).jobs, expected)

    def test_named_by_flag(self) -> None:
        """The server that a flag names is taken whole: variables say where others are."""
        variables = {"host": "elsewhere.example", "port": 1, "jobs": 3, "user": "bob"}
        settings = self.choose(LAB, variables, server="lab")
        self.assertEqual((settings.host, settings.port), ("depot.example", 9100))
        self.assertEqual((settings.user, settings.jobs), ("alice", 3))
        settings = self.choose(LAB, {"endpoint": "tcp:a:1"}, server="lab")
        self.assertEqual((settings.host, settings.endpoint), ("depot.example", None))

    def test_named_by_variable(self) -> None:
        """Other variables count more than the server that one names."""
        settings = self.choose(LAB, {"server": "lab", "port": 5})
        self.assertEqual((settings.host, settings.port), ("depot.example", 5))

    def test_flag_over_flagged_server(self) -> None:
        """A flag changes one thing of a named server."""
        settings = self.choose(LAB, server="lab", port=7, user="bob")
        self.assertEqual((settings.host, settings.port, settings.user), ("depot.example", 7, "bob"))

    def test_port_alone(self) -> None:
        """A port alone is another port of the default server."""
        self.assertEqual(self.choose(LAB, port=7).server, "lab (depot.example port 7 with TLS)")

    def test_other_host(self) -> None:
        """Another host is another server: nothing of the default one is taken for it."""
        for more in ({"host": "other.example"}, {"variables": {"host": "other.example"}}):
            settings = self.choose(LAB, **more)
            self.assertEqual(settings.server, "other.example port 9000")
            self.assertEqual((settings.user, settings.ca, settings.tls), (None, None, False))
            self.assertEqual(settings.jobs, 8)

    def test_address(self) -> None:
        """A server may be an address."""
        for text, host, port in (
            ("depot.example", "depot.example", 9000),
            ("depot:81", "depot", 81),
            ("localhost", "localhost", 9000),
            ("192.0.2.1:82", "192.0.2.1", 82),
            ("[::1]:9000", "::1", 9000),
            ("[::1]", "::1", 9000),
            ("fe80::1", "fe80::1", 9000),
        ):
            for more in ({"server": text}, {"variables": {"server": text}}):
                settings = self.choose(LAB, **more)
                self.assertEqual((settings.host, settings.port), (host, port))

    def test_default_port_of_the_file(self) -> None:
        """What the file says of all servers holds for an address too."""
        settings = self.choose("port = 81\ntls = true", server="depot.example")
        self.assertEqual((settings.port, settings.tls), (81, True))

    def test_endpoint(self) -> None:
        """An endpoint is instead of host and port, whatever lower levels say of those."""
        settings = self.choose(LAB, server="home")
        self.assertEqual(settings.endpoint, "unix:/run/xfer")
        self.assertEqual(settings.server, "home (unix:/run/xfer)")
        settings = self.choose("host = 'a.b'\nport = 3", endpoint="tcp:c:4")
        self.assertEqual((settings.endpoint, settings.server), ("tcp:c:4", "tcp:c:4"))
        settings = self.choose(LAB, {"endpoint": "tcp:c:4"}, host="a.b")
        self.assertEqual((settings.endpoint, settings.host), (None, "a.b"))

    def test_no_tls(self) -> None:
        """TLS can be turned off, with all that goes with it."""
        settings = self.choose(LAB, tls=False)
        self.assertEqual((settings.tls, settings.ca), (False, None))

    def test_key_of_another_certificate(self) -> None:
        """A certificate that is given does not get the key that stands beside another."""
        config = "tls = true\ncert = 'own.pem'\nkey = 'own.key'"
        self.assertEqual(self.choose(config).key, str(self.directory / "own.key"))
        self.assertIsNone(self.choose(config, cert="other.pem").key)
        self.assertEqual(self.choose(config, key="k").cert, str(self.directory / "own.pem"))

    def test_password_of_another_user(self) -> None:
        """A user who is given does not get the password that stands beside another."""
        self.assertIsNone(self.choose(LAB, user="bob").password_file)
        self.assertIsNotNone(self.choose(LAB, user="alice").password_file)
        settings = self.choose(LAB, {"password_file": "x"}, user="bob")
        self.assertEqual(settings.password_file, "x")

    def test_quiet_and_json(self) -> None:
        """These are switches."""
        settings = self.choose(quiet=True, json=True)
        self.assertEqual((settings.quiet, settings.json, settings.progress), (True, True, False))

    def test_home(self) -> None:
        """A path may begin at the home directory."""
        self.patch(os, "environ", {**os.environ, "HOME": "/home/of/me"})
        settings = self.choose("user = 'a'\npassword-file = '~/secret'")
        self.assertEqual(settings.password_file, "/home/of/me/secret")

    def test_escaped(self) -> None:
        """What messages call the server can't command a terminal."""
        settings = self.choose(host="a\x1b[2J.b")
        self.assertTrue(settings.server.isprintable())


class MistakeTests(SettingsCase):
    """Each mistake is told in one line that says where it is."""

    def test_files(self) -> None:
        """Mistakes of the file are told with its name and the key."""
        for config, words in (
            ("hots = 'a'", ("hots is not a key", "do you mean host?")),
            ("colour = 1", ("colour is not a key", "the keys are host, port")),
            ("password_file = 'a'", ("password_file is not a key", "password-file?")),
            ("[servers.lab]\nprot = 1", ("servers.lab.prot is not a key", "do you mean port?")),
            ("[servers.lab]\nprogress = true", ("servers.lab.progress is not a key",)),
            ("port = '9000'", ("port is a number from 1 to 65535", 'not "9000"')),
            ("port = 0", ("port is a number from 1 to 65535, not 0",)),
            ("port = 65536", ("not 65536",)),
            ("port = true", ("not true",)),
            ("jobs = 0", ("jobs is a number from 1 to 100, not 0",)),
            ("jobs = 1.5", ("not 1.5",)),
            ("tries = []", ("not a list",)),
            ("tls = 1", ("tls is true or false, not 1",)),
            ("host = ''", ('host is a text, not ""',)),
            ("host = {}", ("not a table",)),
            ("host = 2020-01-01", ("not a time",)),
            ('ca = "a\\u0000b"', ("ca is the path of a file",)),
            ("ca = '~nobody-of-this-name/x'", ("ca is the path of a file",)),
            ("default = 1", ("default is the name of a server, not 1",)),
            ("default = 'lab'", ("default: there is no server lab; it has none",)),
            ("default = 'x'\n[servers.lab]", ("default: there is no server x; it has lab",)),
            ("servers = 1", ("servers is a table of tables",)),
            ("[servers]\nlab = 'depot.example'", ("servers.lab is a table",)),
            ("host = 'a'\nhost = 'b'", ("the file is not TOML",)),
            ("[servers.'\x7f']", ("the file is not TOML",)),
            ('[servers."\\u202e"]\nx = 1', ("servers.\\u202e.x is not a key",)),
            ("[" * 5000, ("the file is not TOML",)),
            ("x" * (MAX_FILE + 1), ("more than",)),
        ):
            self.refused(str(self.file), *words, config=config)

    def test_default_not_used(self) -> None:
        """A default that is no server's name is no mistake if another server is named."""
        config = "default = 'lba'\n[servers.lab]\nhost = 'depot.example'"
        for option, value in (
            ("server", "lab"),
            ("host", "a"),
            ("server", "a:1"),
            ("endpoint", "x"),
        ):
            self.choose(config, variables=None, **{option: value})
            self.choose(config, variables={option: value})
        for other in ({}, {"port": 1}, {"user": "alice"}):
            self.refused("default: there is no server lba; it has lab", config=config, **other)

    def test_not_text(self) -> None:
        """A file that is none of text."""
        self.file.write_bytes(b"host = '\xff'")
        self.refused(str(self.file), "not UTF-8")

    def test_unreadable(self) -> None:
        """A file that was named has to be there."""
        missing = self.directory / "missing.toml"
        error = self.assertRaises(click.UsageError, read_config, str(missing))
        self.assertIn(f"{missing}: No such file", error.format_message())
        error = self.assertRaises(click.UsageError, read_config, str(self.directory))
        self.assertIn("Is a directory", error.format_message())
        self.assertRaises(click.UsageError, read_config, "a\0b")

    def test_unknown_server(self) -> None:
        """A name that is neither a server's nor an address says which there are."""
        line = self.refused(
            str(self.file), "there is no server lba; it has lab, home", config=LAB, server="lba"
        )
        self.assertIn("--host lba or lba:9000", line)
        self.refused("XFER_SERVER", config=LAB, variables={"server": "lba"})

    def test_bad_addresses(self) -> None:
        """What looks like an address and is none."""
        for text in (
            "a:0",
            "a:65536",
            "a:b",
            "[::1",
            "[a]:1",
            "::1]:9",
            "",
            ":9000",
            "a b.c",
            "a/b",
        ):
            self.assertIsNone(parse_address(text), text)
            self.refused("there is no server", server=text)

    def test_contradictions(self) -> None:
        """What goes not together, by the names under which it was given."""
        for words, more in (
            (("--host goes without an endpoint",), {"host": "a", "endpoint": "tcp:a:1"}),
            (("--port goes without an endpoint",), {"port": 1, "variables": {"endpoint": "x"}}),
            (("XFER_PORT goes without",), {"variables": {"endpoint": "x", "port": 1}}),
            (("--server a.b goes without --host",), {"server": "a.b", "host": "c"}),
            (("--server a:1 has a port already",), {"server": "a:1", "port": 2}),
            (("--tls goes with host and port", "--no-tls"), {"tls": True, "endpoint": "x"}),
            (("--ca goes with TLS", "--tls"), {"ca": "x"}),
            (("XFER_FINGERPRINT goes with TLS",), {"variables": {"fingerprint": FINGERPRINT}}),
            (("--cert goes with TLS",), {"cert": "x"}),
            (("--key goes with TLS",), {"key": "x"}),
            (("--ca goes with TLS",), {"tls": False, "ca": "x"}),
            (("--key goes with --cert",), {"key": "x", "tls": True}),
            (("--fingerprint: 12 is not a SHA-256",), {"fingerprint": "12", "tls": True}),
            (("--password-file takes a user",), {"password_file": "x"}),
            (("XFER_PASSWORD_FILE takes a user",), {"variables": {"password_file": "x"}}),
        ):
            self.refused(*words, **more)

    def test_contradictions_in_the_file(self) -> None:
        """They are told with the file's name and the table."""
        file = str(self.file)
        for config, words in (
            ("ca = 'x'", ("ca goes with TLS",)),
            ("default='a'\n[servers.a]\nkey = 'x'", ("servers.a: key goes with TLS",)),
            ("password-file = 'x'", ("password-file takes a user",)),
            ("tls = true\nendpoint = 'x'", ("tls goes with host and port",)),
        ):
            self.refused(file, *words, config=config)


class PathTests(SynchronousTestCase):
    """Where the file is looked for."""

    def test_default(self) -> None:
        """In the user's configuration directory; it need not be there."""
        home = Path(self.mktemp()).absolute()
        self.patch(os, "environ", {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "c")})
        self.assertEqual(default_path(), home / "c" / "xfer" / "config.toml")
        self.assertEqual(read_config(None).servers, {})
        os.environ.pop("XDG_CONFIG_HOME")
        self.assertEqual(default_path(), home / ".config" / "xfer" / "config.toml")
        default_path().parent.mkdir(parents=True)
        default_path().write_text(LAB)
        self.assertEqual(set(read_config(None).servers), {"lab", "home"})
        self.assertEqual(choose({}, {}).user, "alice")

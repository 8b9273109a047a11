"""The options of C{twistd xfer-client}, and the service that it runs."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python import usage

from xferproto.client.endpoint import depot_endpoint
from xferproto.client.exchange.transcript import ExchangeService, TranscriptObserver
from xferproto.client.factory import DEFAULT_PORT
from xferproto.client.password import credentials
from xferproto.client.tls_options import TLSOptions
from xferproto.model.errors import XferError
from xferproto.twistd import ExitStatus, StartReport, port
from xferproto.twistd import Options as OneLineOptions
from xferproto.watch.options import WatchOptions
from xferproto.watch.service import Renewal, WatchService

PID_FILE = "xfer-client.pid"
LOG_FILE = "xfer-client.log"

OUTPUT = "received"
"""The default directory for the file that is fetched back."""

_OF_AN_EXCHANGE = {"file": None, "output": OUTPUT, "tries": 1, "verify": 0, "delete": 0}
"""The options that do not go with --watch, and their values if they are not given."""

_READ_AGAIN = ("ca", "cert", "key", "password-file")
"""The options that name files which are read again on SIGHUP."""


def tries(value: str) -> int:
    """
    Parse a number of tries.

    @raise ValueError: the text is not such a number.
    """
    if not re.fullmatch("[1-9][0-9]{0,5}", value):
        raise ValueError(f"{value} is not a number of tries, 1 or more")
    return int(value)


class Options(OneLineOptions, TLSOptions, WatchOptions):
    """The options of C{twistd xfer-client}."""

    command = "xfer-client"
    synopsis = "[options]"
    longdesc = (
        "Send a file to an xfer depot, fetch it back, and compare the hashes of both transfers. "
        "With twistd -n, the exit status is 0 only if both succeeded; a daemon's outcome is in "
        f"{LOG_FILE}. "
        "With --watch: send the files that appear in a directory to the depot, until stopped."
    )
    optParameters = [
        ["host", "H", "127.0.0.1", "The depot's host."],
        ["port", "p", DEFAULT_PORT, "The depot's TCP port.", port],
        ["endpoint", "e", None, "Twisted client endpoint string, instead of --host and --port."],
        ["file", "f", None, "File to send; a small picture by default."],
        ["output", "o", OUTPUT, "Directory to fetch the file into."],
        [
            "user",
            "u",
            None,
            "User to log in as; asks for the password if it finds none.",
        ],
        [
            "password-file",
            None,
            None,
            "File whose first line is the password; by default, the variable XFER_PASSWORD.",
        ],
        ["tries", "t", 1, "How often to try each step; if more than once, resume it.", tries],
    ]

    optFlags = [
        ["verify", None, "Let the depot hash the stored bytes again between upload and download."],
        ["delete", None, "Remove the file from the depot at the end."],
    ]

    def postOptions(self) -> None:
        super().postOptions()
        if self["tls"] and self["endpoint"] is not None:
            raise usage.UsageError("--tls goes with --host and --port, not with --endpoint")
        if self["watch"] is not None:
            for name, unset in _OF_AN_EXCHANGE.items():
                if self[name] != unset:
                    raise usage.UsageError(f"--{name} does not go with --watch")
            for name in _READ_AGAIN:
                if self[name] is not None:  # a daemon changes its directory
                    self[name] = str(Path(self[name]).absolute())
        if self["file"] is None:
            self["file"] = resources.files("xferproto.client").joinpath("picture.png")
        self["file"] = Path(str(self["file"])).absolute()
        self["output"] = Path(self["output"]).absolute()
        twistd: Any = self.parent
        if twistd is None:
            return
        # A client beside a daemonised server must not trip over its pid file, nor write its log.
        if twistd["nodaemon"]:
            if twistd["pidfile"] == "twistd.pid":
                twistd["pidfile"] = ""
            named = twistd["logfile"] is not None or twistd["logger"] is not None
            if not named and not twistd["syslog"] and self["watch"] is None:
                twistd["logger"] = f"{TranscriptObserver.__module__}.{TranscriptObserver.__name__}"
        else:
            if twistd["pidfile"] == "twistd.pid":
                twistd["pidfile"] = PID_FILE
            twistd["logfile"] = twistd["logfile"] or LOG_FILE


def chosen_depot(reactor: Any, options: Options) -> tuple[str, IStreamClientEndpoint]:
    """
    Return the depot of these options: as messages call it, and its endpoint.

    @raise SystemExit: a file or the endpoint string is wrong; the text is one line.
    """
    host, number, description = options["host"], options["port"], options["endpoint"]
    tls = bool(options["tls"])
    try:
        endpoint = depot_endpoint(
            reactor,
            *(host, number, description, tls),
            *(options[name] for name in ("ca", "fingerprint", "cert", "key")),
        )
    except (XferError, ValueError) as error:  # unusable files; a malformed host name
        raise SystemExit(f"xfer-client: {error}") from None
    if description is None:
        description = f"{host} port {number}" + (" with TLS" if tls else "")
    return description, endpoint


def renewal_of(reactor: Any, options: Options, login: tuple[str, str] | None) -> Renewal | None:
    """Return what reads the files again on SIGHUP; None if no file was given."""
    password_file = options["password-file"]
    what = ["the certificates"] if options["tls"] else []
    if password_file is not None:
        what.append("the password file")
    if not what:
        return None

    def read() -> tuple[IStreamClientEndpoint, tuple[str, str] | None]:
        try:
            _, endpoint = chosen_depot(reactor, options)
            again = login if password_file is None else credentials(options["user"], password_file)
        except SystemExit as error:
            raise ValueError(str(error).removeprefix("xfer-client: ")) from None
        return endpoint, again

    return Renewal(" and ".join(what), read)


def makeService(options: Options) -> Service:
    """
    Make the service for these options.

    @raise SystemExit: a file or the endpoint string is wrong, or there is no password; the
        text is one line.
    """
    from twisted.internet import reactor

    watching = options["watch"] is not None
    if not watching and not options["file"].is_file():
        raise SystemExit(
            f"xfer-client: {options['file']} does not exist, or is not a regular file."
        )
    depot = chosen_depot(reactor, options)
    login = credentials(options["user"], options["password-file"])
    if watching:
        report = StartReport("xfer-client")
        renewal = renewal_of(reactor, options, login)
        settings = options.watch_settings()
        return report.of(WatchService(reactor, depot, settings, login, renewal=renewal))
    return ExchangeService(
        reactor,
        depot,
        options["file"],
        options["output"],
        ExitStatus(),
        options["tries"],
        bool(options["verify"]),
        bool(options["delete"]),
        login,
    )

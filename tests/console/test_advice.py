"""What the console command says of each failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
)
from twisted.trial.unittest import SynchronousTestCase

from xferproto.console.main import COMMANDS
from xferproto.console.ui.advice import (
    LOGIN_ADVICE,
    LONGEST,
    NEEDED_RIGHTS,
    REFUSALS,
    Explanation,
    HungUp,
    LocalRefusal,
    Unreachable,
    explain,
)
from xferproto.model import errors
from xferproto.model.errors import (
    REQUEST_ERRORS,
    AnswerTooLong,
    CertificateError,
    ConnectionCut,
    Denied,
    HashMismatch,
    LoginFailed,
    LoginRequired,
    SourceChanged,
    StorageLost,
    TargetExists,
    TargetIsNoFile,
    TLSFailed,
    TooLarge,
    UnexpectedReply,
    UnknownRequestError,
    XferError,
)

SERVER = "lab (depot.example port 9000)"

HOSTILE = "\x1b[2J\u202egone\nxfer: all is well"


class ExplainTests(SynchronousTestCase):
    """Every failure has a cause and an advice."""

    def explain(self, error: BaseException) -> Explanation:
        """What is said of it, which has the form that messages need."""
        told = explain(error, SERVER)
        for text in (told.cause, told.advice):
            self.assertTrue(text, error)
            self.assertTrue(text.isprintable(), ascii(text))
            self.assertFalse(text.endswith((".", ";")), text)
            self.assertEqual(text, text.strip())
        return told

    def test_table(self) -> None:
        """Each symbol of the protocol has its own words, and there are no others."""
        self.assertEqual(set(REFUSALS), set(REQUEST_ERRORS))
        advices = set()
        for symbol, kind in REQUEST_ERRORS.items():
            told = self.explain(kind())
            self.assertEqual((told.symbol, told.cause, told.advice), (symbol, *REFUSALS[symbol]))
            # What a server advises is for those who type the protocol.
            for word in ("LIST_FILES", "LOGIN", "HELP", "send "):
                if symbol != "too-large":
                    self.assertNotIn(word, told.cause + told.advice)
            advices.add(told.advice)
        self.assertGreater(len(advices), 14)

    def test_what_to_do(self) -> None:
        """The words say what somebody at this command can do."""
        for symbol, word in (
            ("login-required", "--user"),
            ("insecure", "--tls"),
            ("corrupt", "put the file again"),
            ("quota-exceeded", "xfer rm"),
            ("no-such-file", "xfer ls"),
            ("denied", "xfer login"),
            ("bad-name", "rename the file"),
            ("no-space", "it resumes"),
        ):
            self.assertIn(word, self.explain(REQUEST_ERRORS[symbol]()).advice)

    def test_rights(self) -> None:
        """A missing right is named; a login that is refused is not taken for one."""
        for error in (Denied(), LoginRequired()):
            told = explain(error, SERVER, "get")
            self.assertIn("xfer get needs the right to list and read", told.cause)
            self.assertEqual(explain(error, SERVER, "unknown").cause, REFUSALS[error.symbol][0])
        told = explain(LoginFailed("The user name or the password is wrong; x."), SERVER, "get")
        self.assertEqual(told.cause, "the user name or the password is wrong")
        self.assertEqual((told.symbol, told.advice), ("denied", LOGIN_ADVICE))
        self.assertLessEqual(set(NEEDED_RIGHTS), set(COMMANDS))

    def test_more_is_known(self) -> None:
        """Where the server says more than its table does, that is the cause; not its advice."""
        told = self.explain(TooLarge("This server takes files of at most 5 bytes; send a smaller."))
        self.assertEqual(told.cause, "this server takes files of at most 5 bytes")
        self.assertEqual(told.advice, REFUSALS["too-large"][1])
        self.assertEqual(self.explain(StorageLost()).symbol, "internal")

    def test_unknown_symbol(self) -> None:
        """A symbol of a newer server is told with the server's text."""
        told = self.explain(UnknownRequestError("brand-new", "The moon is full; wait."))
        self.assertEqual((told.symbol, told.cause), ("brand-new", "the moon is full"))

    def test_hostile(self) -> None:
        """Whatever a server says, it can't command a terminal, nor fill it."""
        for kind in REQUEST_ERRORS.values():
            self.explain(kind(HOSTILE))
            told = self.explain(kind("x" * 4000))
            self.assertLessEqual(len(told.cause), LONGEST)
        for error in (
            UnknownRequestError("new", HOSTILE),
            HashMismatch(HOSTILE, "0" * 32, HOSTILE),
            UnexpectedReply(HOSTILE),
            ConnectionCut(HOSTILE),
            TLSFailed(HOSTILE),
            CertificateError(HOSTILE),
            XferError(HOSTILE),
            OSError(errno.ENOENT, "No such file", HOSTILE),
            ConnectError(string=HOSTILE),
            RuntimeError(HOSTILE),
            ValueError(HOSTILE),
        ):
            self.explain(error)

    def test_every_error(self) -> None:
        """Every class of errors is explained, one that is added later too."""
        told = set()
        for kind in vars(errors).values():
            if not (isinstance(kind, type) and issubclass(kind, XferError)):
                continue
            if kind is HashMismatch:
                error: XferError = HashMismatch("Upload", "0" * 32, "1" * 32)
            elif kind is AnswerTooLong:
                error = AnswerTooLong()
            elif kind is UnknownRequestError:
                error = UnknownRequestError("x", "text")
            else:
                error = kind("Something is wrong.")
            told.add(self.explain(error).cause)
        self.assertGreater(len(told), 3)

    def test_own(self) -> None:
        """What the client finds out."""
        for error, words in (
            (HashMismatch("Upload", "a" * 32, "b" * 32), ("a" * 32, "b" * 32, "try again")),
            (SourceChanged("x"), ("changed while",)),
            (TargetExists("x"), ("exists", "--replace")),
            (TargetIsNoFile("x"), ("not a regular file", "never replaced", "another place")),
            (UnexpectedReply("Expected x."), ("does not speak xfer", SERVER, "--tls")),
            (AnswerTooLong(), ("too long to be kept", SERVER, "fewer names")),
            (ConnectionCut("The connection was lost."), ("connection was lost", "it resumes")),
            (HungUp(), ("closes the connection", "--tls")),
            (LocalRefusal("the cause", "the advice"), ("the cause", "the advice")),
            (CertificateError("Can't read x.pem: gone."), ("x.pem", "--ca")),
            (TLSFailed("It is not good: it has expired."), ("not good", SERVER, "--fingerprint")),
            (TLSFailed("No TLS there; go without."), ("no TLS there", "go without")),
            (CancelledError(), ("stopped",)),
        ):
            told = self.explain(error)
            for word in words:
                self.assertIn(word, f"{told.cause}; {told.advice}")
            self.assertIsNone(told.symbol)

    def test_network(self) -> None:
        """What the network says."""
        for error, words in (
            (ConnectionRefusedError(), ("refused", SERVER, "whether the depot runs")),
            (TimeoutError(), ("no answer", "network")),
            (TCPTimedOutError(), ("no answer",)),
            (NoRouteError(), ("no route to it",)),
            (UnknownHostError(), ("can't reach",)),
            (ConnectBindError(), ("can't reach",)),
            (ConnectError(errno.ENETUNREACH), (os.strerror(errno.ENETUNREACH).lower(),)),
            (DNSLookupError("no such host"), ("unknown host", "--host")),
            (ConnectionLost(), ("it resumes",)),
            (Unreachable(ConnectionRefusedError()), ("refused",)),
            (Unreachable(ValueError("invalid hostname")), ("not a host name",)),
        ):
            told = self.explain(error)
            for word in words:
                self.assertIn(word.lower(), f"{told.cause}; {told.advice}".lower())

    def test_system(self) -> None:
        """What this machine says, with the file that it is about."""
        told = self.explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "a b"))
        self.assertEqual(told.cause, "no such file or directory (a b)")
        self.assertIn("spelling", told.advice)
        self.assertIn("(b)", self.explain(OSError(errno.EIO, "I/O error", b"b")).cause)
        self.assertIn("free space", self.explain(OSError(errno.ENOSPC, "No space left")).advice)
        part = Path(self.mktemp())
        part.write_bytes(bytes(3072))
        for kept, words in ((str(part), f", or remove {part} (3 KiB), which keeps"), ("gone", "")):
            full = OSError(errno.ENOSPC, "No space left", "target", None, kept)
            told = self.explain(full)
            self.assertEqual(told.cause, "no space left (target)")
            self.assertIn(f"start the command again{words}", told.advice)
        self.assertNotIn("remove", told.advice)
        self.assertTrue(self.explain(OSError(errno.EXDEV, "Cross-device link")).advice)
        self.assertEqual(self.explain(OSError("odd")).cause, "odd")

    def test_unexpected(self) -> None:
        """What should not have happened says so, with all that helps to mend it."""
        told = self.explain(KeyError("x"))
        self.assertIn("should not have happened (KeyError", told.cause)
        self.assertIn("XFER_DEBUG", told.advice)
        self.assertIn("RuntimeError)", self.explain(RuntimeError()).cause)

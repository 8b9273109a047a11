"""What each error means: its symbol, how much fails with it, and whether to try again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from xferproto.model import errors
from xferproto.model.errors import REQUEST_ERRORS, RequestError, Scope, XferError

REQUEST, CONNECTION, SERVER = Scope.REQUEST, Scope.CONNECTION, Scope.SERVER

TABLE: dict[str, tuple[str, Scope, bool]] = {
    "XferError": ("internal", REQUEST, False),
    "RequestError": ("internal", REQUEST, False),
    # what a server answers
    "BadCommand": ("bad-command", SERVER, False),
    "OtherProtocol": ("bad-command", CONNECTION, False),
    "BadDetails": ("bad-details", REQUEST, False),
    "BadName": ("bad-name", REQUEST, False),
    "BadId": ("bad-id", REQUEST, False),
    "BadRange": ("bad-range", REQUEST, False),
    "BadToken": ("bad-token", REQUEST, False),
    "LineTooLong": ("line-too-long", CONNECTION, False),
    "NoSuchFile": ("no-such-file", REQUEST, False),
    "TooLarge": ("too-large", REQUEST, False),
    "NoSpace": ("no-space", REQUEST, True),
    "Collision": ("collision", REQUEST, False),
    "Corrupt": ("corrupt", REQUEST, False),
    "Busy": ("busy", REQUEST, True),
    "TooManyConnections": ("busy", CONNECTION, True),
    "LoginRequired": ("login-required", SERVER, False),
    "Denied": ("denied", SERVER, False),
    "LoginFailed": ("denied", SERVER, False),
    "Insecure": ("insecure", SERVER, False),
    "QuotaExceeded": ("quota-exceeded", REQUEST, False),
    "Timeout": ("timeout", CONNECTION, True),
    "Internal": ("internal", REQUEST, True),
    "StorageLost": ("internal", SERVER, True),
    "UnknownRequestError": ("internal", REQUEST, False),
    # what a server or a client fails with
    "StorageUnavailable": ("internal", SERVER, False),
    "UsersUnreadable": ("internal", SERVER, False),
    "ListenFailed": ("internal", SERVER, False),
    "CertificateError": ("internal", SERVER, False),
    "TLSFailed": ("internal", SERVER, False),
    "HashMismatch": ("internal", REQUEST, True),
    "ConnectionCut": ("internal", CONNECTION, True),
    "LeftUnfinished": ("internal", CONNECTION, True),
    "UnexpectedReply": ("internal", CONNECTION, False),
    "AnswerTooLong": ("internal", CONNECTION, False),
    "SourceChanged": ("internal", REQUEST, False),
    "TargetExists": ("internal", REQUEST, False),
    "TargetIsNoFile": ("internal", REQUEST, False),
}


def classes() -> dict[str, type[XferError]]:
    """The classes of the module, by their names."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, XferError)
    }


class ErrorTests(SynchronousTestCase):
    """The attributes of the classes."""

    def test_table(self) -> None:
        """Each class has the symbol, the scope and the retryability of the table."""
        self.assertEqual(
            {name: (kind.symbol, kind.scope, kind.retryable) for name, kind in classes().items()},
            TABLE,
        )

    def test_wire(self) -> None:
        """Whatever a server answers has a symbol that the client knows as such an error."""
        for name, kind in classes().items():
            if issubclass(kind, RequestError) and kind is not RequestError:
                self.assertTrue(issubclass(kind, REQUEST_ERRORS[kind.symbol]) or "Unknown" in name)
                self.assertTrue(kind.advice)

    def test_unknown(self) -> None:
        """A symbol of a newer server is of one request, and not tried again."""
        error = errors.UnknownRequestError("brand-new", "Something.")
        self.assertEqual(
            (error.symbol, error.scope, error.retryable), ("brand-new", REQUEST, False)
        )

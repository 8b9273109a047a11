"""
xfer: a file depot that proves what it stores.

The names below are the Python API, and so are all of L{xferproto.errors}; docs/python.md shows them
in use and says what is promised of them, docs/protocol.md specifies the wire. Each is imported when
it is first asked for: C{import xferproto} alone costs nothing.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from xferproto.version import __version__

if TYPE_CHECKING:
    from twisted.internet.error import ConnectError, DNSLookupError

    from xferproto.client.blocking.client import BlockingClient, Outcomes
    from xferproto.client.callbacks import OnResult, OnWait, Progress, Trace
    from xferproto.client.factory import XferClientFactory, connect
    from xferproto.client.protocol import XferClientProtocol
    from xferproto.client.retry import RetryingClient
    from xferproto.client.tls import tls_endpoint
    from xferproto.model.entry import Entry, Status
    from xferproto.model.errors import (
        CertificateError,
        ConnectionCut,
        HashMismatch,
        RequestError,
        SourceChanged,
        TargetExists,
        TLSFailed,
        UnexpectedReply,
        UnknownRequestError,
        XferError,
    )

    Told = OnResult
    Waited = OnWait

__all__ = [
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
]

_HOMES = {
    "twisted.internet.error": ("ConnectError", "DNSLookupError"),
    "xferproto.client.blocking.client": ("BlockingClient", "Outcomes"),
    "xferproto.client.callbacks": ("OnResult", "OnWait", "Progress", "Trace"),
    "xferproto.client.factory": ("XferClientFactory", "connect"),
    "xferproto.client.protocol": ("XferClientProtocol",),
    "xferproto.client.retry": ("RetryingClient",),
    "xferproto.client.tls": ("tls_endpoint",),
    "xferproto.model.entry": ("Entry", "Status"),
    "xferproto.model.errors": (
        "CertificateError",
        "ConnectionCut",
        "HashMismatch",
        "RequestError",
        "SourceChanged",
        "TLSFailed",
        "TargetExists",
        "UnexpectedReply",
        "UnknownRequestError",
        "XferError",
    ),
}
_FORMER = {"Told": "OnResult", "Waited": "OnWait"}
"""Former names, which work for one more minor version: the present name of each."""

_HOME = {name: home for home, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker takes the names from above, and knows of no others

    def __getattr__(name: str) -> object:
        """A name of the API, from the module that it is at home in."""
        if name in _FORMER:
            present = _FORMER[name]
            warnings.warn(
                f"xferproto.{name} is called {present} now", DeprecationWarning, stacklevel=2
            )
            return globals().get(present) or __getattr__(present)
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

"""
xfer: a file depot that proves what it stores.

The names below are the Python API; README.md shows it in use, docs/protocol.md specifies the wire.
"""

from xferproto.client.factory import XferClientFactory, connect
from xferproto.client.protocol import XferClientProtocol
from xferproto.client.retry import RetryingClient
from xferproto.entry import Entry, Status
from xferproto.errors import (
    ConnectionCut,
    HashMismatch,
    RequestError,
    SourceChanged,
    TargetExists,
    UnexpectedReply,
    XferError,
)
from xferproto.version import __version__

__all__ = [
    "ConnectionCut",
    "Entry",
    "HashMismatch",
    "RequestError",
    "RetryingClient",
    "SourceChanged",
    "Status",
    "TargetExists",
    "UnexpectedReply",
    "XferClientFactory",
    "XferClientProtocol",
    "XferError",
    "__version__",
    "connect",
]

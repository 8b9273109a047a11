"""The former place of L{xferproto.watch.status}; importing it gives a C{DeprecationWarning}."""

import warnings

from xferproto.watch.status import (
    FORMAT,
    NoStatus,
    WatchStatus,
    describe,
    read_status,
    write_status,
)

__all__ = ["FORMAT", "NoStatus", "WatchStatus", "describe", "read_status", "write_status"]

warnings.warn(
    "xferproto.client.watch.status is called xferproto.watch.status now",
    DeprecationWarning,
    stacklevel=2,
)

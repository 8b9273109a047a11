"""
Shows C{xfer} and C{xfer-client} to C{twistd}.

The modules are named as strings and nothing of xfer is imported here: every C{twistd} of a machine
imports this file, and must not break when xfer does.
"""

from twisted.application.service import ServiceMaker

xfer = ServiceMaker(
    "xfer server",
    "xferproto.server.service",
    "A file depot that proves what it stores.",
    "xfer",
)

xfer_client = ServiceMaker(
    "xfer client",
    "xferproto.client.service",
    "Send a file to an xfer depot, fetch it back, compare the hashes.",
    "xfer-client",
)

"""The errors of xfer, for programs that use it: all of L{xferproto.model.errors}."""

from xferproto.model.errors import *  # noqa: F403

"""
Let file modes bind a test that root runs, as they bind everybody else.

On Linux root passes over them by two capabilities, which a thread can lay down and take up again.
The number of each is from linux/capability.h, as is the form of what capset(2) is given.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

VERSION = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3: two words of each set."""

DAC_OVERRIDE = 1 << 1
DAC_READ_SEARCH = 1 << 2

GET_SECUREBITS, SET_SECUREBITS = 27, 28
NO_SETUID_FIXUP = 1 << 2
"""Of linux/prctl.h and linux/securebits.h: without it access(2) goes by what root could take up."""


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def obey() -> Callable[[], None]:
    """
    Let file modes bind this thread, and what it forks until that runs another program.

    @return: ends that.
    @raise OSError: the system does not offer that to root.
    """
    if os.geteuid() != 0:
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(VERSION, 0), (_Sets * 2)()

    def call(name: str, *arguments: Any) -> int:
        result: int = getattr(libc, name)(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
        return result

    if not hasattr(libc, "capset"):
        raise OSError(errno.ENOSYS, "there are no capabilities here")
    bits = call("prctl", GET_SECUREBITS, 0, 0, 0, 0)
    call("prctl", SET_SECUREBITS, bits | NO_SETUID_FIXUP, 0, 0, 0)
    call("capget", ctypes.byref(header), sets)
    before = sets[0].effective
    sets[0].effective = before & ~(DAC_OVERRIDE | DAC_READ_SEARCH)
    call("capset", ctypes.byref(header), sets)

    def end() -> None:
        sets[0].effective = before
        call("capset", ctypes.byref(header), sets)
        call("prctl", SET_SECUREBITS, bits, 0, 0, 0)

    return end


def obey_in(case: SynchronousTestCase) -> None:
    """
    Let file modes bind the rest of a test.

    @raise SkipTest: the system does not offer that to root.
    """
    try:
        case.addCleanup(obey())
    except OSError as error:
        raise SkipTest(f"root may read and write everything: {error}") from None

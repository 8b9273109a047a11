"""What a traced server did to its disk, and told its clients, in order: the output of strace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

CALLS = (
    "openat,creat,close,lseek,write,writev,pwrite64,pwritev,sendto,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat"
)
"""The system calls that count."""

OPTIONS = ("-D", "-f", "-q", "-yy", "-xx", "-s", "10000000", "-e", f"trace={CALLS}")
"""How strace is called; with C{-o} and a file."""

_LINE = re.compile(r"([0-9]+) +(.*)")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. [a-z0-9_]+ resumed>(.*)")
_CALL = re.compile(r"([a-z0-9_]+)\((.*)\) += (-?[0-9]+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"(-?[0-9]+)")
_PEER = re.compile(r"<TCP(?:v6)?:\[.*->.*?:([0-9]+)\]>")


class Call(NamedTuple):
    """
    A system call that went well.

    @ivar begun: the number of the line on which it began; calls are in the order of their ends.
    @ivar ended: the number of the line on which it ended.
    @ivar name: which.
    @ivar arguments: as strace prints them.
    @ivar result: what it returned.
    """

    begun: int
    ended: int
    name: str
    arguments: str
    result: int

    def texts(self) -> list[bytes]:
        """The arguments that are bytes: data or paths."""
        return [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(self.arguments)]

    def fd(self) -> int:
        """The descriptor that is its first argument."""
        match = _FD.match(self.arguments)
        assert match is not None, self
        return int(match[1])

    def last(self) -> int:
        """The number that is its last argument."""
        return int(self.arguments.rpartition(",")[2], 0)

    def peer(self) -> int | None:
        """The port at the other end of the connection that it is about, where it is about one."""
        match = _PEER.search(self.arguments.partition(",")[0])
        return int(match[1]) if match else None


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """
    The calls of a trace, by their ends. That of a close is its begin: from then on another thread
    may get the number.
    """
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        match = _LINE.match(line.rstrip("\n"))
        if match is None:
            continue
        thread, text = match.groups()
        start = number
        if text.endswith(_UNFINISHED):
            text = text.removesuffix(_UNFINISHED)
            if not text.startswith("close("):
                begun[thread] = (number, text)
                continue
            text += ") = 0" if not text.endswith(")") else " = 0"
        elif resumed := _RESUMED.match(text):
            if thread not in begun:  # a close
                continue
            start, before = begun.pop(thread)
            text = before + resumed[1]
        call = _CALL.match(text)
        if call is not None and int(call[3]) >= 0:
            yield Call(start, number, call[1], call[2], int(call[3]))

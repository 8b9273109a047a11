"""The types of the functions that callers give to requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from xferproto.model.entry import Entry

Progress = Callable[[int, int], None]
"""Called with the number of bytes transferred, and the number in all."""

OnWait = Callable[[int, str], None]
"""
Called while the server works before its answer, with the percentage that is done and a name of the
work. The text is the server's: escape it before you show it.
"""

OnResult = Callable[[str, Entry | Exception], None]
"""Called with a file's name or id, and its entry or what went wrong with it."""

Begun = Callable[[str, str], object]
"""Called with the name and the token of an upload."""

Trace = Callable[[Literal["<", ">"], bytes], None]
"""Called with each line without its end: C{>} for the client's, C{<} for the server's."""

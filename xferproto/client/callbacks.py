"""The types of the functions that callers give to requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from xferproto.model.entry import Entry

Progress = Callable[[int, int], None]
"""Called with the bytes that are through, and the bytes in all."""

OnWait = Callable[[int, str], None]
"""
Called with how much of the server's work is done, 0 to 100, and what the work is, while the answer
has to wait for it. The text is the server's: it is to be escaped before it is shown.
"""

OnResult = Callable[[str, Entry | Exception], None]
"""Called with a file's name or id, and its entry or what went wrong with it."""

Begun = Callable[[str, str], object]
"""Called with the name and the token of an upload."""

Trace = Callable[[Literal["<", ">"], bytes], None]
"""Called with each line without its end: C{>} for the client's, C{<} for the server's."""

"""Text from the network, made safe to show: in a log, on a terminal."""

from __future__ import annotations


def quoted(text: str | bytes) -> str:
    """C{text} as L{printable} shows it, in double quotes."""
    return f'"{printable(text)}"'


def printable(text: str | bytes) -> str:
    r"""
    C{text} on one line, with everything that does not print written as an escape.

    Control characters, line separators and bidirectional marks come out as C{\n}, C{\x1b},
    C{\u202e}, a byte FF that is no UTF-8 as C{\udcff}; letters and combining characters of every
    script stay readable.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    shown = []
    for character in text:
        if character in '"\\':
            shown.append("\\" + character)
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(shown)


def escaped(text: str) -> str:
    """
    C{text} on one line, with what does not print as L{printable} writes it, but quotes and
    backslashes as they are: for names of the depot, which hold no backslash, and for sentences that
    have such escapes in them already.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )

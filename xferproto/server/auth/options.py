"""The options of C{twistd xfer} that say who may come in, and what is refused for them."""

from __future__ import annotations

from typing import Any

from twisted.python import usage

from xferproto.model.identity import ANYONE, NOBODY, Identity, View, parse_right
from xferproto.net.peer import is_loopback


def anonymous(value: str) -> Identity:
    """
    What strangers may do, as in C{list,read} or C{write}; with C{all}, to everybody's files.

    @raise ValueError: it reads like nothing of that.
    """
    words = [word.strip() for word in value.split(",")]
    rights = frozenset(parse_right(word) for word in words if word != "all")
    if not rights:
        raise ValueError("strangers get at least one right of list, read, write, delete")
    return Identity(rights=rights, view=View(all="all" in words))


class AccessOptions(usage.Options):
    """The options themselves."""

    optParameters = [
        ["users", "u", None, "File of the users who may log in; see xfer-depot users."],
        [
            "anonymous",
            "a",
            None,
            "What strangers may do: list, read, write, delete, with commas between; and all, to "
            "see everybody's files.",
            anonymous,
        ],
    ]

    def strangers(self) -> Identity:
        """What those may do who have not logged in."""
        if self["anonymous"] is not None:
            identity: Identity = self["anonymous"]
            return identity
        return ANYONE if self["users"] is None else NOBODY


def check_reach(options: Any) -> None:
    """
    See to it that nobody listens to the network unasked.

    @param options: with C{endpoints}, descriptions, or C{interface}, an address.
    @raise SystemExit: others than this machine may come in, and nothing says what they may do.
    """
    if options["users"] is not None or options["anonymous"] is not None:
        return
    if options["endpoints"]:
        far = [text for text in options["endpoints"] if not is_near(text.removeprefix("tls+"))]
    else:
        far = [text for text in [options["interface"]] if not is_loopback(text)]
    if far:
        raise SystemExit(
            f"xfer: {far[0]!r} may be reached by others; give --users FILE, or say what strangers "
            "may do, as in --anonymous list,read"
        )


_INTERFACE = {"tcp": 1, "tcp6": 1, "ssl": 4}
"""Where an endpoint's interface stands among its positional arguments, the port being the first."""


def is_near(description: str) -> bool:
    """
    Whether nobody but this machine can come in at an endpoint, as far as its description shows: a
    UNIX socket, or TCP or TLS on a loopback address.
    """
    kind, *fields = endpoint_fields(description)
    if kind == (None, "unix"):
        return True
    if kind[0] is not None or kind[1] not in _INTERFACE:
        return False
    positional = [value for key, value in fields if key is None]
    named = dict(fields)
    place = _INTERFACE[kind[1]]
    if "interface" in named:
        return is_loopback(named["interface"])
    return len(positional) > place and is_loopback(positional[place])


def endpoint_fields(description: str) -> list[tuple[str | None, str]]:
    """The fields of an endpoint's description, each with its key where it has one."""
    fields: list[tuple[str | None, str]] = []
    key: str | None = None
    value = ""
    characters = iter(description)
    for character in characters:
        if character == ":":
            fields.append((key, value))
            key, value = None, ""
        elif character == "=" and key is None:
            key, value = value, ""
        else:
            value += next(characters, "") if character == "\\" else character
    return [*fields, (key, value)]

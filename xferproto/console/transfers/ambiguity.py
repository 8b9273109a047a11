"""Whether an argument is an id or a name, where it may be either."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeVar

import click

from xferproto.console.transfers.damaged import DamageDepot, list_all
from xferproto.model.entry import Status
from xferproto.model.errors import BadId, NoSuchFile
from xferproto.model.escape import quoted

F = TypeVar("F", bound=Callable[..., Any])

Meant = Literal["id", "name"] | None
"""What the arguments of a call are; either where it is None."""


class Depot(DamageDepot, Protocol):
    """What is asked of a client."""

    def stat(self, id: str) -> Awaitable[Status]:
        """All that is known of a content."""


def id_or_name(function: F) -> F:
    """Let a subcommand take C{--id} and C{--name}; C{meant} says which was given."""
    as_name = "The arguments are names, also where they look like ids."
    function = click.option("--name", "meant", flag_value="name", help=as_name)(function)
    return click.option("--id", "meant", flag_value="id", help="The arguments are ids.")(function)


def is_id(text: str) -> bool:
    """Whether this may be the id of a content; it may be a name too."""
    return re.fullmatch("[0-9A-Fa-f]{32}", text) is not None


def may_be_id(what: str, meant: Meant) -> bool:
    """
    Whether an argument may be an id.

    @raise BadId: it has to be one, and is none.
    """
    if meant == "id" and not is_id(what):
        raise BadId()
    return meant != "name" and is_id(what)


async def status_of(
    client: Depot, what: str, meant: Meant, note: Callable[[str], None]
) -> Status | None:
    """
    What is known of the content that an argument is the id of; None where it is a name.

    @param note: told where it is both; then the id counts.
    @raise BadId: it has to be an id, and is none.
    @raise NoSuchFile: it has to be an id, and there is no such content.
    @raise Corrupt: it is the id of a content that is known to be damaged.
    """
    if not may_be_id(what, meant):
        return None
    try:
        status = await client.stat(what)
    except NoSuchFile:
        if meant == "id":
            raise
        return None
    if meant is None and await is_name_too(client, what):
        note(
            f"{quoted(what)} is the id of a content, and a name of another; this is the content of "
            "the id. For the name give --name, and --id for no such note."
        )
    return status


async def is_name_too(client: Depot, id: str, below: bool = True) -> bool:
    """
    Whether an id is a name of another content.

    @param below: whether it also counts as one where names go on below it, as in a directory.
    """
    return any(
        entry.id != id.lower() and (entry.name == id or (below and entry.name.startswith(f"{id}/")))
        for entry in (await list_all(client, id))[0]
    )

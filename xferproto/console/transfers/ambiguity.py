"""Decide whether an argument is an id or a name."""

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
"""Whether the arguments of a call are ids or names; None for either."""


class Depot(DamageDepot, Protocol):
    """The requests of a client that this needs."""

    def stat(self, id: str) -> Awaitable[Status]:
        """Return all that the depot knows of a content."""


def id_or_name(function: F) -> F:
    """Add the options C{--id} and C{--name} to a subcommand, as the parameter C{meant}."""
    as_name = "The arguments are names, even if they look like ids."
    function = click.option("--name", "meant", flag_value="name", help=as_name)(function)
    return click.option("--id", "meant", flag_value="id", help="The arguments are ids.")(function)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id; it may be a name too."""
    return re.fullmatch("[0-9A-Fa-f]{32}", text) is not None


def may_be_id(what: str, meant: Meant) -> bool:
    """
    Whether an argument may be an id.

    @raise BadId: C{meant} is C{id}, and the argument is not one.
    """
    if meant == "id" and not is_id(what):
        raise BadId()
    return meant != "name" and is_id(what)


async def status_of(
    client: Depot, what: str, meant: Meant, note: Callable[[str], None]
) -> Status | None:
    """
    Return the status of the content with this id; None if the argument is a name.

    @param note: called if it is both; then the id counts.
    @raise BadId: C{meant} is C{id}, and the argument is not one.
    @raise NoSuchFile: C{meant} is C{id}, and there is no such content.
    @raise Corrupt: the content is known to be damaged.
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
            f"{quoted(what)} is the id of a content, and the name of another; this is the content "
            "with the id. Give --name for the name, or --id to avoid this note."
        )
    return status


async def is_name_too(client: Depot, id: str, below: bool = True) -> bool:
    """
    Whether an id is the name of another content too.

    @param below: whether a directory of this name counts too.
    """
    return any(
        entry.id != id.lower() and (entry.name == id or (below and entry.name.startswith(f"{id}/")))
        for entry in (await list_all(client, id))[0]
    )

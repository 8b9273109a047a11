"""Which files of a depot an argument stands for, and what they are called here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from xferproto.console.transfers.ambiguity import Depot, Meant, status_of
from xferproto.console.transfers.damaged import list_all
from xferproto.model.entry import Entry
from xferproto.model.errors import NoSuchFile
from xferproto.model.escape import quoted


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A file to be fetched.

    @ivar entry: what the depot knows of it.
    @ivar relative: what it is called below the directory that gets it: its name without the
        directories above the one that was asked for.
    @ivar damaged: whether its stored bytes are known to be: it can't be fetched.
    """

    entry: Entry
    relative: str
    damaged: bool = False


async def wanted(
    client: Depot, what: str, note: Callable[[str], None], meant: Meant = None
) -> list[Wanted]:
    """
    The files that an argument stands for: those of an id, else of a name, else all that are below
    a directory of this name, else all whose names begin so. Nothing at all stands for every file.

    Where a name has several contents, it is the one whose bytes were stored last; but a damaged one
    where there is one, for nobody knows whether an older one is meant.

    @param note: told of names with several contents, and of an id that is a name too.
    @param meant: what the argument is, where it may not be either.
    @return: one for each name, in name order; never empty.
    @raise NoSuchFile: nothing is stored under it.
    @raise Corrupt: it is the id of a content that is known to be damaged.
    """
    if (status := await status_of(client, what, meant, note)) is not None:
        return [Wanted(status.entries[0], _last(status.entries[0].name))]
    entries, damaged = await list_all(client, what)
    found = among(entries, what)
    if not found and what:
        raise NoSuchFile(f"Nothing is stored under {quoted(what)}.")
    above = what.rstrip("/").rpartition("/")[0]
    return [
        Wanted(
            entry,
            entry.name.removeprefix(f"{above}/") if above else entry.name,
            entry in damaged,
        )
        for entry in await _newest(client, found, damaged, note)
    ]


def among(entries: Iterable[Entry], what: str) -> list[Entry]:
    """Of the entries whose names begin so, those that it stands for when it is not an id."""
    below = what if what.endswith("/") else f"{what}/"
    named, inside, beginning = [], [], []
    for entry in entries:
        if entry.name == what:
            named.append(entry)
        elif entry.name.startswith(below):
            inside.append(entry)
        else:
            beginning.append(entry)
    return named or inside or beginning


async def _newest(
    client: Depot,
    entries: Iterable[Entry],
    damaged: Collection[Entry],
    note: Callable[[str], None],
) -> list[Entry]:
    """One entry for each name: a damaged one, or that of the content that was stored last."""
    contents: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        contents[entry.name].append(entry)
    chosen = []
    for name, candidates in contents.items():
        entry = candidates[0]
        if len(candidates) > 1:
            broken = [one for one in candidates if one in damaged]
            if broken:
                entry, which = broken[0], "one is damaged"
            else:
                stored = [((await client.stat(one.id)).stored, one.id, one) for one in candidates]
                entry, which = max(stored)[2], "this is the one stored last"
            others = ", ".join(one.id for one in candidates if one is not entry)
            note(
                f"{quoted(name)} has {len(candidates)} contents; {which}, {entry.id}. "
                f"By their ids there are {others}."
            )
        chosen.append(entry)
    return chosen


def _last(name: str) -> str:
    return name.rpartition("/")[2]

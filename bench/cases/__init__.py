"""The cases, each with the goals of its own."""

from collections.abc import Callable
from typing import NamedTuple

from bench.cases import cost, download, listing, many, small, start, upload
from bench.figures import Result
from bench.lab import Lab


class Case(NamedTuple):
    """
    Something that is measured.

    @ivar run: measures it, and checks what arrived.
    """

    title: str
    run: Callable[[Lab], Result]


CASES: dict[str, Case] = {
    "upload": Case(upload.TITLE, upload.run_case),
    "download": Case(download.TITLE, download.run_case),
    "small": Case(small.TITLE, small.run_case),
    "list": Case(listing.TITLE, listing.run_case),
    "many": Case(many.TITLE, many.run_case),
    "start": Case(start.TITLE, start.run_case),
    "cost": Case(cost.TITLE, cost.run_case),
}
"""By the names that the command line knows them by, in the order of the goals."""

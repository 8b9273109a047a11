"""What the depot asks and tells the sender of an upload."""

from __future__ import annotations


class Uploader:
    """
    Stand for the sender of an upload. A front overrides what concerns it.
    """

    def drained(self) -> None:
        """More may be written: the upload is full no longer."""

    def failed(self) -> None:
        """No more can be written: finishing the upload raises what the reason is."""

    def waits(self) -> bool:
        """Whether the next step is the sender's, and not the depot's."""
        return True

    def probe(self) -> None:
        """Find out whether the sender is there: another one wants the token of its upload."""


PATIENT = Uploader()
"""A sender that wants to know nothing, for a content that is in memory."""

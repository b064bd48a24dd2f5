"""What the user is told when something cannot be done."""

from __future__ import annotations


class UserError(RuntimeError):
    """A request that cannot be fulfilled; the message is shown as it is."""

"""One exception tree. Every message says what was expected, what came, and what to do; none knows HTTP."""

from __future__ import annotations

from collections.abc import Sequence


class SegbanditError(Exception):
    """Base of everything the project raises on purpose.

    `code` is stable and machine-readable, `target` names the field or thing at fault as a path
    (`context.device.os`, `actions[2].action_id`), `details` are further findings of the same kind.
    """

    code = "internal_error"

    def __init__(self, message: str, *, target: str | None = None, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.details = tuple(details)


class InvalidInputError(SegbanditError):
    """What was sent is not what is accepted; nothing was changed. Mend the field named by `target`."""

    code = "invalid_input"


class TooLargeError(SegbanditError):
    """The body is over the limit; nothing was read further or stored. Send less, or send it in parts."""

    code = "too_large"


class NotFoundError(SegbanditError):
    """There is nothing by that name."""

    code = "not_found"


class ConflictError(SegbanditError):
    """The name is taken by something else, or its state does not allow this."""

    code = "conflict"


class UnavailableError(SegbanditError):
    """The database is away, so nothing can be promised; the same call may be repeated."""

    code = "unavailable"


class ModelRefusedError(SegbanditError):
    """A model's bytes are not those that were recorded, or it no longer gives finite distributions."""

    code = "model_refused"


class BrokenLogError(SegbanditError):
    """What was logged is no longer whole: somebody changed it by hand. `target` names the place."""

    code = "broken_log"


class ArchivedError(SegbanditError):
    """What this needs of the training log was archived: it stands in files, no longer in the database."""

    code = "archived"


class SetupError(SegbanditError):
    """The surroundings do not allow what was asked: a port is taken, a data set is missing, no database."""

    code = "setup"

"""Every error Parley raises on purpose: one small tree, so that a caller can catch as much as it means to."""

from __future__ import annotations


class ParleyError(Exception):
    """The root of the tree."""


class InvalidInputError(ParleyError):
    """Input that can't be taken. Says which field is wrong and how to mend it.

    Args:
        field: the field's path, as the sender wrote it (`text`, `events.3.payload.start`).
        fix: what would be accepted.
    """

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix


class NotFoundError(ParleyError):
    """Something was named that does not exist: a meeting, a lane, a team."""


class ConflictError(ParleyError):
    """A well-formed request that the thing's present state does not allow.

    Args:
        reason: a short code that programs can read (`ended`, `paused`).
        fix: what the sender can do about it.
    """

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}: {fix}")
        self.reason = reason
        self.fix = fix


class FencedError(ParleyError):
    """This process was replaced: another one owns its lane, so nothing more may be written."""


class IncompatibleStateError(ParleyError):
    """Something stored was written by a version that this one can't read."""


class UnavailableError(ParleyError):
    """A service can't answer at the moment. Trying again later is right.

    Args:
        message: what and why.
        wait: seconds for which it asks to be left alone, where it says so.
    """

    def __init__(self, message: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class MisconfiguredError(UnavailableError):
    """A service refuses everything it is asked, for its key, model, account or a parameter. Somebody has to change that."""


class UnreachableError(UnavailableError):
    """Nobody answers at a service's address: the service is off, or the address is wrong."""


class ModelLoadingError(UnavailableError):
    """A service loads its model. It answers once that is done."""


class MalformedResponseError(UnavailableError):
    """A service is there, and what it sent is no answer. The next attempt may get the same, so attempts are bounded."""


class DeferredError(ParleyError):
    """Nothing that answers can do this, and what could has been away for a while: it is to be asked later, not again now."""


class OverloadedError(ParleyError):
    """More was asked than is taken at the moment; nothing of it was. Trying again later is right.

    Args:
        reason: a short code that programs can read (`lag`, `limit`).
        fix: what the limit is, and what the sender can do about it.
        wait: seconds after which to try again.
    """

    def __init__(self, reason: str, fix: str, retry_after_s: int) -> None:
        super().__init__(f"{reason}: {fix}")
        self.reason = reason
        self.fix = fix
        self.retry_after_s = retry_after_s


class SetupError(ParleyError):
    """Something Parley needs could not be started or reached. The message says what and what to do."""

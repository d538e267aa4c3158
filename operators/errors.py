"""The exceptions that Parley raises on purpose, in one hierarchy."""

from __future__ import annotations


class ParleyError(Exception):
    """The base class of all Parley errors."""


class InvalidInputError(ParleyError):
    """Invalid input. The message names the field and the fix.

    Args:
        field: the field's path, as the sender wrote it (`text`, `events.3.payload.start`).
        fix: which values are accepted.
    """

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field
        self.fix = fix


class NotFoundError(ParleyError):
    """A meeting, lane, team or other resource does not exist."""


class ConflictError(ParleyError):
    """A valid request that conflicts with the current state of its resource.

    Args:
        reason: a short code that programs can read (`ended`, `incomplete`).
        fix: what the sender can do about it.
    """

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}: {fix}")
        self.reason = reason
        self.fix = fix


class FencedError(ParleyError):
    """Another process owns this process's lane now, so this one must not write any more."""


class IncompatibleStateError(ParleyError):
    """Stored state was written by a version of Parley that this version can't read."""


class UnavailableError(ParleyError):
    """A service can't respond at the moment. The caller should retry later.

    Args:
        message: which service, and the cause.
        retry_after_s: seconds to wait before a retry; None if the service gave no such time.
    """

    def __init__(self, message: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class MisconfiguredError(UnavailableError):
    """A service rejects every request because of its key, model, account or a parameter. An operator has to change it."""


class UnreachableError(UnavailableError):
    """Nothing responds at a service's address: the service is off, or the address is wrong."""


class ModelLoadingError(UnavailableError):
    """A service is loading its model, and can't respond before it has finished."""


class MalformedResponseError(UnavailableError):
    """A service sent a response that can't be read. A retry may get the same response, so retries are bounded."""


class DeferredError(ParleyError):
    """No available engine can process a request, and the engines that could are down. Retry later, not at once."""


class OverloadedError(ParleyError):
    """A whole request was rejected by a limit or by backpressure. The sender should retry later.

    Args:
        reason: a short code that programs can read (`lag`, `limit`).
        fix: the limit, and what the sender can do about it.
        retry_after_s: seconds to wait before a retry.
    """

    def __init__(self, reason: str, fix: str, retry_after_s: int) -> None:
        super().__init__(f"{reason}: {fix}")
        self.reason = reason
        self.fix = fix
        self.retry_after_s = retry_after_s


class SetupError(ParleyError):
    """A dependency could not be started or reached. The message names it and the fix."""


class UnauthenticatedError(ParleyError):
    """A request lacks a valid signature or key. The message says what the sender must send, and never a secret."""

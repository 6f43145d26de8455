"""The one tree of errors that an API call can end in, with Kubernetes' reasons and codes.

Source: apimachinery pkg/api/errors and meta/v1 StatusReason (API conventions, "Response Status Kind").
Only the API server's pipeline turns these into Status JSON; the HTTP client turns Status JSON back into them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An API object as it stands on the wire: JSON types only."""


@dataclass(frozen=True)
class Cause:
    """One entry of `status.details.causes`. `reason` is a CauseType such as FieldValueInvalid."""

    reason: str
    message: str
    field: str = ""

    def to_dict(self) -> Object:
        cause: Object = {"reason": self.reason, "message": self.message}
        if self.field:
            cause["field"] = self.field
        return cause


class ApiError(Exception):
    """A failed API call. `details` is `status.details` on the wire, or None."""

    reason: str = ""
    code: int = 500

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        reason: str | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        # Status is a list kind of sorts: an expired list carries its continue token here.
        self.list_metadata: Object = {}
        self.details: Object | None = dict(details) if details is not None else None
        if reason is not None:
            self.reason = reason
        if code is not None:
            self.code = code

    def to_status(self) -> Object:
        """The metav1.Status object for this error."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.list_metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @property
    def retry_after_seconds(self) -> int | None:
        return (self.details or {}).get("retryAfterSeconds")


def _details(group: str, resource: str, name: str = "", **more: Any) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    details.update(more)
    return details


def qualified(group: str, resource: str) -> str:
    """`deployments.apps`, or `pods` for the core group."""
    return f"{resource}.{group}" if group else resource


class BadRequest(ApiError):
    reason, code = "BadRequest", 400


class Unauthorized(ApiError):
    reason, code = "Unauthorized", 401


class Forbidden(ApiError):
    reason, code = "Forbidden", 403

    @classmethod
    def of(cls, group: str, resource: str, name: str, why: str) -> "Forbidden":
        what = qualified(group, resource)
        text = f'{what} "{name}" is forbidden: {why}' if name else f"{what} is forbidden: {why}"
        return cls(text, details=_details(group, resource, name))


class NotFound(ApiError):
    reason, code = "NotFound", 404

    @classmethod
    def of(cls, group: str, resource: str, name: str) -> "NotFound":
        return cls(f'{qualified(group, resource)} "{name}" not found', details=_details(group, resource, name))


class UnknownPath(ApiError):
    """No such path or kind: the plain 404 of the server."""

    reason, code = "NotFound", 404

    def __init__(self, message: str = "the server could not find the requested resource") -> None:
        super().__init__(message, details={})


class MethodNotAllowed(ApiError):
    reason, code = "MethodNotAllowed", 405


class NotAcceptable(ApiError):
    reason, code = "NotAcceptable", 406


class AlreadyExists(ApiError):
    reason, code = "AlreadyExists", 409

    @classmethod
    def of(cls, group: str, resource: str, name: str) -> "AlreadyExists":
        return cls(f'{qualified(group, resource)} "{name}" already exists', details=_details(group, resource, name))


class Conflict(ApiError):
    reason, code = "Conflict", 409

    @classmethod
    def of(cls, group: str, resource: str, name: str, why: str = "") -> "Conflict":
        why = why or ("the object has been modified; please apply your changes to the latest version and try again")
        return cls(
            f'Operation cannot be fulfilled on {qualified(group, resource)} "{name}": {why}',
            details=_details(group, resource, name),
        )


class ApplyConflict(Conflict):
    """Server-side apply met fields that other managers own (causes FieldManagerConflict)."""

    @classmethod
    def of_causes(cls, message: str, causes: Sequence[Cause]) -> "ApplyConflict":
        return cls(message, details={"causes": [c.to_dict() for c in causes]})


class Gone(ApiError):
    reason, code = "Gone", 410


class Expired(ApiError):
    """The resource version or continue token is too old (410)."""

    reason, code = "Expired", 410


class RequestTooLarge(ApiError):
    reason, code = "RequestEntityTooLarge", 413


class UnsupportedMediaType(ApiError):
    reason, code = "UnsupportedMediaType", 415


class Invalid(ApiError):
    reason, code = "Invalid", 422

    @classmethod
    def of(cls, group: str, kind: str, name: str, causes: Sequence[Cause]) -> "Invalid":
        """Kubernetes' aggregate: one cause stands alone, several are joined as `[a, b]`; equal ones appear once."""
        texts = list(dict.fromkeys(f"{c.field}: {c.message}" for c in causes))
        joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
        what = f"{kind}.{group}" if group else kind
        details = _details(group, kind, name)
        details["causes"] = [c.to_dict() for c in causes]
        return cls(f'{what} "{name}" is invalid: {joined}', details=details)


class TooManyRequests(ApiError):
    reason, code = "TooManyRequests", 429


class InternalError(ApiError):
    reason, code = "InternalError", 500

    @classmethod
    def of(cls, why: str) -> "InternalError":
        return cls(f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


class ServiceUnavailable(ApiError):
    reason, code = "ServiceUnavailable", 503


class Timeout(ApiError):
    reason, code = "Timeout", 504


_BY_REASON: dict[str, type[ApiError]] = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict,
        Gone, Expired, RequestTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
        ServiceUnavailable, Timeout,
    )
}  # fmt: skip


def from_status(status: Mapping[str, Any], http_code: int = 500) -> ApiError:
    """The error that a Status object stands for; an unknown reason gives a plain ApiError with its code."""
    reason = status.get("reason") or ""
    cls = _BY_REASON.get(reason, ApiError)
    return cls(
        status.get("message") or f"the server answered {http_code}",
        details=status.get("details"),
        reason=reason,
        code=int(status.get("code") or http_code),
    )


def is_namespace_terminating(error: Exception) -> bool:
    """Whether a create was refused because its namespace is being deleted: every further try would end the same way."""
    if not isinstance(error, Forbidden):
        return False
    return any(cause.get("reason") == "NamespaceTerminating" for cause in (error.details or {}).get("causes") or ())

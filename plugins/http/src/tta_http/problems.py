"""What a request is answered with where it comes to nothing: RFC 9457, with codes that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class FieldProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request: where, and what is due; it never quotes what was sent."""

    field: str
    detail: str


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of such an answer, ``application/problem+json``. Programs go by its ``code``, people read the rest."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    correlation_id: str = ""
    errors: Sequence[FieldProblem] = ()


class ProblemType(msgspec.Struct, frozen=True):
    """A kind of problem. Calling it makes the error to raise: ``raise NOT_FOUND("no such run")``."""

    code: str
    status: int
    title: str

    def __call__(
        self, detail: str = "", *, errors: Sequence[FieldProblem] = (), headers: Mapping[str, str] | None = None
    ) -> HttpProblem:
        """Make the error; ``detail`` is shown to whoever asked: no person's text, nothing that was sent."""
        return HttpProblem(self, detail, errors=errors, headers=headers or {})


class HttpProblem(Exception):
    """Raised by a handler that can't answer as its route says."""

    def __init__(
        self,
        type: ProblemType,
        detail: str = "",
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(type.code)
        self.type = type
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def details(self, correlation_id: str = "") -> ProblemDetails:
        """Return the body."""
        kind = self.type
        return ProblemDetails(
            type=f"urn:tta:problem:{kind.code}",
            title=kind.title,
            status=kind.status,
            code=kind.code,
            detail=self.detail,
            correlation_id=correlation_id,
            errors=self.errors,
        )


BAD_REQUEST = ProblemType("bad-request", 400, "The request can't be read")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "Nobody knows who asks")
FORBIDDEN = ProblemType("forbidden", 403, "Whoever asks may not do this")
NOT_FOUND = ProblemType("not-found", 404, "There is no such thing")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "This can't be done to it")
NOT_ACCEPTABLE = ProblemType("not-acceptable", 406, "There is no answer of the kind that is asked for")
REQUEST_TIMEOUT = ProblemType("request-timeout", 408, "The request took too long to arrive")
CONFLICT = ProblemType("conflict", 409, "It is in a state that doesn't allow this")
TOO_LARGE = ProblemType("too-large", 413, "The request is too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "The body is of a kind that nobody reads here")
MISDIRECTED = ProblemType("misdirected", 421, "This server answers under other names")
INVALID = ProblemType("invalid", 422, "The request doesn't say what is due")
RATE_LIMITED = ProblemType("rate-limited", 429, "Too many requests")
HEADERS_TOO_LARGE = ProblemType("headers-too-large", 431, "The headers are too large")
FAILED = ProblemType("failed", 500, "What should have answered failed")
UNAVAILABLE = ProblemType("unavailable", 503, "What should answer doesn't run")
LATE = ProblemType("late", 504, "What should have answered took too long")
PROBLEMS: Sequence[ProblemType] = (
    BAD_REQUEST, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, NOT_ACCEPTABLE, REQUEST_TIMEOUT, CONFLICT,
    TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, MISDIRECTED, INVALID, RATE_LIMITED, HEADERS_TOO_LARGE, FAILED, UNAVAILABLE, LATE,
)  # fmt: skip

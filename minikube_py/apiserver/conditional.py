"""Chooses a document's form by Accept, and answers 304 to those who have it already.

Source: RFC 9110 (content negotiation, If-None-Match).
"""

from collections.abc import Sequence

from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.objects.errors import NotAcceptable


def choose(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that the client likes best, the first one where it doesn't mind. Raises NotAcceptable."""
    clauses: list[tuple[float, str]] = []
    for clause in (accept or "*/*").split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if quality > 0:
            clauses.append((quality, media_type.lower()))
    clauses.sort(key=lambda clause: -clause[0])
    for _, media_type in clauses:
        for candidate in offered:
            if media_type in (candidate, "*/*", candidate.partition("/")[0] + "/*"):
                return candidate
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(offered)}")


def is_kept(request: HttpRequest, tag: str) -> bool:
    """Whether If-None-Match names this entity tag (in its quotes)."""
    kept = request.headers.get("if-none-match", "")
    return any(part.strip().removeprefix("W/") in (tag, "*") for part in kept.split(",")) if kept else False


def reply_with_document(request: HttpRequest, data: bytes, tag: str, content_type: str) -> Reply:
    """The document, or 304. Clients lay the headers of a 304 over those they keep, so both carry the content type."""
    headers = {"ETag": tag, "Vary": "Accept"}
    if is_kept(request, tag):
        return Reply(b"", 304, content_type, headers)
    return Reply(data, 200, content_type, headers)

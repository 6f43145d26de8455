"""Takes PEM text apart as Go does: blocks with their headers, what is between them passed over (RFC 7468)."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509

_BLOCK = re.compile(r"^-----BEGIN ([^\n-]*)-----[ \t]*\r?\n(.*?)^-----END \1-----[ \t]*\r?$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    type: str
    has_headers: bool
    data: bytes


def blocks(text: str) -> Iterator[Block]:
    """The blocks that can be decoded, in order."""
    for match in _BLOCK.finditer(text):
        headers, _, body = match[2].rpartition("\n\n")
        has_headers = ":" in headers
        try:
            data = base64.b64decode("".join((body if has_headers else match[2]).split()), validate=True)
        except binascii.Error:
            continue
        yield Block(match[1], has_headers, data)


def certificate(data: bytes) -> "x509.Certificate | None":
    """A DER certificate, or None for something else."""
    from cryptography import x509  # noqa: PLC0415  (loaded with the first certificate that somebody writes)

    try:
        parsed = x509.load_der_x509_certificate(data)
        parsed.public_key()
    except Exception:  # of many types, for broken structures and for keys that aren't known
        return None
    return parsed

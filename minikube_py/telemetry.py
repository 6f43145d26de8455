"""Sets up logging for a process: one readable line per record, with credentials taken out."""

import logging
import re
import sys
from typing import TextIO

_SECRET = re.compile(
    r"(?i)(authorization: *(?:bearer|basic) +|bearer +|password[\"']?[:=] *[\"']?|token[\"']?[:=] *[\"']?)[^\s\"',;&]+"
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def redact(text: str) -> str:
    """The text with bearer tokens, passwords and JWTs replaced."""
    return _JWT.sub("[redacted]", _SECRET.sub(r"\1[redacted]", text))


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def set_up_logging(level: str = "WARNING", stream: TextIO | None = None) -> None:
    """Send records at `level` and above to standard error (or `stream`). Safe to call again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)

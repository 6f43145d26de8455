"""Writes the heads of HTTP/1.1 responses as bytes."""

import re
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from http import HTTPStatus

from minikube_py import clock
from minikube_py.apiserver.messages import HttpRequest, Reply

PLAIN_CACHE_CONTROL = "no-cache, private"
_WARNING_CHARACTERS, _WARNING_ITEM_CHARACTERS = 4096, 256
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=2)
def _date_line(second: int) -> bytes:
    """A clock field of RFC 9110: names are English, whatever the locale."""
    moment = time.gmtime(second)
    day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon - 1]
    return time.strftime(f"Date: {day}, %d {month} %Y %H:%M:%S GMT\r\n", moment).encode()


@lru_cache(maxsize=128)
def _opening(code: int, content_type: str) -> bytes:
    lines = [f"HTTP/1.1 {code} {_PHRASES.get(code, '')}"]
    if content_type:
        lines += [header_text("Content-Type", content_type), header_text("Cache-Control", PLAIN_CACHE_CONTROL)]
    return ("\r\n".join(lines) + "\r\n").encode()


def header_text(name: str, value: str) -> str:
    """One header line. Control characters become spaces, so that no value can begin another line."""
    return f"{name}: {_CONTROLS.sub(' ', value)}"


def plain_head(code: int, content_type: str, length: int) -> bytes:
    """The head of an ordinary answer whose connection stays open."""
    return b"%bContent-Length: %d\r\n%b\r\n" % (_opening(code, content_type), length, _date_line(int(clock.seconds())))


def head(code: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Any other head; `headers` says everything but the date."""
    lines = "".join([f"{header_text(name, value)}\r\n" for name, value in headers])
    return b"%b%b%b\r\n" % (_opening(code, ""), lines.encode(), _date_line(int(clock.seconds())))


def reply_headers(request: HttpRequest, reply: Reply) -> list[tuple[str, str]]:
    """Everything that a reply's head says but its length."""
    headers = [("Content-Type", reply.content_type)]
    if "Cache-Control" not in reply.headers:
        headers.append(("Cache-Control", PLAIN_CACHE_CONTROL))
    headers += reply.headers.items()
    for text in _shortened(dict.fromkeys(request.warnings)):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        headers.append(("Warning", f'299 - "{escaped}"'))
    return headers


def _shortened(warnings: Iterable[str]) -> Iterator[str]:
    """Kubernetes' limits: 256 characters each once they are many, and 4 KB together."""
    texts = list(warnings)
    if sum(map(len, texts)) > _WARNING_CHARACTERS:
        texts = [text[:_WARNING_ITEM_CHARACTERS] for text in texts]
    room = _WARNING_CHARACTERS
    for text in texts:
        room -= len(text)
        if room < 0:
            return
        yield text

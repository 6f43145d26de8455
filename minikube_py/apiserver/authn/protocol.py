"""An authenticator turns what a connection and its headers carry into a user, or passes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from minikube_py.apiserver.request_info import UserInfo


@dataclass(frozen=True)
class Credentials:
    """peer_certificate is the verified TLS client certificate in DER form, or b''; header names in lower case.

    all_values gives every value of a header that may repeat; without it each has the one in `headers`.
    """

    headers: Mapping[str, str] = field(repr=False)
    peer_certificate: bytes = field(default=b"", repr=False)
    bearer_token: str = field(default="", repr=False)
    all_values: Callable[[str], Sequence[str]] | None = field(default=None, repr=False)

    def values(self, header: str) -> Sequence[str]:
        if self.all_values is not None:
            return self.all_values(header)
        return [self.headers[header]] if header in self.headers else []


@dataclass(frozen=True)
class Authenticated:
    user: UserInfo
    audiences: tuple[str, ...] = field(default=())


class Authenticator(Protocol):
    """None: not mine, ask the next. Raises Unauthorized when the credential is its own and bad."""

    async def authenticate(self, credentials: Credentials) -> Authenticated | None: ...

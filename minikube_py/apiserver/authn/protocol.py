"""An authenticator turns what a connection and its headers carry into a user, or passes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from minikube_py.apiserver.request_info import UserInfo


@dataclass(frozen=True)
class Credentials:
    """peer_certificate is the verified TLS client certificate in DER form, or b''; header names in lower case."""

    headers: Mapping[str, str] = field(repr=False)
    peer_certificate: bytes = field(default=b"", repr=False)
    bearer_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Authenticated:
    user: UserInfo
    audiences: tuple[str, ...] = field(default=())


class Authenticator(Protocol):
    """None: not mine, ask the next. Raises Unauthorized when the credential is its own and bad."""

    async def authenticate(self, credentials: Credentials) -> Authenticated | None: ...

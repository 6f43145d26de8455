"""Authenticates the fixed bearer tokens of a file in Kubernetes' form: token,user,uid,"group1,group2"."""

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path

from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.request_info import UserInfo


class StaticTokens:
    """Looked up by digest, so that the time of a lookup says nothing about a token's characters."""

    name = "static-token"

    def __init__(self, users: Mapping[str, UserInfo]) -> None:
        self._users = {_digest(token): user for token, user in users.items()}

    @classmethod
    def from_file(cls, path: Path) -> "StaticTokens":
        """Raises OSError, and ValueError for a line with fewer than three columns."""
        users: dict[str, UserInfo] = {}
        with path.open(newline="") as stream:
            for number, row in enumerate(csv.reader(stream), start=1):
                if not row:
                    continue
                if len(row) < 3 or not row[0]:
                    raise ValueError(f"{path}, line {number}: expected token,user,uid[,groups]")
                groups = tuple(row[3].split(",")) if len(row) > 3 and row[3] else ()
                users[row[0]] = UserInfo(row[1], uid=row[2], groups=groups)
        return cls(users)

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        if not credentials.bearer_token:
            return None
        user = self._users.get(_digest(credentials.bearer_token))
        return Authenticated(user) if user else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

"""Gets service-account tokens for pods and says when they need to be renewed: at 80 % of their life, or after a day."""

from dataclasses import dataclass
from typing import NamedTuple

from minikube_py import clock
from minikube_py.client.protocol import Client, WriteOptions
from minikube_py.kubelet.kinds import SERVICE_ACCOUNTS
from minikube_py.objects.errors import Object

_TOKEN = WriteOptions(subresource="token")
_LONGEST_SECONDS = 24 * 3600.0
_RENEW_SHARE = 0.8
DEFAULT_SECONDS = 3600


class _Key(NamedTuple):
    pod_uid: str
    account: str
    audience: str
    seconds: int


@dataclass(frozen=True)
class _Token:
    text: str
    renew_at: float


class Tokens:
    """Bound to the pod, so that a token ends with it. Kept in memory only."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tokens: dict[_Key, _Token] = {}

    async def token(self, pod: Object, audience: str, seconds: int) -> str:
        """A token that is good for a while. Raises ApiError."""
        meta = pod["metadata"]
        key = _Key(meta["uid"], pod["spec"].get("serviceAccountName") or "default", audience, seconds)
        known = self._tokens.get(key)
        now = clock.seconds()
        if known is not None and now < known.renew_at:
            return known.text
        request: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": key.account, "namespace": meta["namespace"]},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        answer = await self._client.create(
            SERVICE_ACCOUNTS, request, meta["namespace"], name=key.account, options=_TOKEN
        )
        status = answer["status"]
        life = clock.parse(status["expirationTimestamp"]).timestamp() - now
        self._tokens[key] = _Token(status["token"], now + min(life * _RENEW_SHARE, _LONGEST_SECONDS))
        return str(status["token"])

    def renew_at(self, pod_uid: str) -> float:
        """When the first token of the pod is due (epoch seconds); 0 when it has none."""
        return min((t.renew_at for key, t in self._tokens.items() if key.pod_uid == pod_uid), default=0.0)

    def forget(self, pod_uid: str) -> None:
        for key in [key for key in self._tokens if key.pod_uid == pod_uid]:
            del self._tokens[key]

"""Gets X.509 certificates for pods by PodCertificateRequests, and renews them when their signer says so.

Source: KEP-4317 (Pod Certificates), pkg/kubelet/podcertificate (what a request holds, when it is made anew).
"""

import asyncio
import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from minikube_py import clock, ids
from minikube_py.client.protocol import Client
from minikube_py.kubelet.kinds import NODES, POD_CERTIFICATE_REQUESTS, SERVICE_ACCOUNTS
from minikube_py.kubelet.references import References
from minikube_py.objects.errors import Object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

_LONGEST_JITTER_SECONDS = 300
_RSA_BITS = {"RSA3072": 3072, "RSA4096": 4096}
_CURVES = {"ECDSAP256": "SECP256R1", "ECDSAP384": "SECP384R1", "ECDSAP521": "SECP521R1"}
_ARMOUR = ("-----BEGIN ", "-----END ")


class NotIssued(Exception):
    """There is no certificate (yet); the text says why."""


class Source(NamedTuple):
    """One podCertificate entry of a projected volume."""

    pod_uid: str
    volume: str
    place: int


@dataclass(frozen=True)
class Credentials:
    """PEM texts. refresh_at: epoch seconds."""

    key: str
    chain: str
    refresh_at: float


@dataclass(frozen=True)
class Request:
    """A request under way, and the private key that belongs to it."""

    name: str
    key: str


class PodCertificates:
    """Keys are made here and kept in memory only: after a restart every pod gets new ones."""

    def __init__(self, client: Client, references: References, node_name: str) -> None:
        self._client = client
        self._references = references
        self._node_name = node_name
        self._issued: dict[Source, Credentials] = {}
        self._pending: dict[Source, Request] = {}
        self._refused: dict[Source, str] = {}

    async def credentials(self, pod: Object, place: Source, projection: Object) -> Credentials:
        """What was issued last. Raises NotIssued, and ApiError when a request can't be made."""
        fields = f"spec.nodeName={self._node_name}"
        requests = await self._references.select(place.pod_uid, POD_CERTIFICATE_REQUESTS, fields)
        self._take_answer(place, requests)
        if place in self._refused:
            raise NotIssued(self._refused[place])
        issued = self._issued.get(place)
        if place not in self._pending and (issued is None or issued.refresh_at <= clock.seconds()):
            self._pending[place] = await self._ask(pod, projection)
        if issued is None:
            raise NotIssued("credential bundle is not issued yet")
        return issued

    def refresh_at(self, pod_uid: str) -> float:
        """When the first certificate of the pod is due (epoch seconds); 0 when none is, or it has been asked for."""
        due = [c.refresh_at for p, c in self._issued.items() if p.pod_uid == pod_uid and p not in self._pending]
        return min(due, default=0.0)

    def forget(self, pod_uid: str) -> None:
        for held in (self._issued, self._pending, self._refused):
            for place in [place for place in held if place.pod_uid == pod_uid]:
                del held[place]

    def _take_answer(self, place: Source, requests: Iterable[Object]) -> None:
        pending = self._pending.get(place)
        found = next((r for r in requests if pending is not None and r["metadata"]["name"] == pending.name), None)
        if pending is None or found is None:
            return
        status = found.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition.get("status") != "True":
                continue
            kind, reason, message = condition["type"], condition.get("reason", ""), condition.get("message", "")
            if kind in ("Denied", "Failed"):
                text = f'PodCertificateRequest was permanently {kind.lower()}: reason="{reason}" message="{message}"'
                self._refused[place] = text
                del self._pending[place]
            elif kind == "Issued":
                begin = clock.parse(status["beginRefreshAt"]).timestamp() + ids.pick(_LONGEST_JITTER_SECONDS)
                self._issued[place] = Credentials(pending.key, clean_pem(status.get("certificateChain") or ""), begin)
                del self._pending[place]
            else:
                continue
            return

    async def _ask(self, pod: Object, projection: Object) -> Request:
        meta, account_name = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
        account = await self._client.get(SERVICE_ACCOUNTS, account_name, meta["namespace"])
        node = await self._client.get(NODES, self._node_name)
        key, stub = await asyncio.to_thread(make_key_and_stub, projection.get("keyType") or "")
        owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec: Object = {
            "signerName": projection["signerName"],
            "podName": meta["name"],
            "podUID": meta["uid"],
            "serviceAccountName": account_name,
            "serviceAccountUID": account["metadata"]["uid"],
            "nodeName": self._node_name,
            "nodeUID": node["metadata"]["uid"],
            "stubPKCS10Request": base64.b64encode(stub).decode(),
        }
        if projection.get("maxExpirationSeconds") is not None:
            spec["maxExpirationSeconds"] = projection["maxExpirationSeconds"]
        if projection.get("userAnnotations"):
            spec["unverifiedUserAnnotations"] = projection["userAnnotations"]
        request: Object = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "PodCertificateRequest",
            "metadata": {"generateName": "req-", "namespace": meta["namespace"], "ownerReferences": [owner]},
            "spec": spec,
        }
        created = await self._client.create(POD_CERTIFICATE_REQUESTS, request, meta["namespace"])
        return Request(created["metadata"]["name"], key)


def make_key_and_stub(key_type: str) -> tuple[str, bytes]:
    """(PEM of a new private key as PKCS #8, DER of a PKCS #10 request that names nothing and proves its possession).

    Raises ValueError for a key type that is unknown.
    """
    from cryptography import x509  # noqa: PLC0415 (loaded with the first certificate)
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 (loaded with it)

    key = _new_key(key_type)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    digest = None if key_type == "ED25519" else hashes.SHA256()
    stub = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, digest)
    return pem, stub.public_bytes(serialization.Encoding.DER)


def _new_key(key_type: str) -> "CertificateIssuerPrivateKeyTypes":
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 (loaded with it)

    if key_type in _RSA_BITS:
        return rsa.generate_private_key(65537, _RSA_BITS[key_type])
    if key_type in _CURVES:
        curve: ec.EllipticCurve = getattr(ec, _CURVES[key_type])()
        return ec.generate_private_key(curve)
    if key_type == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f'unknown key type "{key_type}"')


def pem_blocks(text: str) -> list[str]:
    """The certificates in a PEM text, each with its closing line, without what stands between them."""
    blocks, lines = [], list[str]()
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(_ARMOUR[0]):
            lines = [line]
        elif lines and line.startswith(_ARMOUR[1]):
            blocks.append("\n".join([*lines, line, ""]))
            lines = []
        elif lines and line and ":" not in line:
            lines.append(line)
    return blocks


def clean_pem(text: str) -> str:
    return "".join(pem_blocks(text))

"""Gets a node its client certificate: a key made here, a CertificateSigningRequest, and the wait for the answer.

Source: Kubernetes' TLS bootstrapping page and the signer kubernetes.io/kube-apiserver-client-kubelet.
"""

import asyncio
import base64
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from minikube_py.bootstrap.private_files import make_private_directory, write_private
from minikube_py.client.protocol import Client, Selection
from minikube_py.objects.errors import ApiError, Forbidden, Object
from minikube_py.resources.kind import GVR

SIGNING_REQUESTS = GVR("certificates.k8s.io", "v1", "certificatesigningrequests")
SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class NodeIdentity:
    """A node's files: the server's CA, its own certificate and key, all PEM."""

    directory: Path

    @property
    def ca_file(self) -> Path:
        return self.directory / "server-ca.crt"

    @property
    def certificate_file(self) -> Path:
        return self.directory / "node.crt"

    @property
    def key_file(self) -> Path:
        return self.directory / "node.key"

    def exists(self) -> bool:
        return self.ca_file.exists() and self.certificate_file.exists() and self.key_file.exists()

    def save_ca(self, ca_pem: bytes) -> None:
        make_private_directory(self.directory)
        write_private(self.ca_file, ca_pem)

    def save(self, certificate_pem: bytes, key_pem: bytes) -> None:
        make_private_directory(self.directory)
        write_private(self.key_file, key_pem)
        write_private(self.certificate_file, certificate_pem)

    def validity(self) -> tuple[datetime, datetime]:
        """notBefore and notAfter of the certificate."""
        from minikube_py.bootstrap.certificates import validity  # noqa: PLC0415 (cryptography is loaded lazily)

        return validity(self.certificate_file.read_bytes())

    def node_name(self) -> str:
        """The node that the certificate was made for."""
        from cryptography import x509  # noqa: PLC0415 (loaded lazily)

        subject = x509.load_pem_x509_certificate(self.certificate_file.read_bytes()).subject
        name = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        return str(name).removeprefix("system:node:")


async def request_certificate(client: Client, node_name: str) -> tuple[bytes, bytes]:
    """(certificate, key) as PEM. Raises Forbidden when the request is denied, TimeoutError when nobody answers."""
    key_pem, request_pem = await asyncio.to_thread(_make_request, node_name)
    created = await client.create(SIGNING_REQUESTS, _request_object(request_pem))
    async with asyncio.timeout(ANSWER_SECONDS):
        return await _answer(client, created), key_pem


def _make_request(node_name: str) -> tuple[bytes, bytes]:
    from cryptography import x509  # noqa: PLC0415 (loaded lazily)
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 (loaded lazily)

    from minikube_py.bootstrap.certificates import key_to_pem, make_key  # noqa: PLC0415 (loads cryptography)

    key = make_key()
    names = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"system:node:{node_name}"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(names).sign(key, hashes.SHA256())
    return key_to_pem(key), request.public_bytes(serialization.Encoding.PEM)


def _request_object(request_pem: bytes) -> Object:
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "node-csr-"},
        "spec": {
            "request": base64.b64encode(request_pem).decode(),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
        },
    }


async def _answer(client: Client, created: Object) -> bytes:
    metadata = created["metadata"]
    selection = Selection(field_selector=f"metadata.name={metadata['name']}")
    found = _certificate(created)
    if found:
        return found
    events = client.watch(SIGNING_REQUESTS, selection, resource_version=metadata["resourceVersion"])
    async for event in events:
        found = _certificate(event.object)
        if found:
            return found
    raise ApiError("the server ended the wait for the node's certificate", code=503)


def _certificate(request: Object) -> bytes:
    status = request.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Denied", "Failed"):
            raise Forbidden(f"the node's certificate was refused: {condition.get('message') or condition['type']}")
    return base64.b64decode(status.get("certificate") or "")

"""A machine joins: token, certificate request, approval, signature, and what the node may do with it."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from minikube_py.bootstrap.certificate_signer import CertificateSigner
from minikube_py.bootstrap.certificates import make_key
from minikube_py.bootstrap.join import create_join_token, delete_join_token, list_join_tokens
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.client.protocol import WriteOptions
from minikube_py.controllers.context import ControllerContext, ControllerOptions
from minikube_py.controllers.csr_approving import CertificateApprover
from minikube_py.controllers.csr_cleaner import CertificateRequestCleaner
from minikube_py.controllers.csr_signing import CertificateSigning
from minikube_py.controllers.token_cleaner import TokenCleaner
from minikube_py.objects.errors import Forbidden, NotFound, Object, Unauthorized
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.kind import GVR
from tests.support.identity_server import IdentityServer, identity_server
from tests.support.virtual_time import virtual_time

CSRS = GVR("certificates.k8s.io", "v1", "certificatesigningrequests")
NODES, LEASES = GVR("", "v1", "nodes"), GVR("coordination.k8s.io", "v1", "leases")
SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("join")


@asynccontextmanager
async def joining(directory: Path) -> AsyncIterator[tuple[IdentityServer, Pki]]:
    """A server with the controllers that joining needs, each under its own user."""
    pki = ensure_pki(PkiOptions(directory))
    async with identity_server(pki) as server:
        informers = InformerSet(server.user("system:kube-controller-manager"))
        options = ControllerOptions(signing=CertificateSigner(pki))
        context = ControllerContext(server.controller, informers, options, server.api.context.registry)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(informers.run())]
            for make in (CertificateApprover, CertificateSigning, CertificateRequestCleaner, TokenCleaner):
                tasks.append(group.create_task(run_controller(make(context), workers=1)))
            yield server, pki
            for task in tasks:
                task.cancel()


def signing_request(common_name: str = "system:node:n1", organization: str = "system:nodes") -> Object:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject)).sign(make_key(), hashes.SHA256())
    request = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    return {
        "metadata": {"generateName": "csr-"},
        "spec": {
            "request": request,
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
            # Not for a client to say:
            "username": "system:admin",
            "groups": ["system:masters"],
        },
    }


async def certificate_of(server: IdentityServer, name: str) -> bytes:
    while True:
        found = await server.admin.get(CSRS, name)
        if (found.get("status") or {}).get("certificate"):
            pem = base64.b64decode(found["status"]["certificate"]).decode()
            return ssl.PEM_cert_to_DER_cert(pem)
        await asyncio.sleep(0.01)


@virtual_time
async def test_a_machine_joins_with_a_token_and_becomes_its_node(directory: Path) -> None:
    async with joining(directory) as (server, pki):
        token = await create_join_token(server.admin, pki.server_ca_pem)
        machine = await server.bearer(token.bearer)
        made = await machine.create(CSRS, signing_request())
        assert made["spec"]["username"] == f"system:bootstrap:{token.token_id}"
        assert "system:masters" not in made["spec"]["groups"]
        node = await server.certificate(await certificate_of(server, made["metadata"]["name"]))
        conditions = (await server.admin.get(CSRS, made["metadata"]["name"]))["status"]["conditions"]
        assert [(c["type"], c["reason"]) for c in conditions] == [("Approved", "AutoApproved")]

        await node.create(NODES, {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}})
        lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}
        await node.create(LEASES, lease, "kube-node-lease")
        with pytest.raises(Forbidden, match='node "n1" is not allowed to modify node "n2"'):
            await node.create(NODES, {"metadata": {"name": "n2"}})
        with pytest.raises(Forbidden):
            await node.get(NODES, "n2")
        # It renews its own certificate, and nobody else's.
        renewed = await node.create(CSRS, signing_request())
        await certificate_of(server, renewed["metadata"]["name"])
        with pytest.raises(Forbidden, match="can only create a node CSR with CN=system:node:n1"):
            await node.create(CSRS, signing_request("system:node:n2"))
        # A joining machine may ask for a certificate, and for nothing else.
        with pytest.raises(Forbidden):
            await machine.list(NODES)


@virtual_time
async def test_what_is_not_a_node_is_not_approved(directory: Path) -> None:
    async with joining(directory) as (server, pki):
        token = await create_join_token(server.admin, pki.server_ca_pem)
        machine = await server.bearer(token.bearer)
        wanted = await machine.create(CSRS, signing_request("root", "system:masters"))
        await asyncio.sleep(60)
        found = await server.admin.get(CSRS, wanted["metadata"]["name"])
        assert not found.get("status")
        # An administrator's yes does not make the signer sign it either.
        approval = {"type": "Approved", "status": "True", "reason": "Me", "message": ""}
        found = {**found, "status": {"conditions": [approval]}}
        await server.admin.update(CSRS, found, options=WriteOptions(subresource="approval"))
        await asyncio.sleep(1)
        status = (await server.admin.get(CSRS, wanted["metadata"]["name"]))["status"]
        assert "certificate" not in status
        assert [(c["type"], c.get("reason")) for c in status["conditions"]] == [
            ("Approved", "Me"),
            ("Failed", "SignerValidationFailure"),
        ]
        await asyncio.sleep(3700)
        with pytest.raises(NotFound):
            await server.admin.get(CSRS, wanted["metadata"]["name"])


@virtual_time
async def test_tokens_end(directory: Path) -> None:
    async with joining(directory) as (server, pki):
        short = await create_join_token(server.admin, pki.server_ca_pem, ttl=timedelta(minutes=5), description="short")
        endless = await create_join_token(server.admin, pki.server_ca_pem, ttl=None)
        listed = {t.token_id: t for t in await list_join_tokens(server.admin)}
        assert listed[short.token_id].description == "short"
        assert listed[endless.token_id].expires == ""
        await asyncio.sleep(310)
        assert [t.token_id for t in await list_join_tokens(server.admin)] == [endless.token_id]
        with pytest.raises(Unauthorized, match="not known here"):
            await server.bearer(short.bearer)
        await server.bearer(endless.bearer)
        await delete_join_token(server.admin, str(endless))
        assert await list_join_tokens(server.admin) == []

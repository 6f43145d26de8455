import base64
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from minikube_py import clock
from minikube_py.apiserver.authn.protocol import Credentials
from minikube_py.apiserver.authn.x509 import ClientCertificates
from minikube_py.bootstrap.certificate_signer import CertificateSigner
from minikube_py.bootstrap.certificates import make_key
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.resources.certificate_requests import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    problem_of,
    read_request,
)

NODE_USAGES = ["digital signature", "client auth"]


def request(name: str = "system:node:a", organization: str = "system:nodes", names: tuple[str, ...] = ()) -> bytes:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
    return builder.sign(make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def signing_request(signer: str, usages: list[str], pem: bytes) -> dict:
    return {"spec": {"signerName": signer, "usages": usages, "request": base64.b64encode(pem).decode()}}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(PkiOptions(Path(tmp_path_factory.mktemp("signer"))))


async def test_a_signed_client_certificate_logs_in(pki: Pki) -> None:
    pem = CertificateSigner(pki).sign(request(), NODE_USAGES)
    authenticator = ClientCertificates(pki.client_ca_pem)
    answer = await authenticator.authenticate(Credentials({}, peer_certificate=ssl.PEM_cert_to_DER_cert(pem.decode())))
    assert answer is not None
    assert (answer.user.name, answer.user.groups) == ("system:node:a", ("system:nodes",))


async def test_a_serving_certificate_is_no_user(pki: Pki) -> None:
    pem = CertificateSigner(pki).sign(request(names=("n",)), ["server auth"], serving=True)
    authenticator = ClientCertificates(pki.client_ca_pem)
    credentials = Credentials({}, peer_certificate=ssl.PEM_cert_to_DER_cert(pem.decode()))
    assert await authenticator.authenticate(credentials) is None
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["n"]


@pytest.mark.parametrize(("seconds", "days"), [(0, 365), (600, 0), (10**9, 365)])
def test_lifetimes(pki: Pki, seconds: int, days: int) -> None:
    certificate = x509.load_pem_x509_certificate(CertificateSigner(pki).sign(request(), NODE_USAGES, seconds=seconds))
    left = certificate.not_valid_after_utc - clock.now()
    assert abs(left - dt.timedelta(days=days)) < dt.timedelta(minutes=11)
    whole = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert whole == (dt.timedelta(days=days) if days else dt.timedelta(seconds=seconds, minutes=5))


def test_garbage_is_a_value_error(pki: Pki) -> None:
    with pytest.raises(ValueError, match=r"nable to load|PEM|padding|framing|base64"):
        CertificateSigner(pki).sign(b"nonsense", NODE_USAGES)
    with pytest.raises(ValueError, match=r"nable to load|PEM|padding|framing|base64"):
        read_request(base64.b64encode(b"nonsense").decode())


@pytest.mark.parametrize(
    ("signer", "usages", "pem", "problem"),
    [
        (KUBELET_CLIENT, NODE_USAGES, request(), ""),
        (KUBELET_CLIENT, [*NODE_USAGES, "key encipherment"], request(), ""),
        (KUBELET_CLIENT, NODE_USAGES, request(organization="system:masters"), "organization is not system:nodes"),
        (KUBELET_CLIENT, NODE_USAGES, request("bob"), "does not begin with system:node:"),
        (KUBELET_CLIENT, NODE_USAGES, request(names=("x",)), "DNS subjectAltNames are not allowed"),
        (KUBELET_CLIENT, ["server auth"], request(), "usages did not match"),
        (KUBELET_SERVING, ["server auth", "digital signature"], request(names=("a",)), ""),
        (KUBELET_SERVING, ["server auth", "digital signature"], request(), "DNS or IP subjectAltName is required"),
        (CLIENT, ["client auth"], request("bob", "dev"), ""),
        (CLIENT, ["client auth", "server auth"], request("bob", "dev"), "usages must include client auth"),
    ],
)
def test_what_signers_sign(signer: str, usages: list[str], pem: bytes, problem: str) -> None:
    found = problem_of(signing_request(signer, usages, pem))
    assert problem in found
    assert bool(problem) == bool(found)

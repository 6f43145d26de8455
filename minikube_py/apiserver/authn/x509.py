"""Authenticates client certificates: the common name is the user, the organizations are the groups."""

import hashlib

from minikube_py import clock
from minikube_py.apiserver.authn.client_certificates import REMEMBERED, TrustedCertificates
from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Unauthorized

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


class ClientCertificates:
    """Accepts certificates that the client CA signed for client use. ca_pem may hold several CAs."""

    name = "x509"

    def __init__(self, ca_pem: bytes) -> None:
        self._certificates = TrustedCertificates(ca_pem)
        self._answers: dict[bytes, Authenticated] = {}

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        der = credentials.peer_certificate
        if not der:
            return None
        found = self._certificates.find(der)
        if found is None:
            return None
        if not found.is_valid_at(clock.seconds()):
            raise Unauthorized("x509: certificate has expired or is not yet valid")
        answer = self._answers.get(der)
        if answer is None:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
            user = UserInfo(found.common_name, groups=found.organizations, extra=extra)
            answer = self._answers[der] = Authenticated(user)
        return answer

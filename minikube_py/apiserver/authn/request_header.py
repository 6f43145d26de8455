"""Takes a front proxy's word for who asks: headers count when they come with a certificate of the proxies' own CA.

Source: Kubernetes' "Authenticating Proxy" section and apiserver pkg/authentication/request/headerrequest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from minikube_py import clock
from minikube_py.apiserver.authn.client_certificates import TrustedCertificates
from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Unauthorized


@dataclass(frozen=True)
class RequestHeaderOptions:
    """Header names in lower case; the first user or uid header with a value counts, groups are taken from all of
    theirs. allowed_names empty allows every certificate of the CA.
    """

    ca_pem: bytes = field(repr=False)
    allowed_names: Sequence[str] = ("front-proxy-client",)
    user_headers: Sequence[str] = ("x-remote-user",)
    uid_headers: Sequence[str] = ("x-remote-uid",)
    group_headers: Sequence[str] = ("x-remote-group",)
    extra_prefixes: Sequence[str] = ("x-remote-extra-",)


class RequestHeaders:
    name = "request-header"

    def __init__(self, options: RequestHeaderOptions) -> None:
        self._options = options
        self._certificates = TrustedCertificates(options.ca_pem)

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        options, headers = self._options, credentials.headers
        if not credentials.peer_certificate:
            return None
        name = next((headers[h] for h in options.user_headers if headers.get(h)), "")
        if not name:
            return None
        proxy = self._certificates.find(credentials.peer_certificate)
        if proxy is None:
            return None
        if not proxy.is_valid_at(clock.seconds()):
            raise Unauthorized("x509: the front proxy's certificate has expired or is not yet valid")
        if options.allowed_names and proxy.common_name not in options.allowed_names:
            raise Unauthorized(f"x509: subject with cn={proxy.common_name} is not in the allowed list")
        groups = (g for header in options.group_headers for g in credentials.values(header) if g)
        extra: dict[str, tuple[str, ...]] = {}
        for key, values in self._extra(credentials):
            extra[key] = (*extra.get(key, ()), *values)
        uid = next((headers[h] for h in options.uid_headers if headers.get(h)), "")
        return Authenticated(UserInfo(name, uid=uid, groups=tuple(groups), extra=extra))

    def _extra(self, credentials: Credentials) -> Iterator[tuple[str, Sequence[str]]]:
        for prefix in self._options.extra_prefixes:
            for header in credentials.headers:
                if header.startswith(prefix):
                    yield unquote(header.removeprefix(prefix)), credentials.values(header)

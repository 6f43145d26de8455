"""What an APIService says: where another server's group version is found, and how that server is recognised."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from minikube_py.apiserver.outbound import Target
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR

API_SERVICES = GVR("apiregistration.k8s.io", "v1", "apiservices")


@dataclass(frozen=True)
class FrontProxy:
    """The client certificate by which aggregated servers recognise this one."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class AggregatedApi:
    """A group version that a Service of the cluster serves."""

    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca_pem: str
    is_insecure: bool
    group_priority: int

    @property
    def server_name(self) -> str:
        """The name that its certificate must have."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}"

    def target(self, front_proxy: FrontProxy | None) -> Target:
        """Where a connection to it goes, and what makes it trusted."""
        identity = (front_proxy.certificate, front_proxy.key) if front_proxy is not None else None
        return Target(
            namespace=self.namespace, service=self.service, port=self.port, ca_pem=self.ca_pem.encode(),
            identity=identity, is_insecure=self.is_insecure,
        )  # fmt: skip


def aggregated_api(obj: Object) -> AggregatedApi | None:
    """None for an APIService of this server itself."""
    spec = obj.get("spec") or {}
    service = spec.get("service")
    if service is None:
        return None
    try:
        bundle = base64.b64decode(spec.get("caBundle") or "").decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        bundle = ""
    return AggregatedApi(
        name=obj["metadata"]["name"],
        group=spec.get("group", ""),
        version=spec.get("version", ""),
        namespace=service.get("namespace", ""),
        service=service.get("name", ""),
        port=int(service.get("port") or 443),
        ca_pem=bundle,
        is_insecure=bool(spec.get("insecureSkipTLSVerify")),
        group_priority=int(spec.get("groupPriorityMinimum") or 0),
    )

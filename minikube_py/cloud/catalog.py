"""The cloud providers by name."""

from collections.abc import Callable

from minikube_py.cloud.local import local_provider
from minikube_py.cloud.protocol import CloudProvider

PROVIDERS: dict[str, Callable[..., CloudProvider]] = {
    "local": local_provider,
}

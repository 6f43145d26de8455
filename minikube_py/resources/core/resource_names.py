"""Knows the names of compute resources: native, extended, huge pages, quota names, and what each allows.

Source: kubernetes pkg/apis/core/helper/helpers.go.
"""

from minikube_py.objects import meta

STANDARD_CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
OBJECT_COUNTS = frozenset(
    (
        "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
STANDARD_QUOTA = OBJECT_COUNTS | frozenset(
    (
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
        "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
    )
)  # fmt: skip
STANDARD = STANDARD_QUOTA | {"storage"}
HUGEPAGES = "hugepages-"


def is_hugepage(name: str) -> bool:
    return name.startswith(HUGEPAGES)


def is_quota_hugepage(name: str) -> bool:
    return is_hugepage(name) or name.startswith("requests.hugepages-")


def is_native(name: str) -> bool:
    """Names without a domain, and those in kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    if is_native(name) or name.startswith("requests."):
        return False
    return not meta.qualified_name(f"requests.{name}")


def is_attachable_volume(name: str) -> bool:
    return name.startswith("attachable-volumes-")


def is_overcommit_allowed(name: str) -> bool:
    return is_native(name) and not is_hugepage(name)


def is_standard_container(name: str) -> bool:
    return name in STANDARD_CONTAINER or is_hugepage(name)


def is_standard_limit_range(name: str) -> bool:
    return name in STANDARD or is_hugepage(name)


def is_integer(name: str) -> bool:
    """Whether only whole amounts make sense."""
    return name in OBJECT_COUNTS or is_extended(name) or (not is_native(name) and "/" in name)

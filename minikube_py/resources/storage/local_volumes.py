"""Names the volumes that mkube makes on a node: their driver, and the directory that belongs to a claim."""

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import name, namespace, uid

LOCAL_DRIVER = "local.mkube.io"
"""The provisioner of the storage class `standard`, and the driver of its volumes."""


def volume_handle(claim: Object) -> str:
    """`<namespace>_<claim>_<first part of its uid>`: a directory's name that a person can find again."""
    return f"{namespace(claim)}_{name(claim)}_{uid(claim)[:8]}"

"""Converts a custom object between the versions of its definition."""

from minikube_py.objects.errors import InternalError, Object
from minikube_py.resources.kind import GVK


def convert(obj: Object, to: GVK, strategy: str) -> None:
    """Rewrites the apiVersion, in place: all that the strategy None does. Raises InternalError where a webhook has to
    convert: that takes a call, which apiserver/conversion_webhooks.py makes before the object is needed."""
    if strategy == "Webhook" and obj.get("apiVersion") not in (None, to.api_version):
        came = f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"
        raise InternalError(f"conversion webhook for {came} failed: it was not asked in time")
    obj["apiVersion"], obj["kind"] = to.api_version, to.kind

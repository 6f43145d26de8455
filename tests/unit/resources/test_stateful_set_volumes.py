"""StatefulSets: containers mount the claims that the set asks for, and nothing that nobody gives them."""

import pytest

from minikube_py.objects.errors import Object
from minikube_py.resources.apps.statefulset import RULES
from minikube_py.resources.fields import FieldErrors


def stateful_set(mounts: str) -> Object:
    container = {"name": "c", "image": "x", "volumeMounts": [{"name": mounts, "mountPath": "/data"}]}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made: Object = {
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }
    RULES.default(made)
    return made


@pytest.mark.parametrize(("mounts", "complaints"), [("data", []), ("other", ['Not found: "other"'])])
def test_claims_can_be_mounted(mounts: str, complaints: list[str]) -> None:
    errors = FieldErrors()
    RULES.validate(stateful_set(mounts), errors)
    assert [cause.message for cause in errors.causes] == complaints

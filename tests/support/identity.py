"""An authorizer that holds the default policy, for tests of who may do what."""

from minikube_py.apiserver.authz.catalog import Authorization, build_authorization
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.bootstrap.rbac_policy import default_policy
from minikube_py.objects.errors import Object
from tests.support.object_reader import DictReader

RBAC = "rbac.authorization.k8s.io"


def default_authorization(reader: DictReader) -> Authorization:
    authorization = build_authorization(reader)
    for wanted in default_policy():
        authorization.rbac.observe(wanted.gvr.resource, wanted.obj)
    return authorization


def user(name: str, *groups: str) -> UserInfo:
    return UserInfo(name, groups=(*groups, "system:authenticated"))


def request(verb: str, path: str, namespace: str = "", name: str = "", field_selector: str = "") -> RequestInfo:
    """`path` is `resource[.group][/subresource]`, or a URL path when it starts with a slash."""
    if path.startswith("/"):
        return RequestInfo(path=path, verb=verb)
    plural, _, subresource = path.partition("/")
    resource, _, group = plural.partition(".")
    return RequestInfo(
        path="",
        verb=verb,
        is_resource=True,
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
        field_selector=field_selector,
    )


def binding(kind: str, name: str, role: tuple[str, str], subject: Object, namespace: str = "") -> Object:
    """role is (kind, name)."""
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    reference = {"apiGroup": RBAC, "kind": role[0], "name": role[1]}
    return {"kind": kind, "metadata": metadata, "roleRef": reference, "subjects": [subject]}

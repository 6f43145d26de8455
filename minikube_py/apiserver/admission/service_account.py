"""Every pod runs as a service account that exists, and gets its token, the cluster's CA and its namespace as files.

Source: the "Configure Service Accounts for Pods" page, KEP-1205; texts as in plugin/pkg/admission/serviceaccount.
"""

import asyncio

from minikube_py import ids
from minikube_py.apiserver.admission.context import SERVICE_ACCOUNTS, Plugin, is_about, refuse
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object
from minikube_py.resources.pod_facts import is_mirror, secret_names

DEFAULT_ACCOUNT = "default"
TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
ENFORCE_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"
# A namespace's default account is made a moment after the namespace: pods created in between wait for it.
_ATTEMPTS, _PAUSE_SECONDS = 10, 0.1


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    resources = frozenset((("", "pods"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "pods"):
            return
        pod = request.obj
        # A mirror pod must stay what the node has; what it may not refer to is checked in validate.
        if is_mirror(pod):
            return
        spec = pod.setdefault("spec", {})
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec["serviceAccount"] = DEFAULT_ACCOUNT
        account = await self._account(request, spec["serviceAccountName"])
        if _wants_token(account, spec):
            _mount_token(spec)
        if not spec.get("imagePullSecrets"):
            secrets = [{"name": s.get("name", "")} for s in account.get("imagePullSecrets") or []]
            if secrets:
                spec["imagePullSecrets"] = secrets

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or not is_about(request, "", "pods", "", "ephemeralcontainers"):
            return
        if request.operation == "UPDATE" and not request.subresource:
            return
        if is_mirror(request.obj):
            self._check_mirror(request, request.obj)
            return
        name = request.obj["spec"].get("serviceAccountName")
        if not name:
            pod = request.obj["metadata"].get("name", "")
            raise refuse(request, f"no service account specified for pod {request.namespace}/{pod}")
        account = await self._account(request, name)
        if (account["metadata"].get("annotations") or {}).get(ENFORCE_ANNOTATION, "").lower() in ("true", "1", "t"):
            problem = _unlisted_secret(account, request.obj["spec"])
            if problem:
                raise refuse(request, problem)

    async def _account(self, request: AdmissionRequest, name: str) -> Object:
        for attempt in range(_ATTEMPTS if name == DEFAULT_ACCOUNT else 1):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS)
            account = self.reader.get(SERVICE_ACCOUNTS, name, request.namespace)
            if account is not None:
                return account
        where = f"{request.namespace}/{name}"
        raise refuse(request, f'error looking up service account {where}: serviceaccount "{name}" not found')

    def _check_mirror(self, request: AdmissionRequest, pod: Object) -> None:
        spec = pod["spec"]
        if spec.get("serviceAccountName"):
            raise refuse(request, "a mirror pod may not reference service accounts")
        if any(True for _ in secret_names(pod)):
            raise refuse(request, "a mirror pod may not reference secrets")
        for volume in spec.get("volumes") or []:
            for source in (volume.get("projected") or {}).get("sources") or []:
                if source.get("serviceAccountToken") is not None:
                    raise refuse(request, "a mirror pod may not use ServiceAccountToken volume projections")


def _wants_token(account: Object, spec: Object) -> bool:
    """The pod's own choice counts first, then the account's; otherwise yes."""
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def _mount_token(spec: Object) -> None:
    volumes = spec.get("volumes") or []
    name = next((v["name"] for v in volumes if str(v.get("name", "")).startswith(VOLUME_PREFIX)), "")
    is_new = not name
    name = name or VOLUME_PREFIX + ids.name_suffix()
    is_mounted = False
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or []:
            mounts = container.get("volumeMounts") or []
            if any(m.get("mountPath") == TOKEN_MOUNT for m in mounts):
                continue
            mount = {"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT}
            container["volumeMounts"] = [*mounts, mount]
            is_mounted = True
    if is_new and is_mounted:
        spec["volumes"] = [*volumes, {"name": name, "projected": token_volume()}]


def token_volume() -> Object:
    """The projected volume source with token, CA certificate and namespace."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }


def _unlisted_secret(account: Object, spec: Object) -> str:
    """What a pod names that its account does not list, where the account insists on that."""
    owner = account["metadata"]["name"]
    listed = {s.get("name") for s in account.get("secrets") or []}
    tail = f"is not allowed because service account {owner} does not reference that secret"
    for volume in spec.get("volumes") or []:
        name = (volume.get("secret") or {}).get("secretName")
        if name and name not in listed:
            return f'volume with secret.secretName="{name}" {tail}'
    for key, label in (("initContainers", "init container"), ("containers", "container")):
        for container in spec.get(key) or []:
            for variable in container.get("env") or []:
                name = ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
                if name and name not in listed:
                    where = f"{label} {container['name']} with envVar {variable['name']}"
                    return f'{where} referencing secret.secretName="{name}" {tail}'
    pull = {s.get("name") for s in account.get("imagePullSecrets") or []}
    for index, secret in enumerate(spec.get("imagePullSecrets") or []):
        if secret.get("name") not in pull:
            head = f'imagePullSecrets[{index}].name="{secret.get("name")}" is not allowed because service account'
            return f"{head} {owner} does not reference that imagePullSecret"
    return ""

"""Makes pods' ResourceClaims from their templates, and frees claims that no pod uses any longer.

Source: pkg/controller/resourceclaim. Which devices a claim gets is the scheduler's business (KEP-4381).
"""

from collections.abc import Iterable, Sequence

from minikube_py.client.protocol import DeleteOptions, PatchType, WriteOptions
from minikube_py.controllers.context import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS, ControllerContext
from minikube_py.controllers.workloads.pods import BY_CONTROLLER, controller_index, is_finished
from minikube_py.controllers.workloads.writing import write_object, write_status
from minikube_py.objects.errors import ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import (
    annotations,
    controller_of,
    deep_copy,
    finalizers,
    is_controlled_by,
    is_deleting,
    name,
    namespace,
    owner_reference,
    uid,
)
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.recorder import WARNING, EventRecorder
from minikube_py.resources.kind import GVK

_POD = GVK("", "v1", "Pod")
FINALIZER = "resource.kubernetes.io/delete-protection"
POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name"
BY_CLAIM, BY_TEMPLATE = "resource-claim", "resource-claim-template"
_LONGEST_PREFIX = 57
_STATUS = WriteOptions(subresource="status")
# Two kinds of keys share the queue.
_POD_KEY, _CLAIM_KEY = "pod/", "claim/"


def _made_names(pod: Object) -> dict[str, str]:
    """The claims made for the pod, by their name in the pod; '' for one that needs none."""
    noted = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return {one["name"]: one.get("resourceClaimName") or "" for one in noted}


def _claim_names(pod: Object) -> list[str]:
    """The names of the pod's ResourceClaims, as far as they exist."""
    made = _made_names(pod)
    entries = pod["spec"].get("resourceClaims") or ()
    return [found for one in entries if (found := one.get("resourceClaimName") or made.get(one["name"]))]


def _by_claim(pod: Object) -> Iterable[str]:
    return (f"{namespace(pod)}/{claim}" for claim in _claim_names(pod))


def _by_template(pod: Object) -> Iterable[str]:
    entries = pod["spec"].get("resourceClaims") or ()
    return (f"{namespace(pod)}/{t}" for one in entries if (t := one.get("resourceClaimTemplateName")))


def _is_done(pod: Object) -> bool:
    """Whether no container of the pod runs or ever will."""
    return is_finished(pod) or (is_deleting(pod) and not pod["spec"].get("nodeName"))


class ResourceClaimController:
    name = "resourceclaim"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("resource-claim-controller")
        informers = context.informers
        self._pods = informers.informer(PODS, indexers={BY_CLAIM: _by_claim, BY_TEMPLATE: _by_template})
        self._claims = informers.informer(RESOURCE_CLAIMS, indexers={BY_CONTROLLER: controller_index})
        self._templates = informers.informer(RESOURCE_CLAIM_TEMPLATES)
        self._recorder = EventRecorder(self._client, "resource_claim")

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._pods, self._pod_changed),
            Source(self._claims, self._claim_changed),
            Source(self._templates, self._template_changed),
        )

    def _pod_changed(self, event: InformerEvent) -> Iterable[Key]:
        pod = event.object
        if not pod["spec"].get("resourceClaims"):
            return
        if event.type != DELETED and not is_deleting(pod):
            yield Key(namespace(pod), _POD_KEY + name(pod))
        if event.type == DELETED or _is_done(pod):
            owned = self._claims.cache.by_index(BY_CONTROLLER, uid(pod))
            for claim in {*_claim_names(pod), *(name(one) for one in owned)}:
                yield Key(namespace(pod), _CLAIM_KEY + claim)

    def _claim_changed(self, event: InformerEvent) -> Iterable[Key]:
        claim = event.object
        if event.type != DELETED:
            yield Key(namespace(claim), _CLAIM_KEY + name(claim))
            return
        for pod in self._pods.cache.by_index(BY_CLAIM, f"{namespace(claim)}/{name(claim)}"):
            yield Key(namespace(pod), _POD_KEY + name(pod))

    def _template_changed(self, event: InformerEvent) -> Iterable[Key]:
        template = event.object
        for pod in self._pods.cache.by_index(BY_TEMPLATE, f"{namespace(template)}/{name(template)}"):
            yield Key(namespace(pod), _POD_KEY + name(pod))

    async def reconcile(self, key: Key) -> float | None:
        if key.name.startswith(_CLAIM_KEY):
            claim = self._claims.cache.get(key.namespace, key.name.removeprefix(_CLAIM_KEY))
            if claim is not None:
                await self._follow_use(claim)
            return None
        pod = self._pods.cache.get(key.namespace, key.name.removeprefix(_POD_KEY))
        if pod is not None and not is_deleting(pod) and not is_finished(pod):
            await self._ensure_claims(pod)
        return None

    # --- a pod's claims -----------------------------------------------------------------------------------------------

    async def _ensure_claims(self, pod: Object) -> None:
        made: list[Object] = []
        for entry in pod["spec"].get("resourceClaims") or ():
            try:
                claim = await self._ensure(pod, entry)
            except ApiError as error:
                if is_namespace_terminating(error):
                    return
                text = f"PodResourceClaim {entry['name']}: {error}"
                self._recorder.event(pod, WARNING, "FailedResourceClaimCreation", text)
                raise
            if claim is not None:
                made.append({"name": entry["name"], "resourceClaimName": name(claim)})
        if made:
            patch = {"metadata": {"uid": uid(pod)}, "status": {"resourceClaimStatuses": made}}
            pod = await self._client.patch(
                PODS, name(pod), patch, namespace(pod), patch_type=PatchType.STRATEGIC, options=_STATUS
            )
            self._pods.assume(pod)
        if pod["spec"].get("nodeName"):
            await self._reserve_claims(pod)

    async def _ensure(self, pod: Object, entry: Object) -> Object | None:
        """The claim to note in the pod's status, None when it is noted already or none is to be made."""
        template_name = entry.get("resourceClaimTemplateName")
        noted = _made_names(pod).get(entry["name"])
        if not template_name or noted == "":
            return None
        if noted is not None:
            existing = self._claims.cache.get(namespace(pod), noted)
            if existing is not None and is_controlled_by(existing, pod):
                return None
        for claim in self._claims.cache.by_index(BY_CONTROLLER, uid(pod)):
            # Made before, without getting as far as the pod's status.
            if annotations(claim).get(POD_CLAIM_NAME) == entry["name"] and not is_deleting(claim):
                return claim
        template = self._templates.cache.get(namespace(pod), template_name)
        if template is None:
            raise NotFound(f'resource claim template "{template_name}" not found')
        claim = await self._client.create(RESOURCE_CLAIMS, _claim(pod, entry["name"], template), namespace(pod))
        self._claims.assume(claim)
        return claim

    async def _reserve_claims(self, pod: Object) -> None:
        """A pod that got its node without the scheduler's help has nobody else to reserve its allocated claims."""
        for claim_name in _claim_names(pod):
            claim = self._claims.cache.get(namespace(pod), claim_name)
            status = (claim.get("status") or {}) if claim is not None else {}
            users = status.get("reservedFor") or []
            if claim is None or not status.get("allocation") or any(one["uid"] == uid(pod) for one in users):
                continue
            user = {"resource": "pods", "name": name(pod), "uid": uid(pod)}
            await write_status(self._client, self._claims, claim, {**deep_copy(status), "reservedFor": [*users, user]})

    # --- a claim's use ------------------------------------------------------------------------------------------------

    async def _follow_use(self, claim: Object) -> None:
        status = claim.get("status") or {}
        users = status.get("reservedFor") or []
        left = [one for one in users if await self._is_in_use(claim, one)]
        if left != users:
            changed = {field: value for field, value in deep_copy(status).items() if field != "reservedFor"}
            if left:
                changed["reservedFor"] = left
            elif FINALIZER in finalizers(claim):
                changed.pop("allocation", None)
            claim = await write_status(self._client, self._claims, claim, changed)
        elif is_deleting(claim) and not left and status.get("allocation"):
            kept = {field: value for field, value in deep_copy(status).items() if field != "allocation"}
            claim = await write_status(self._client, self._claims, claim, kept)
        is_free = not left and not (claim.get("status") or {}).get("allocation")
        if is_free and FINALIZER in finalizers(claim) and (left != users or is_deleting(claim)):
            changed = deep_copy(claim)
            changed["metadata"]["finalizers"] = [one for one in finalizers(claim) if one != FINALIZER]
            claim = await write_object(self._client, self._claims, changed)
        if not left and not is_deleting(claim):
            await self._delete_if_useless(claim)

    async def _is_in_use(self, claim: Object, user: Object) -> bool:
        if user.get("apiGroup") or user["resource"] != "pods":
            return True
        pod = self._pods.cache.get(namespace(claim), user["name"])
        if pod is None:
            try:
                pod = await self._client.get(PODS, user["name"], namespace(claim))
            except NotFound:
                return False
        return uid(pod) == user["uid"] and not _is_done(pod)

    async def _delete_if_useless(self, claim: Object) -> None:
        """A claim made for a pod that has ended; the garbage collector sees to those of pods that are gone."""
        owner = controller_of(claim)
        if owner is None or owner["kind"] != "Pod":
            return
        pod = self._pods.cache.get(namespace(claim), owner["name"])
        if pod is None or (uid(pod) == owner["uid"] and not _is_done(pod)):
            return
        try:
            options = DeleteOptions(uid=uid(claim))
            await self._client.delete(RESOURCE_CLAIMS, name(claim), namespace(claim), options=options)
        except NotFound:
            return
        self._claims.assume_deleting(claim)


def _claim(pod: Object, entry_name: str, template: Object) -> Object:
    metadata = template["spec"].get("metadata") or {}
    made: Object = {
        "generateName": _prefix(name(pod), entry_name),
        "namespace": namespace(pod),
        "annotations": {**(metadata.get("annotations") or {}), POD_CLAIM_NAME: entry_name},
        "ownerReferences": [owner_reference(pod, _POD)],
    }
    if metadata.get("labels"):
        made["labels"] = dict(metadata["labels"])
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": made,
        "spec": deep_copy(template["spec"]["spec"]),
    }


def _prefix(pod_name: str, entry_name: str) -> str:
    """`<pod>-<claim>-`, both shortened in proportion when they are too long together."""
    whole = f"{pod_name}-{entry_name}-"
    if len(whole) <= _LONGEST_PREFIX:
        return whole
    first = pod_name[: len(pod_name) * _LONGEST_PREFIX // len(whole)]
    return f"{first}-{entry_name[: len(entry_name) * _LONGEST_PREFIX // len(whole)]}-"

"""Creates the claims of a StatefulSet's pods and keeps their owners as the retention policy says."""

from minikube_py.client.protocol import Client
from minikube_py.controllers.context import PERSISTENT_VOLUME_CLAIMS
from minikube_py.controllers.stateful.identity import claim_owners, claims, ordinal, retention
from minikube_py.controllers.workloads.writing import write_object
from minikube_py.objects.errors import AlreadyExists, ApiError, Conflict, Object
from minikube_py.objects.meta import deep_copy, is_deleting, name, namespace, owner_references
from minikube_py.reconciling.informer import Informer
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder


class ClaimControl:
    def __init__(self, client: Client, claim_informer: Informer, recorder: EventRecorder) -> None:
        self._client = client
        self._claims = claim_informer
        self._recorder = recorder

    async def ensure(self, owner: Object, number: int, pod_name: str) -> None:
        """Create what is missing. Raises Conflict while an old claim of the name is being deleted."""
        for claim in claims(owner, number).values():
            existing = self._claims.cache.get(namespace(claim), name(claim))
            if existing is None:
                await self._create(owner, claim, pod_name)
            elif is_deleting(existing):
                raise Conflict(f"pvc {name(claim)} is being deleted")

    async def _create(self, owner: Object, claim: Object, pod_name: str) -> None:
        what = f"Claim {name(claim)} Pod {pod_name} in StatefulSet {name(owner)}"
        try:
            made = await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim, namespace(owner))
        except AlreadyExists:
            return
        except ApiError as error:
            text = f"create {what} failed error: {error}"
            self._recorder.event(owner, WARNING, "FailedCreate", text)
            raise
        self._claims.assume(made)
        self._recorder.event(owner, NORMAL, "SuccessfulCreate", f"create {what} success")

    async def follow_policy(self, owner: Object, pod: Object) -> None:
        """Owner references of the pod's claims."""
        if not owner["spec"].get("volumeClaimTemplates"):
            return
        is_plain = retention(owner) == ("Retain", "Retain")
        for claim in claims(owner, ordinal(pod)).values():
            existing = self._claims.cache.get(namespace(claim), name(claim))
            if existing is None or (is_plain and not owner_references(existing)):
                continue
            wanted = claim_owners(owner, pod, owner_references(existing))
            if wanted is None:
                continue
            changed = deep_copy(existing)
            changed["metadata"]["ownerReferences"] = wanted
            await write_object(self._client, self._claims, changed)

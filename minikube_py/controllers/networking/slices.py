"""Packs endpoints into EndpointSlices with as few changes to the existing slices as possible; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minikube_py.controllers.networking.pod_endpoints import port_key
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy, is_deleting

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
ENDPOINTS_PER_SLICE = 100


@dataclass
class PortGroup:
    """Endpoints of one address family that share their ports."""

    address_type: str
    ports: list[Object]
    endpoints: list[Object] = field(default_factory=list)


@dataclass
class SliceChanges:
    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


@dataclass(frozen=True)
class SliceModel:
    """What every slice of one owner has in common."""

    namespace: str
    generate_name: str
    labels: dict[str, str]
    owner: Object
    annotations: dict[str, str] = field(default_factory=dict)
    capacity: int = ENDPOINTS_PER_SLICE

    def make(self, address_type: str, ports: list[Object], endpoints: list[Object]) -> Object:
        metadata: Object = {
            "generateName": self.generate_name,
            "namespace": self.namespace,
            "labels": dict(self.labels),
            "ownerReferences": [self.owner],
        }
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": address_type,
            "endpoints": endpoints,
            "ports": ports,
        }


def plan_slices(model: SliceModel, groups: Sequence[PortGroup], existing: Sequence[Object]) -> SliceChanges:
    """How to get from the existing slices to these groups."""
    changes = SliceChanges()
    by_group: dict[Any, list[Object]] = {}
    for slice_ in existing:
        if not is_deleting(slice_):
            by_group.setdefault((slice_["addressType"], port_key(slice_.get("ports") or ())), []).append(slice_)
    for group in groups:
        mine = by_group.pop((group.address_type, port_key(group.ports)), [])
        _plan_group(model, group, mine, changes)
    changes.delete.extend(slice_ for slices in by_group.values() for slice_ in slices)
    return changes


def _plan_group(model: SliceModel, group: PortGroup, existing: list[Object], changes: SliceChanges) -> None:
    wanted = {_identity(endpoint): endpoint for endpoint in group.endpoints}
    contents: list[tuple[Object, list[Object], bool]] = []
    for slice_ in existing:
        kept, changed = [], False
        for endpoint in slice_.get("endpoints") or ():
            new = wanted.pop(_identity(endpoint), None)
            if new is not None:
                kept.append(new)
            changed = changed or new != endpoint
        contents.append((slice_, kept, changed))
    left = list(wanted.values())
    # Slices that are written anyway, and then the fullest, take the newcomers: fewest writes.
    filled = []
    for slice_, kept, changed in sorted(contents, key=lambda c: (not c[2], -len(c[1]))):
        room = model.capacity - len(kept)
        if left and room > 0 and (changed or len(left) <= room):
            kept, left, changed = kept + left[:room], left[room:], True
        filled.append((slice_, kept, changed))
    survivors = [entry for entry in filled if entry[1]]
    if not survivors and not left and filled:
        survivors = filled[:1]  # an empty slice stays as a placeholder
    kept_ids = {id(entry[0]) for entry in survivors}
    changes.delete.extend(slice_ for slice_, _, _ in filled if id(slice_) not in kept_ids)
    for slice_, kept, changed in survivors:
        _update(model, group, slice_, kept if changed else None, changes)
    for start in range(0, len(left), model.capacity):
        part = left[start : start + model.capacity]
        changes.create.append(model.make(group.address_type, group.ports, part))
    if not survivors and not left:
        changes.create.append(model.make(group.address_type, group.ports, []))


def _update(
    model: SliceModel, group: PortGroup, slice_: Object, endpoints: list[Object] | None, changes: SliceChanges
) -> None:
    metadata = slice_["metadata"]
    same_labels = (metadata.get("labels") or {}) == model.labels
    same_annotations = model.annotations.items() <= (metadata.get("annotations") or {}).items()
    if endpoints is None and same_labels and same_annotations:
        return
    changed = deep_copy(slice_)
    changed["metadata"]["labels"] = dict(model.labels)
    if model.annotations:
        changed["metadata"].setdefault("annotations", {}).update(model.annotations)
    if endpoints is not None:
        changed["endpoints"] = endpoints
    changed["ports"] = group.ports
    changes.update.append(changed)


def _identity(endpoint: Object) -> Any:
    target = endpoint.get("targetRef") or {}
    return target.get("uid"), tuple(endpoint["addresses"]), endpoint.get("hostname", "")

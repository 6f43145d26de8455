"""NetworkPolicies: defaults, checks of ports and peers, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import format_label_selector
from minikube_py.resources import object_warnings
from minikube_py.resources.core.container_rules import PROTOCOLS
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text
from minikube_py.resources.value_rules import (
    parse_cidr,
    validate_canonical_cidr,
    validate_label_selector,
    validate_port,
    validate_port_number_or_name,
)

SPEC = Path("spec")


def default(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    for key in ("ingress", "egress"):
        for rule in spec.get(key) or ():
            for port in rule.get("ports") or ():
                port["protocol"] = port.get("protocol") or "TCP"
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def validate(policy: Object, errors: FieldErrors) -> None:
    spec = policy.get("spec") or {}
    validate_label_selector(spec.get("podSelector") or {}, SPEC.child("podSelector"), errors)
    for key, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(key) or ()):
            at = SPEC.child(key).index(index)
            for i, port in enumerate(rule.get("ports") or ()):
                _validate_port(port, at.child("ports").index(i), errors)
            for i, peer in enumerate(rule.get(peers) or ()):
                _validate_peer(peer, at.child(peers).index(i), errors)
    types, at = spec.get("policyTypes") or [], SPEC.child("policyTypes")
    if len(types) > 2:
        errors.invalid(at, types, "may not specify more than two policyTypes")
        return
    for index, type_ in enumerate(types):
        errors.optional_enum(at.index(index), type_, ("Egress", "Ingress"))


def _validate_port(port: Object, path: Path, errors: FieldErrors) -> None:
    errors.optional_enum(path.child("protocol"), port.get("protocol"), PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            errors.required(path.child("port"), "must be specified when `endPort` is specified")
        return
    validate_port_number_or_name(number, path.child("port"), errors)
    if end is None:
        return
    if isinstance(number, str):
        errors.invalid(path.child("endPort"), end, "may not be specified when `port` is non-numeric")
        return
    if end < number:
        errors.invalid(path.child("endPort"), end, "must be greater than or equal to `port`")
    validate_port(end, path.child("endPort"), errors)


def _validate_peer(peer: Object, path: Path, errors: FieldErrors) -> None:
    selectors = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in selectors:
        validate_label_selector(peer[key], path.child(key), errors)
    block = peer.get("ipBlock")
    if block is not None:
        _validate_block(block, path.child("ipBlock"), errors)
        if selectors:
            errors.forbidden(path, "may not specify both ipBlock and another peer")
    elif not selectors:
        errors.required(path, "must specify a peer")


def _validate_block(block: Object, path: Path, errors: FieldErrors) -> None:
    cidr = block.get("cidr", "")
    if not cidr:
        errors.required(path.child("cidr"))
        return
    validate_canonical_cidr(cidr, path.child("cidr"), errors)
    outer = parse_cidr(cidr)
    for index, text_ in enumerate(block.get("except") or ()):
        at = path.child("except").index(index)
        validate_canonical_cidr(text_, at, errors)
        inner = parse_cidr(text_)
        if inner is None or outer is None:
            continue
        is_inside = inner.version == outer.version and inner.network_address in outer
        if not is_inside or inner.prefixlen <= outer.prefixlen:
            errors.invalid(at, text_, "must be a strict subset of `cidr`")


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def row(policy: Object) -> list[Any]:
    selector = (policy.get("spec") or {}).get("podSelector")
    return [meta.name(policy), format_label_selector(selector), age(policy)]


RULES = KindRules(
    warnings=object_warnings.of_network_policy,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, text("Pod-Selector", "The pods to which this policy applies."), AGE),
    row=row,
    has_generation=True,
)

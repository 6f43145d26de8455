#!/usr/bin/env python3
"""Builds minikube_py/resources/schema/*.json from the pinned kubernetes-validate and lightkube-models packages.

    scripts/build_schema.py            write the data files
    scripts/build_schema.py --check    fail when the committed files differ from what would be written

Definitions (types, list and patch rules) come from kubernetes-validate; plurals, scope, verbs and subresources from
lightkube-models. What neither says is written down here, in the tables below. Sources of those: the API reference,
and `kubectl api-resources` of a stock v1.37 cluster.
"""

import ast
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

KUBERNETES = "v1.37.0"
TARGET = Path(__file__).resolve().parent.parent / "minikube_py" / "resources" / "schema"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"

SHORT_NAMES = {
    "certificatesigningrequests": ["csr"],
    "componentstatuses": ["cs"],
    "configmaps": ["cm"],
    "cronjobs": ["cj"],
    "customresourcedefinitions": ["crd", "crds"],
    "daemonsets": ["ds"],
    "deployments": ["deploy"],
    "endpoints": ["ep"],
    "events": ["ev"],
    "horizontalpodautoscalers": ["hpa"],
    "ingresses": ["ing"],
    "ipaddresses": ["ip"],
    "limitranges": ["limits"],
    "namespaces": ["ns"],
    "networkpolicies": ["netpol"],
    "nodes": ["no"],
    "persistentvolumeclaims": ["pvc"],
    "persistentvolumes": ["pv"],
    "poddisruptionbudgets": ["pdb"],
    "pods": ["po"],
    "priorityclasses": ["pc"],
    "replicasets": ["rs"],
    "replicationcontrollers": ["rc"],
    "resourcequotas": ["quota"],
    "serviceaccounts": ["sa"],
    "services": ["svc"],
    "statefulsets": ["sts"],
    "storageclasses": ["sc"],
    "volumeattributesclasses": ["vac"],
}
ALL = (
    "pods", "replicationcontrollers", "services", "daemonsets", "deployments", "replicasets", "statefulsets",
    "horizontalpodautoscalers", "jobs", "cronjobs",
)  # fmt: skip
API_EXTENSIONS = (
    "customresourcedefinitions", "apiservices", "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
    "validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
)  # fmt: skip
CATEGORIES = {plural: ["all"] for plural in ALL} | {plural: ["api-extensions"] for plural in API_EXTENSIONS}

PROXY_VERBS = ["create", "delete", "get", "patch", "update"]
CONNECT = {
    "pods": {
        "attach": ("PodAttachOptions", ["create", "get"]),
        "exec": ("PodExecOptions", ["create", "get"]),
        "portforward": ("PodPortForwardOptions", ["create", "get"]),
        "proxy": ("PodProxyOptions", PROXY_VERBS),
    },
    "services": {"proxy": ("ServiceProxyOptions", PROXY_VERBS)},
    "nodes": {"proxy": ("NodeProxyOptions", PROXY_VERBS)},
}

# A version stored as another one; every other group stores its most stable version.
STORED_AS = {("events.k8s.io", "v1", "Event"): ["", "v1", "Event"]}
# The schema of these versions differs from the stored one, so they can't share objects without conversion rules.
UNSERVED = {("resource.k8s.io", "v1beta1"), ("internal.apiserver.k8s.io", "v1alpha1")}

VERBS = {"post": "create", "put": "update"}

STRING = {"type": "string"}
HAND_WRITTEN = {
    META + "PartialObjectMetadata": {
        "type": "object",
        "properties": {"apiVersion": STRING, "kind": STRING, "metadata": {"$ref": META + "ObjectMeta"}},
        "x-kubernetes-group-version-kind": [{"group": "meta.k8s.io", "version": "v1", "kind": "PartialObjectMetadata"}],
    },
    META + "PartialObjectMetadataList": {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": STRING,
            "kind": STRING,
            "metadata": {"$ref": META + "ListMeta"},
            "items": {"type": "array", "items": {"$ref": META + "PartialObjectMetadata"}},
        },
        "x-kubernetes-group-version-kind": [
            {"group": "meta.k8s.io", "version": "v1", "kind": "PartialObjectMetadataList"}
        ],
    },
    META + "TableColumnDefinition": {
        "type": "object",
        "required": ["name", "type", "format", "description", "priority"],
        "properties": {
            "name": STRING,
            "type": STRING,
            "format": STRING,
            "description": STRING,
            "priority": {"type": "integer", "format": "int32"},
        },
    },
    META + "TableRow": {
        "type": "object",
        "required": ["cells"],
        "properties": {
            "cells": {"type": "array", "items": {}},
            "conditions": {"type": "array", "items": {"type": "object"}},
            "object": {"$ref": "io.k8s.apimachinery.pkg.runtime.RawExtension"},
        },
    },
    META + "Table": {
        "type": "object",
        "required": ["columnDefinitions", "rows"],
        "properties": {
            "apiVersion": STRING,
            "kind": STRING,
            "metadata": {"$ref": META + "ListMeta"},
            "columnDefinitions": {"type": "array", "items": {"$ref": META + "TableColumnDefinition"}},
            "rows": {"type": "array", "items": {"$ref": META + "TableRow"}},
        },
        "x-kubernetes-group-version-kind": [{"group": "meta.k8s.io", "version": "v1", "kind": "Table"}],
    },
}
# Defaults of list map keys, without which server-side apply can't tell elements apart.
KEY_DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}


def main() -> int:
    files = {"definitions.json": build_definitions()}
    files["kinds.json"] = build_kinds(files["definitions.json"])
    stale = []
    for name, data in files.items():
        text = json.dumps(data, separators=(",", ":"), sort_keys=name == "definitions.json") + "\n"
        path = TARGET / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                stale.append(name)
        else:
            TARGET.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print(f"out of date: {', '.join(stale)}; run scripts/build_schema.py", file=sys.stderr)
    return 1 if stale else 0


def package_dir(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed: pip install '.[dev]'")
    return Path(spec.origin).parent


def build_definitions() -> dict[str, Any]:
    source = package_dir("kubernetes_validate") / "kubernetes-json-schema" / f"{KUBERNETES}-local" / "_definitions.json"
    definitions = {name: clean(body) for name, body in json.loads(source.read_text())["$defs"].items()}
    definitions[QUANTITY] = {"type": "string", "format": "quantity"}
    definitions[INT_OR_STRING] = {"type": "string", "format": "int-or-string", "x-kubernetes-int-or-string": True}
    definitions[META + "MicroTime"] = {"type": "string", "format": "micro-time"}
    for name in (META + "FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension"):
        definitions[name] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definitions.update(HAND_WRITTEN)
    for (name, key), value in KEY_DEFAULTS.items():
        definitions[name]["properties"][key]["default"] = value
    return definitions


def clean(schema: Any) -> Any:
    """A schema without descriptions, null types and the one-value enums of apiVersion and kind."""
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("description", "x-kubernetes-unions"):
            continue
        if key == "properties":
            result[key] = {name: clean_property(name, child) for name, child in value.items()}
        elif key in ("items", "additionalProperties"):
            result[key] = clean(value)
        elif key == "type" and isinstance(value, list):
            result[key] = next(t for t in value if t != "null")
        elif key == "$ref":
            result[key] = value.rsplit("/", 1)[-1]
        else:
            result[key] = value
    return result


def clean_property(name: str, schema: Any) -> Any:
    body = clean(schema)
    if name in ("apiVersion", "kind") and isinstance(body, dict):
        body.pop("enum", None)
    return body


def build_kinds(definitions: dict[str, Any]) -> list[dict[str, Any]]:
    schemas = schemas_by_gvk(definitions)
    infos = list(api_infos())
    stable = stable_versions(infos)
    kinds: dict[tuple[str, str, str], dict[str, Any]] = {}
    for info in infos:
        group, version, kind = info["resource"]
        if "parent" in info or (group, version) in UNSERVED:
            continue
        plural = info["plural"]
        entry = {
            "group": group,
            "version": version,
            "kind": kind,
            "plural": plural,
            "namespaced": info["namespaced"],
            "verbs": verbs_of(info["verbs"]),
            "shortNames": SHORT_NAMES.get(plural, []),
            "categories": CATEGORIES.get(plural, []),
            "subresources": {},
            "storage": STORED_AS.get((group, version, kind), [group, stable[group, plural], kind]),
            "schema": schemas[group, version, kind],
            "default": not any(word in version for word in ("alpha", "beta")),
        }
        kinds[group, version, plural] = entry
    add_subresources(kinds, infos)
    return [kinds[key] for key in sorted(kinds)]


def add_subresources(kinds: dict[tuple[str, str, str], dict[str, Any]], infos: list[dict[str, Any]]) -> None:
    for info in infos:
        if "parent" not in info:
            continue
        group, version, _ = info["parent"]
        parent = kinds.get((group, version, info["plural"]))
        if parent is not None:
            parent["subresources"][info["action"]] = {"kind": info["resource"], "verbs": verbs_of(info["verbs"])}
    for plural, connects in CONNECT.items():
        for name, (kind, verbs) in connects.items():
            kinds["", "v1", plural]["subresources"][name] = {"kind": ["", "v1", kind], "verbs": verbs}
    for entry in kinds.values():
        entry["subresources"] = dict(sorted(entry["subresources"].items()))


def schemas_by_gvk(definitions: dict[str, Any]) -> dict[tuple[str, str, str], str]:
    found = {}
    for name, body in definitions.items():
        gvks = body.get("x-kubernetes-group-version-kind", []) if isinstance(body, dict) else []
        if len(gvks) == 1:
            found[gvks[0]["group"], gvks[0]["version"], gvks[0]["kind"]] = name
    return found


def stable_versions(infos: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """The version that each (group, plural) is stored in: the highest of the most stable ones."""
    best: dict[tuple[str, str], str] = {}
    for info in infos:
        group, version, _ = info["resource"]
        if "parent" in info or (group, version) in UNSERVED:
            continue
        key = (group, info["plural"])
        if key not in best or stability(version) > stability(best[key]):
            best[key] = version
    return best


def stability(version: str) -> tuple[int, str]:
    return (0 if "alpha" in version else 1 if "beta" in version else 2, version)


def api_infos() -> Any:
    """Every resource and subresource that lightkube's resource modules describe, read from their source."""
    for path in sorted((package_dir("lightkube") / "resources").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for statement in node.body:
                if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_api_info":
                    yield api_info(node, statement.value)


def api_info(node: ast.ClassDef, call: Any) -> dict[str, Any]:
    info: dict[str, Any] = {}
    for keyword in call.keywords:
        value = keyword.value
        if isinstance(value, ast.Call):
            info[keyword.arg] = [ast.literal_eval(arg) for arg in value.args]
        else:
            info[keyword.arg] = ast.literal_eval(value)
    info["namespaced"] = ast.unparse(node.bases[0]).startswith("res.Namespaced")
    return info


def verbs_of(methods: list[str]) -> list[str]:
    return sorted({VERBS.get(m, m) for m in methods if not m.startswith("global_")})


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Builds minikube_py/resources/schema/protobuf.json: field numbers and types of every served kind.

    scripts/build_protobuf.py [--check] DIRECTORY...

Each directory is an unpacked Go module (`go mod download -json k8s.io/api@v0.37.2` prints where it is); needed are
k8s.io/api, apimachinery, apiextensions-apiserver and kube-aggregator. Numbers and types come from generated.proto; the
names in JSON, what is inlined, what is a pointer and what is left out when empty come from the Go struct tags. Only
these facts are taken over. The served groups and versions are those of kinds.json.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "minikube_py" / "resources" / "schema"
PACKAGE = re.compile(r"^package ([\w.]+);", re.M)
MESSAGE = re.compile(r"^message (\w+) \{$")
FIELD = re.compile(r"^\s+(?:(optional|repeated|required) ([\w.]+)|map<(\w+), ([\w.]+)>) (\w+) = (\d+);")
STRUCT = re.compile(r"^type (\w+) struct ?\{(\}?)$")
ALIAS = re.compile(r"^type (\w+) =? ?(\w+)\.(\w+)$")
MEMBER = re.compile(r"^\s+(?:(\w+)\s+)?(\*?[\w\[\].*]+)\s+`(.*)`")
TYPE_META = re.compile(r"^\s+(?:metav1\.)?TypeMeta\s+`json:\"(?:,inline)?\"`")
TAG = re.compile(r'(\w+):"([^"]*)"')
GROUP = re.compile(r'GroupName\s*(?:=|string = )\s*"([^"]*)"')
VERSION = re.compile(r"v\d+((alpha|beta)\d+)?$")

# Types whose JSON is not an object of their fields; the program knows each of them by this name.
SPECIAL = {
    "k8s.io.apimachinery.pkg.apis.meta.v1.Time": "time",
    "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1": "json",
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "quantity",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "k8s.io.apimachinery.pkg.runtime.RawExtension": "raw",
}
SPECIAL_NAMES = {
    "JSON": "json",
    "JSONSchemaPropsOrArray": "schema-or-array",
    "JSONSchemaPropsOrBool": "schema-or-bool",
    "JSONSchemaPropsOrStringArray": "schema-or-strings",
}
SCALARS = {"string": "s", "bytes": "b", "int32": "i", "int64": "i", "bool": "t", "double": "d"}
META = "k8s.io.apimachinery.pkg.apis.meta.v1"


@dataclass
class Member:
    """A struct field: name in JSON ('' when inlined), and the flags of the table's rows."""

    name: str
    flags: str


@dataclass
class Package:
    name: str
    group: str = ""
    messages: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    structs: dict[str, dict[int, Member]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    aliases: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def short(self) -> str:
        return ".".join(self.name.split(".")[-2:])


def read_package(proto: Path) -> Package:
    text = proto.read_text()
    found = PACKAGE.search(text)
    assert found, proto
    package = Package(found[1])
    current: list[tuple[int, str, str]] = []
    for line in text.splitlines():
        if start := MESSAGE.match(line):
            current = package.messages.setdefault(start[1], [])
        elif row := FIELD.match(line):
            label, plain, key, value, _name, number = row.groups()
            assert key in (None, "string"), line
            shape = {"repeated": "r"}.get(label or "", "") if plain else "m"
            current.append((int(number), (plain or value).lstrip("."), shape))
    for source in sorted(proto.parent.glob("*.go")):
        if not source.name.endswith(("_test.go", "generated.pb.go")):
            read_structs(source.read_text(), package)
    return package


def read_structs(text: str, package: Package) -> None:
    if found := GROUP.search(text):
        package.group = found[1]
    name = ""
    for line in text.splitlines():
        if start := STRUCT.match(line):
            name = "" if start[2] else start[1]
            package.structs.setdefault(start[1], {})
        elif alias := ALIAS.match(line):
            package.aliases[alias[1]] = (alias[2], alias[3])
        elif line == "}":
            name = ""
        elif name and TYPE_META.match(line):
            package.kinds.append(name)
        elif name and (row := MEMBER.match(line)):
            tags = dict(TAG.findall(row[3]))
            if "protobuf" in tags and tags["protobuf"] != "-":
                number = int(tags["protobuf"].split(",")[1])
                package.structs[name][number] = read_member(row[1] or "", row[2], tags)


def read_member(go_name: str, go_type: str, tags: dict[str, str]) -> Member:
    name, *options = tags.get("json", "").split(",")
    flags = ""
    if "inline" in options or (not name and not go_name):
        flags += "n"
    if go_type.startswith("*"):
        flags += "p"
    if "omitempty" in options:
        flags += "o"
    if "omitzero" in options:
        flags += "z"
    return Member("" if "n" in flags else name or go_name, flags)


class Table:
    """Collects the messages that the served kinds reach."""

    def __init__(self, packages: dict[str, Package]) -> None:
        self._packages = packages
        self.messages: dict[str, object] = {}

    def add(self, package: Package, name: str) -> str:
        """The table's name for a message, which is in the table from now on."""
        full = f"{package.name}.{name}"
        special = SPECIAL.get(full) or SPECIAL_NAMES.get(name)
        if special:
            if special.startswith("schema"):
                self.add(package, "JSONSchemaProps")
                return f"{special}:{package.short}.JSONSchemaProps"
            return special
        key = f"{package.short}.{name}"
        if key not in self.messages:
            self.messages[key] = None
            fields = package.messages[name]
            if name in package.aliases:
                package.structs[name] = self._aliased(package, *package.aliases[name])
            if name not in package.structs:  # `type Verbs []string`: a message only on the wire
                assert [(n, t, s) for n, t, s in fields] == [(1, "string", "r")], key
                self.messages[key] = "strings"
            else:
                self.messages[key] = [self._row(package, name, *f) for f in sorted(fields)]
        return key

    def _aliased(self, package: Package, import_name: str, name: str) -> dict[int, Member]:
        """The members of a struct that a package takes from another: meta's, or the same group's newer version."""
        other = META if import_name == "metav1" else package.name.rpartition(".")[0] + "." + import_name
        return self._packages[other].structs[name]

    def _row(self, package: Package, message: str, number: int, type_: str, shape: str) -> list[object]:
        member = package.structs[message][number]
        kind = SCALARS.get(type_) or self._resolve(package, type_)
        return [number, member.name, kind, shape + member.flags]

    def _resolve(self, package: Package, type_: str) -> str:
        path, _, name = type_.rpartition(".")
        return self.add(self._packages[path] if path else package, name)


def served_versions() -> set[tuple[str, str]]:
    kinds = json.loads((TARGET / "kinds.json").read_text())
    return {(kind["group"], kind["version"]) for kind in kinds}


def build(directories: list[Path]) -> dict[str, object]:
    found = [read_package(p) for d in directories for p in sorted(d.rglob("generated.proto"))]
    packages = {package.name: package for package in found}
    served, table = served_versions(), Table(packages)
    kinds: dict[str, dict[str, str]] = {}
    for package in found:
        version = package.short.partition(".")[2]
        group = "" if package.name == "k8s.io.api.core.v1" else package.group
        is_meta = package.name == META
        if not is_meta and ((group, version) not in served or not VERSION.match(version)):
            continue
        api_version = "meta.k8s.io/v1" if is_meta else f"{group}/{version}" if group else version
        names = [name for name in sorted(set(package.kinds)) if name in package.messages]
        if is_meta:
            names.append("WatchEvent")
        if api_version == "v1":
            names.append("List")
        kinds[api_version] = {name: table.add(package, name) for name in names}
    missing = {f"{g}/{v}" if g else v for g, v in served} - kinds.keys()
    assert not missing, missing
    return {"kinds": dict(sorted(kinds.items())), "messages": dict(sorted(table.messages.items()))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail when the committed file differs")
    parser.add_argument("directories", nargs="+", type=Path)
    options = parser.parse_args()
    table = build(options.directories)
    messages = table["messages"]
    assert isinstance(messages, dict)
    lines = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in messages.items())
    kinds = json.dumps(table["kinds"], separators=(",", ":"))
    text = f'{{"kinds":{kinds},\n"messages":{{\n{lines}\n}}}}\n'
    target = TARGET / "protobuf.json"
    if options.check:
        if not target.exists() or target.read_text() != text:
            print(f"{target.name} differs from its sources: run scripts/build_protobuf.py", file=sys.stderr)
            return 1
        return 0
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

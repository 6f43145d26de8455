#!/usr/bin/env python3
"""Builds minikube_py/resources/schema/go_fields.json: which empty values Go's encoding leaves out, and which it adds.

    scripts/build_go_fields.py [--check]

The facts (pointer, list, map, omitempty, omitzero) are those of protobuf.json, which stand there by message; here they
stand by definition, as the check of decoded objects needs them: `drop` names the fields that vanish when they are
empty, `fill` gives the value of those that are there even when nobody set them. A list or map that Go would print as
null is filled with an empty one: clients take that for the same, and strict ones are spared a null.
"""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "minikube_py" / "resources" / "schema"
STRUCTS = ("quantity", "intorstring")
ZEROES: dict[str, Any] = {"s": "", "i": 0, "t": False, "d": 0, "quantity": "0", "intorstring": 0}
ROWS = dict[str, Any]


def short(definition: str) -> str:
    """io.k8s.api.core.v1.Pod is core.v1.Pod in the table of messages."""
    return ".".join(definition.split(".")[-3:])


def build(messages: ROWS, definitions: dict[str, Any]) -> dict[str, Any]:
    table = {}
    for name, body in sorted(definitions.items()):
        rows = messages.get(short(name))
        if "properties" not in body or not isinstance(rows, list):
            continue
        flat = list(fields(messages, rows))
        drop = sorted(field for field, type_, flags in flat if is_dropped(type_, flags))
        entry: dict[str, Any] = {"drop": drop, "fill": filled(messages, rows)}
        table[name] = {key: value for key, value in entry.items() if value}
    return table


def fields(messages: ROWS, rows: list[Any]) -> Any:
    """(name, type, flags) of a struct's fields, those of inlined structs among them."""
    for _number, name, type_, flags in rows:
        if "n" in flags:
            yield from fields(messages, messages[type_])
        else:
            yield name, type_, flags


def is_dropped(type_: str, flags: str) -> bool:
    if "p" in flags or "o" not in flags:
        return False
    return bool(set("rm") & set(flags)) or type_ in "sitdb"


def filled(messages: ROWS, rows: list[Any]) -> dict[str, Any]:
    """What Go prints of a struct that nobody set anything in."""
    found: dict[str, Any] = {}
    for name, type_, flags in fields(messages, rows):
        if set("poz") & set(flags) and not (flags == "o" and is_struct(messages, type_)):
            continue
        if "r" in flags:
            found[name] = []
        elif "m" in flags:
            found[name] = {}
        elif type_ in ZEROES:
            found[name] = ZEROES[type_]
        elif is_struct(messages, type_):
            found[name] = filled(messages, messages[type_])
    return found


def is_struct(messages: ROWS, type_: str) -> bool:
    """A struct is there although it is empty and its tag says omitempty: Go's encoding knows no empty structs."""
    return type_ in STRUCTS or isinstance(messages.get(type_), list)


def main() -> int:
    messages = json.loads((TARGET / "protobuf.json").read_text())["messages"]
    table = build(messages, json.loads((TARGET / "definitions.json").read_text()))
    lines = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in table.items())
    text, target = f"{{\n{lines}\n}}\n", TARGET / "go_fields.json"
    if "--check" in sys.argv[1:]:
        if not target.exists() or target.read_text() != text:
            print(f"{target.name} differs from its sources: run scripts/build_go_fields.py", file=sys.stderr)
            return 1
        return 0
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Reads the simple JSON paths of printer columns, scale and selectable fields: `.spec.a['b.c'][0].d`.

Source: the kubectl JSONPath reference, as far as a CRD may use it, and client-go's printing of what was found.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from minikube_py.objects import go_text

_STEP = re.compile(
    r"\.(?P<name>(?:[^.\[\]\\'\"@?()]|\\.)+)|\[(?P<index>-?\d+)\]|\['(?P<quoted>(?:[^'\\]|\\.)*)'\]"
    r"|\[(?P<all>\*)\]|\[\?\(@\.(?P<field>[\w.\\-]+)\s*==\s*(?P<value>\"[^\"]*\"|'[^']*'|[^)\s]+)\)\]"
    r"|(?P<any>\.\*)"
)
Step = Callable[[Any], list[Any]]


def parse(path: str) -> list[Step]:
    """The steps of a path. Raises ValueError for what is not a simple path."""
    text = path[1:-1] if path.startswith("{") and path.endswith("}") else path
    text = text.removeprefix("$")
    if not text.startswith((".", "[")):
        raise ValueError(f"unrecognized path {path!r}")
    steps: list[Step] = []
    position = 0
    while position < len(text):
        if text[position:] == ".":
            break
        found = _STEP.match(text, position)
        if found is None:
            raise ValueError(f"unrecognized character in path at {position}: {path!r}")
        steps.append(_step(found))
        position = found.end()
    return steps


def find(steps: list[Step], obj: Any) -> list[Any]:
    """Everything the path leads to; nothing where a part of the way is missing."""
    values = [obj]
    for step in steps:
        values = [after for value in values for after in step(value)]
        if not values:
            break
    return values


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return _at(int(found["index"]))
    if found["all"] or found["any"]:
        return _children
    if found["field"] is not None:
        return _where(_unescape(found["field"]).split("."), found["value"])
    return _named(_unescape(found["name"] if found["name"] is not None else found["quoted"]))


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _named(name: str) -> Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _at(index: int) -> Step:
    return lambda value: [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _where(names: list[str], text: str) -> Step:
    wanted: Any = text[1:-1] if text[0] in "\"'" else json.loads(text) if _is_json(text) else text

    def choose(value: Any) -> list[Any]:
        chosen = []
        for item in value if isinstance(value, list) else ():
            held = item
            for name in names:
                held = held.get(name) if isinstance(held, dict) else None
            if held == wanted:
                chosen.append(item)
        return chosen

    return choose


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def show(value: Any) -> str:
    """A value in a string column: scalars as Go prints them, trees as JSON."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return value if isinstance(value, str) else go_text.plain(value)

"""Reads and writes YAML as Kubernetes does: plain data only, no aliases, no timestamps, and duplicates reported."""

import re
from functools import cache
from typing import Any

from minikube_py.objects.errors import BadRequest

_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
_INTEGER_TAG, _FLOAT_TAG = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


@cache
def _loader() -> Any:
    """The loader class; made on first use, because YAML is rare and its import is slow."""
    import yaml  # noqa: PLC0415 - loaded when the first YAML body comes

    parent: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(parent):  # type: ignore[misc]
        duplicates: list[str]

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = _key(self.construct_object(key_node, deep=True))
                if key in mapping:
                    line = key_node.start_mark.line + 1
                    self.duplicates.append(f'line {line}: key "{key}" already set in map')
                mapping[key] = self.construct_object(value_node, deep=True)
            return mapping

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("bool", "null")]
        for first, resolvers in parent.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(_INTEGER_TAG, _INTEGER, list("-+0123456789"))
    Loader.add_implicit_resolver(_FLOAT_TAG, _FLOAT, list("-+0123456789."))
    Loader.add_constructor(_INTEGER_TAG, _integer)
    Loader.add_constructor(_FLOAT_TAG, _float)
    Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node))
    return Loader


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise BadRequest("yaml: a key must be a scalar")


def _integer(loader: Any, node: Any) -> int:
    text = str(node.value).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits[:2] in ("0b", "0x", "0o"):
        return sign * int(digits, 0)
    return sign * (int(digits, 8) if len(digits) > 1 and digits[0] == "0" else int(digits))


def _float(loader: Any, node: Any) -> float:
    text = str(node.value).lower()
    number = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def load(data: bytes) -> tuple[Any, list[str]]:
    """The first document, and what stood twice in it (`line 3: key "a" already set in map`). Raises BadRequest."""
    import yaml  # noqa: PLC0415 - loaded when the first YAML body comes

    try:
        # An alias is a star, so text without stars needs no second look.
        if b"*" in data and any(isinstance(e, yaml.events.AliasEvent) for e in yaml.parse(data, Loader=_loader())):
            raise BadRequest("error converting YAML to JSON: yaml: aliases are not allowed")
    except yaml.YAMLError as error:
        raise BadRequest(f"error converting YAML to JSON: yaml: {error}") from None
    loader = _loader()(data)
    loader.duplicates = []
    try:
        return loader.get_single_data(), loader.duplicates
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadRequest(f"error converting YAML to JSON: yaml: {error}") from None
    finally:
        loader.dispose()


def dump(obj: Any) -> bytes:
    import yaml  # noqa: PLC0415 - loaded when the first YAML answer goes out

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: bytes = yaml.dump(obj, Dumper=dumper, default_flow_style=False, encoding="utf-8", allow_unicode=True)
    return text

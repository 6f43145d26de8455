"""Reads request bodies and chooses response formats: JSON, YAML and protobuf."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from minikube_py.apiserver import protobuf, yaml_codec
from minikube_py.apiserver.duplicate_fields import complaints, duplicate_fields, unknown_field
from minikube_py.objects import json_pieces
from minikube_py.objects.errors import BadRequest, NotAcceptable, RequestTooLarge, UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MAX_DEPTH = 100
_READABLE_BYTES = 64 * 1024
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


# --- request bodies --------------------------------------------------------------------------------------------------


class TextBody:
    """A request body as it came over the wire."""

    def __init__(self, data: bytes, content_type: str) -> None:
        self._data = data
        self.media_type = content_type.partition(";")[0].strip().lower() or JSON
        self._duplicates: list[str] | None = None
        self._has_duplicates: bool | None = None  # where reading told
        self._is_json = self.media_type.endswith("json")

    def tree(self) -> Any:
        data = self._data
        if not data or data.isspace():
            return None
        if self.media_type == PROTOBUF:
            return _load_protobuf(data)
        if self._is_json:
            return self._json_tree()
        if self.media_type.endswith("yaml"):
            return self._yaml_tree()
        raise unsupported_media_type()

    def _yaml_tree(self) -> Any:
        """JSON is YAML too, and most of what clients send as YAML is JSON."""
        if self._data.lstrip()[:1] == b"{":
            try:
                tree = self._json_tree()
            except BadRequest:
                pass
            else:
                self._is_json = True
                return tree
        tree, self._duplicates = yaml_codec.load(self._data)
        return tree

    def _json_tree(self) -> Any:
        if not json_pieces.IN_PIECES.get():
            return _load_json(self._data)
        tree, self._has_duplicates = _load_large_json(self._data)
        return tree

    def duplicates(self) -> list[str]:
        if self._duplicates is None:
            may_hold_some = self._is_json and self._data and self._has_duplicates is not False
            self._duplicates = duplicate_fields(self._data) if may_hold_some else []
            if self._duplicates and self.media_type.endswith("yaml"):  # JSON is YAML, and is judged as such
                self._duplicates = yaml_codec.load(self._data)[1]
        return self._duplicates

    def complaints(self, unknown: Sequence[str]) -> list[str]:
        duplicates = self.duplicates()
        if duplicates and self._is_json and not self.media_type.endswith("yaml"):
            return complaints(self._data, unknown)
        return [*duplicates, *map(unknown_field, unknown)]


def _load_protobuf(data: bytes) -> Any:
    try:
        tree = protobuf.decode(data)
    except protobuf.ProtobufError as error:
        raise BadRequest(f"error decoding the protobuf body: {error}") from None
    _check_depth(tree)
    return tree


def check_media_type(content_type: str, verb: str) -> None:
    """Raises UnsupportedMediaType for a body that could not be read."""
    media_type = content_type.partition(";")[0].strip().lower()
    if verb == "patch" or not media_type:
        return
    if media_type not in (JSON, YAML, PROTOBUF, "text/plain", "application/x-www-form-urlencoded"):
        raise unsupported_media_type()


def unsupported_media_type() -> UnsupportedMediaType:
    return UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join((JSON, YAML, PROTOBUF))
    )


def _load_json(data: bytes) -> Any:
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {error}") from None
    if _is_maybe_deep(data):
        _check_depth(tree)
    return tree


def _load_large_json(data: bytes) -> tuple[Any, bool]:
    """The tree, and whether a field stands twice in one of its objects."""
    has_duplicates = False

    def make(pairs: json_pieces.Pairs) -> Any:
        nonlocal has_duplicates
        size = len(pairs)
        found = json_pieces.make_object(pairs)
        has_duplicates = has_duplicates or len(found) < size
        return found

    try:
        tree = json_pieces.load(data, make)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {error}") from None
    _check_depth(tree)
    return tree, has_duplicates


def _is_maybe_deep(data: bytes) -> bool:
    """False only when the text surely nests less than the limit. Each round takes the innermost brackets away."""
    brackets = data.translate(None, _NOT_BRACKETS)
    if len(brackets) <= 2 * MAX_DEPTH:
        return False
    for _ in range(MAX_DEPTH):
        shorter = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    return bool(brackets)


def _check_depth(tree: Any) -> None:
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> RequestTooLarge:
    return RequestTooLarge(f"the body nests deeper than {MAX_DEPTH} levels", reason="BadRequest", code=400)


# --- response formats ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """How a response is written. transform is '', Table, PartialObjectMetadata or PartialObjectMetadataList."""

    media_type: str = JSON
    transform: str = ""
    version: str = "v1"
    is_pretty: bool = False

    @property
    def content_type(self) -> str:
        return self.media_type

    @property
    def is_plain_json(self) -> bool:
        return self.media_type == JSON and not self.is_pretty


PLAIN = Format()


@lru_cache(maxsize=512)
def negotiate(accept: str, *, is_transformable: bool = True, has_protobuf: bool = True) -> Format:
    """The best format for an Accept header. has_protobuf: whether the answer's own kind has a protobuf form.

    Raises NotAcceptable.
    """
    if not accept or accept == "*/*":
        return PLAIN
    for media_type, parameters in _clauses(accept):
        known = _known_media_type(media_type)
        transform = parameters.get("as", "")
        if known is None or (known == PROTOBUF and (transform == "Table" or not (has_protobuf or transform))):
            continue
        if not transform:
            return Format(known)
        if is_transformable and transform in _TRANSFORMS and parameters.get("g") == "meta.k8s.io":
            if parameters.get("v") in ("v1", "v1beta1"):
                return Format(known, transform, parameters["v"])
    raise not_acceptable()


def not_acceptable() -> NotAcceptable:
    types = ", ".join((JSON, YAML, PROTOBUF))
    return NotAcceptable(f"only the following media types are accepted: {types}")


def _clauses(accept: str) -> list[tuple[str, Mapping[str, str]]]:
    """Media types with their parameters, the ones with the highest q first."""
    found: list[tuple[float, str, Mapping[str, str]]] = []
    for clause in accept.split(","):
        media_type, *rest = (part.strip() for part in clause.split(";"))
        parameters = {k.strip(): v.strip().strip('"') for k, _, v in (p.partition("=") for p in rest)}
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 1.0
        if quality > 0:
            found.append((quality, media_type.lower(), parameters))
    found.sort(key=lambda clause: -clause[0])
    return [(media_type, parameters) for _, media_type, parameters in found]


def _known_media_type(media_type: str) -> str | None:
    if media_type in (JSON, "*/*", "application/*"):
        return JSON
    if media_type in (YAML, PROTOBUF):
        return media_type
    return None


def encode(obj: Any, form: Format) -> bytes:
    """An object in the format's media type. Raises NotAcceptable for an object that has no protobuf form."""
    if form.media_type == PROTOBUF:
        try:
            return protobuf.encode(obj)
        except protobuf.NotEncodable:
            raise not_acceptable() from None
    if form.media_type == YAML:
        return _yaml(obj)
    if form.is_pretty:
        return orjson.dumps(obj, option=orjson.OPT_INDENT_2) + b"\n"
    return json_pieces.dumps(obj) + b"\n"


def _yaml(obj: Any) -> bytes:
    """YAML for people; JSON, which is YAML too, for what is too long to read and would take seconds to write."""
    text = json_pieces.dumps(obj)
    return text + b"\n" if len(text) > _READABLE_BYTES else yaml_codec.dump(obj)


def encode_parts(head: Mapping[str, Any], key: str, items: Iterable[Any], form: Format) -> Iterator[bytes]:
    """The text of `head` with the items under `key` at its end, item by item: in JSON, pretty JSON or YAML."""
    rest = {name: value for name, value in head.items() if name != key}
    if form.media_type == YAML:
        yield from _yaml_parts(rest, key, items)
        return
    option, indent = (orjson.OPT_INDENT_2, b"\n    ") if form.is_pretty else (0, b"")
    empty = orjson.dumps({**rest, key: []}, option=option)
    end = empty.rindex(b"]")
    yield empty[:end]
    separator = b""
    for item in items:
        text = orjson.dumps(item, option=option)
        yield b"".join((separator, indent, text.replace(b"\n", indent) if indent else text))
        separator = b","
    tail = empty[end:] + b"\n"
    yield b"\n  " + tail if separator and form.is_pretty else tail


def _yaml_parts(rest: Mapping[str, Any], key: str, items: Iterable[Any]) -> Iterator[bytes]:
    yield yaml_codec.dump(rest)
    is_empty = True
    for item in items:
        if is_empty:
            yield f"{key}:\n".encode()
        is_empty = False
        text = orjson.dumps(item)
        yield b"- %b\n" % text if len(text) > _READABLE_BYTES else yaml_codec.dump([item])
    if is_empty:
        yield f"{key}: []\n".encode()

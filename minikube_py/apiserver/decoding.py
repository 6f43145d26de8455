"""Takes a request body in: the right kind, the right place, known fields only, as fieldValidation asks."""

from collections.abc import Collection, Sequence
from types import NoneType

from minikube_py.apiserver.call import ApiCall
from minikube_py.objects.errors import BadRequest, Object
from minikube_py.objects.json_pieces import IN_PIECES
from minikube_py.resources import schema
from minikube_py.resources.kind import GVK

_MAX_COMPLAINTS = 100
_ALWAYS = frozenset(("apiVersion", "kind"))
FIELD_VALIDATION = ("Ignore", "Warn", "Strict")


def decode_object(call: ApiCall) -> Object:
    """The body of a create or update as an object of the call's kind, checked, in its place."""
    obj = call.body.tree()
    if IN_PIECES.get():
        call.leftovers.append(obj)
    if obj is None:
        raise BadRequest("couldn't get version/kind; json parse error: unexpected end of JSON input")
    check_body(call, obj, call.kind.gvk)
    report = schema.check(call.kind, obj)
    report_fields(call, report, call.body.complaints(report.unknown_fields), call.kind.gvk)
    return obj  # type: ignore[no-any-return]


def check_body(call: ApiCall, obj: object, expected: GVK) -> None:
    """kind and apiVersion are the endpoint's; they are filled in when the client left them out."""
    if not isinstance(obj, dict):
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {expected.kind}): couldn't get version/kind; "
            "json parse error: json: cannot unmarshal array into Go value of type struct "
            "{ APIVersion string; Kind string }"
        )
    for key in ("apiVersion", "kind"):
        if not isinstance(obj.get(key, ""), (str, NoneType)):
            raise BadRequest(f"couldn't get version/kind; json parse error: {key} is not a string")
    version, name = obj.get("apiVersion") or expected.api_version, obj.get("kind") or expected.kind
    if version != expected.api_version:
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({expected.api_version})"
        )
    if name != expected.kind:
        raise BadRequest(
            f'{name} in version "{expected.version}" cannot be handled as a {expected.kind}: '
            f"the kind in the data ({name}) does not match the expected kind ({expected.kind})"
        )
    obj["apiVersion"], obj["kind"] = version, name


def check_patched(call: ApiCall, obj: Object, touched: Collection[str] | None = None) -> None:
    """Checks types, drops unknown fields and nulls in place, and says so as fieldValidation asks.

    touched: the fields of the object that may differ from those stored, which have been checked before; None for all.
    """
    part = obj if touched is None else {key: value for key, value in obj.items() if key in touched or key in _ALWAYS}
    report = schema.check(call.kind, part)
    if touched is not None:
        for key in touched:
            if key in part:
                obj[key] = part[key]
            else:
                obj.pop(key, None)
        for key in part.keys() - obj.keys():
            obj[key] = part[key]
    told = [_duplicate(path) for path in call.body.duplicates()]
    report_fields(call, report, [*told, *report.warnings()], call.kind.gvk)


def report_fields(call: ApiCall, report: schema.SchemaReport, complaints: Sequence[str], gvk: GVK) -> None:
    """Raises BadRequest for values of a wrong type; unknown and duplicate fields are refused, told or ignored."""
    mode = field_validation(call)
    if report.type_error:
        raise BadRequest(report.decode_error(gvk.kind, gvk.version))
    if mode == "Ignore" or not complaints:
        return
    complaints = complaints[:_MAX_COMPLAINTS]
    if mode == "Strict":
        raise BadRequest(
            f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: '
            f"strict decoding error: {', '.join(complaints)}"
        )
    call.warnings.extend(complaints)


def _duplicate(path: str) -> str:
    """YAML duplicates come as whole sentences already."""
    return path if " " in path else f'duplicate field "{path}"'


def field_validation(call: ApiCall) -> str:
    mode = call.query.get("fieldValidation") or "Warn"
    if mode not in FIELD_VALIDATION:
        raise BadRequest(f'fieldValidation: Unsupported value: "{mode}": supported values: "Ignore", "Strict", "Warn"')
    return mode


def place(call: ApiCall, obj: Object) -> Object:
    """Puts the object into the namespace of the URL and gives its metadata. Raises when it names another."""
    metadata: Object = obj.setdefault("metadata", {})
    if not call.kind.namespaced:
        if metadata.get("namespace"):
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        return metadata
    namespace = call.info.namespace
    if metadata.get("namespace") not in (None, "", namespace):
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if not namespace:
        raise BadRequest("an empty namespace may not be set during creation")
    metadata["namespace"] = namespace
    return metadata

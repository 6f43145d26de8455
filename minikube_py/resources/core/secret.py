"""Secrets: types and what each needs, stringData, size, and immutability on request."""

import base64
from typing import Any

import orjson

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.configmap import SIZE_LIMIT, decoded_size, validate_frozen
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, number, text
from minikube_py.resources.value_rules import IMMUTABLE

DATA = Path("data")
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
REDACTED = "<secret contents redacted>"
_REQUIRED_KEYS = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_DOCKER_KEYS = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


def default(secret: Object) -> None:
    """The type, and `stringData` moved into `data`."""
    plain = secret.pop("stringData", None)
    if plain:
        data = secret["data"] = dict(secret.get("data") or {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()
    if not secret.get("type"):
        secret["type"] = "Opaque"


def validate(secret: Object, errors: FieldErrors) -> None:
    data, type_ = secret.get("data") or {}, secret.get("type", "")
    total = 0
    for key, value in data.items():
        errors.invalid_each(DATA.key(key), key, meta.config_map_key(key))
        total += decoded_size(value)
    if total > SIZE_LIMIT:
        errors.too_long(DATA, SIZE_LIMIT)
    if type_ == ACCOUNT_TOKEN:
        if not meta.annotations(secret).get(ACCOUNT_NAME):
            errors.required(Path("metadata.annotations").key(ACCOUNT_NAME))
    elif type_ in _DOCKER_KEYS:
        _validate_docker(data, _DOCKER_KEYS[type_], errors)
    elif type_ == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            errors.required(DATA.key("username"))
            errors.required(DATA.key("password"))
    for key in _REQUIRED_KEYS.get(type_, ()):
        if not data.get(key) and (key not in data or type_.endswith("ssh-auth")):
            errors.required(DATA.key(key))


def _validate_docker(data: Object, key: str, errors: FieldErrors) -> None:
    if key not in data:
        errors.required(DATA.key(key))
        return
    try:
        orjson.loads(base64.b64decode(data[key]))
    except ValueError as error:
        errors.invalid(DATA.key(key), REDACTED, str(error))


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    if new.get("type") != old.get("type"):
        errors.invalid(Path("type"), new.get("type", ""), IMMUTABLE)
    if old.get("immutable"):
        validate_frozen(new, old, ("data",), errors)
    validate(new, errors)


def prepare_update(new: Object, old: Object) -> None:
    """A replacement that leaves out the type keeps it."""
    if not new.get("type"):
        new["type"] = old.get("type", "Opaque")


def row(secret: Object) -> list[Any]:
    return [meta.name(secret), secret.get("type", ""), len(secret.get("data") or ()), age(secret)]


def fields(secret: Object) -> dict[str, str]:
    return {"type": secret.get("type") or ""}


RULES = KindRules(
    default=default,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Type", "Used to facilitate programmatic handling."),
        number("Data", "The number of keys."),
        AGE,
    ),
    row=row,
    fields=fields,
)

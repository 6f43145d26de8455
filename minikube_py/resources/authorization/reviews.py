"""Access reviews and token reviews: checks of what is asked.

Source: kubernetes pkg/apis/authorization/validation.
"""

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules

SPEC = Path("spec")
_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def no_name(_name: str) -> list[str]:
    """Reviews have no name; they are answered, not stored."""
    return []


def _validate_attributes(spec: Object, errors: FieldErrors) -> None:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        errors.invalid(
            SPEC.child("nonResourceAttributes"), other, "cannot be specified in combination with resourceAttributes"
        )
    if resource is None and other is None:
        errors.invalid(SPEC.child("resourceAttributes"), resource, _ONE_OF)


def validate_access(review: Object, errors: FieldErrors) -> None:
    spec = review.get("spec") or {}
    _validate_attributes(spec, errors)
    if not spec.get("user") and not spec.get("groups"):
        errors.invalid(SPEC.child("user"), spec.get("user", ""), "at least one of user or group must be specified")


def validate_self_access(review: Object, errors: FieldErrors) -> None:
    _validate_attributes(review.get("spec") or {}, errors)


def validate_local_access(review: Object, errors: FieldErrors) -> None:
    validate_access(review, errors)
    spec = review.get("spec") or {}
    resource = spec.get("resourceAttributes")
    if resource is not None and resource.get("namespace", "") != meta.namespace(review):
        errors.invalid(
            SPEC.child("resourceAttributes", "namespace"),
            resource.get("namespace", ""),
            "must match metadata.namespace",
        )
    if spec.get("nonResourceAttributes") is not None:
        errors.invalid(
            SPEC.child("nonResourceAttributes"), spec["nonResourceAttributes"], "disallowed on this kind of request"
        )


def validate_token(review: Object, errors: FieldErrors) -> None:
    if not (review.get("spec") or {}).get("token"):
        errors.required(SPEC.child("token"), "token is required")


ACCESS_RULES = KindRules(validate=validate_access, name_check=no_name)
SELF_ACCESS_RULES = KindRules(validate=validate_self_access, name_check=no_name)
LOCAL_ACCESS_RULES = KindRules(validate=validate_local_access, name_check=no_name)
TOKEN_RULES = KindRules(validate=validate_token, name_check=no_name)

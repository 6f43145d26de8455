"""Describes one served kind: its name in the API, what the schema table says of it, and the rules of its own file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from minikube_py.objects.errors import Object
from minikube_py.objects.schema_node import SchemaNode
from minikube_py.resources.fields import FieldErrors

if TYPE_CHECKING:
    from minikube_py.resources.custom.definition import ScalePaths
    from minikube_py.resources.schema_check import SchemaReport


class GVR(NamedTuple):
    """Group, version and plural resource name, as in a URL. The core group is ''."""

    group: str
    version: str
    resource: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class GVK(NamedTuple):
    """Group, version and kind, as in an object. The core group is ''."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True)
class Column:
    """One column of the server-side Table. `type` and `format` as in OpenAPI; priority 0 shows without `-o wide`."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


def _nothing(_obj: Object) -> None:
    return None


def _nothing_two(_new: Object, _old: Object) -> None:
    return None


def _no_checks(_obj: Object, _errors: FieldErrors) -> None:
    return None


def _no_update_checks(_new: Object, _old: Object, _errors: FieldErrors) -> None:
    return None


@dataclass(frozen=True)
class KindRules:
    """What a schema can't say of a kind. Every function is pure and works on the wire form in place.

    default         sets defaults; applied twice it changes nothing more.
    prepare_create  before validation on create: drop what a client may not set. The generic part (metadata, status of
                    kinds with a status subresource, generation = 1) is done by the API server already.
    prepare_update  the same on update(new, old). Generic part: status restored from old, generation raised when
                    anything but metadata and status changed.
    validate        checks a new object. validate_update(new, old) is the whole check of a change: what `validate` says
                    of the new object where Kubernetes looks again, and the immutability rules.
    validate_create checks a new object beside `validate`: what changes of it need not hold to.
    validate_status like validate_update, for the status subresource.
    columns, row    the Table: row(obj) gives one cell per column (without the Age column's formatting done elsewhere).
    fields          field-selector values beyond metadata.name and metadata.namespace, all of them, as strings.
    deprecation     the warning that every request for the kind earns, or ''.
    field_aliases   other names of the stored kind's `fields` in this version: alias to field.
    warnings        what clients are told of a new object, and of a changed one whose generation rose (pods: new ones).
    status_changes_metadata  False where a write of the status leaves labels, annotations and finalizers as they were.
    status_keeps    else those fields of the metadata that a write of the status leaves as they were.
    generation_metadata  fields of the metadata whose change raises the generation, as the desired state does.
    to_storage, from_storage  convert between the served version and the stored one, in place; None when equal.
    """

    default: Callable[[Object], None] = _nothing
    prepare_create: Callable[[Object], None] = _nothing
    prepare_update: Callable[[Object, Object], None] = _nothing_two
    validate: Callable[[Object, FieldErrors], None] = _no_checks
    validate_create: Callable[[Object, FieldErrors], None] = _no_checks
    validate_update: Callable[[Object, Object, FieldErrors], None] = _no_update_checks
    validate_status: Callable[[Object, Object, FieldErrors], None] = _no_update_checks
    columns: tuple[Column, ...] = ()
    row: Callable[[Object], list[Any]] | None = None
    fields: Callable[[Object], dict[str, str]] | None = None
    field_aliases: Mapping[str, str] = field(default_factory=dict)
    to_storage: Callable[[Object], None] | None = None
    from_storage: Callable[[Object], None] | None = None
    has_generation: bool = False
    allows_create_on_update: bool = False
    allows_unconditional_update: bool = True
    status_changes_metadata: bool = True
    status_keeps: tuple[str, ...] = ()
    generation_metadata: tuple[str, ...] = ()
    warnings: Callable[[Object], list[str]] | None = None
    deprecation: str = ""
    default_grace_seconds: Callable[[Object], int] | None = None
    name_check: Callable[[str], list[str]] | None = None


@dataclass(frozen=True)
class Subresource:
    """One subresource. `kind` is the GVK of its bodies; verbs as in discovery (get, patch, update, create, ...)."""

    name: str
    kind: GVK
    verbs: tuple[str, ...]


class SchemaOfCustomKind(Protocol):
    """What a custom kind carries instead of a place in the schema table.

    raw is the OpenAPI schema as in the CRD. Objects stored up to revision `clean_after` may look as an older schema
    wanted them: `read` cleans one in place. `webhook` is who converts between versions, None where that takes no call.
    """

    @property
    def raw(self) -> Mapping[str, Any]: ...

    @property
    def node(self) -> SchemaNode: ...

    @property
    def clean_after(self) -> int: ...

    @property
    def scale(self) -> "ScalePaths | None": ...

    @property
    def webhook(self) -> Mapping[str, Any] | None: ...

    def check(self, obj: Object) -> "SchemaReport": ...

    def read(self, obj: Object) -> None: ...


@dataclass(frozen=True)
class ResourceKind:
    """A served resource. Two versions of one resource share `storage` and so the stored objects."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: dict[str, Subresource] = field(default_factory=dict)
    storage: GVK | None = None
    storage_resource: str = ""
    schema: str = ""
    rules: KindRules = KindRules()
    custom: bool = False
    custom_schema: SchemaOfCustomKind | None = None

    # Looked up many times a request, and so worked out once.

    @cached_property
    def gvr(self) -> GVR:
        return GVR(self.group, self.version, self.plural)

    @cached_property
    def gvk(self) -> GVK:
        return GVK(self.group, self.version, self.kind)

    @cached_property
    def api_version(self) -> str:
        return self.gvk.api_version

    @cached_property
    def store_resource(self) -> str:
        """The store's `resource` column: `group/plural`, one for all versions (`pods` in the core group is `/pods`)."""
        return self.storage_resource or f"{self.group}/{self.plural}"

    @cached_property
    def storage_gvk(self) -> GVK:
        return self.storage or self.gvk

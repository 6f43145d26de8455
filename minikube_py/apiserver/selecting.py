"""Chooses records by label and field selectors, from the index, without parsing an object."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.keys import fields_of
from minikube_py.apiserver.long_work import Slice, Turns
from minikube_py.objects.errors import BadRequest, Object
from minikube_py.objects.selectors import FieldSelector, LabelSelector
from minikube_py.resources.kind import ResourceKind
from minikube_py.store.protocol import Record

_MAX_REQUIREMENTS = 1000
"""Each is looked at for each object: this keeps one list from taking the server for itself."""
_ALWAYS = frozenset(("metadata.name", "metadata.namespace"))


@dataclass(frozen=True)
class RecordSelection:
    """Both selectors of one list or watch; `is_all` when they let everything pass."""

    labels: LabelSelector
    fields: FieldSelector
    read_fields: Callable[[Record], Mapping[str, str]] = fields_of

    @property
    def is_all(self) -> bool:
        return self.labels.is_empty and self.fields.is_empty

    def matches(self, record: Record) -> bool:
        if not self.labels.is_empty and not self.labels.matches(record.labels):
            return False
        return self.fields.is_empty or self.fields.matches(self.read_fields(record))

    def choose(self, records: Iterable[Record]) -> Iterable[Record]:
        return records if self.is_all else [r for r in records if self.matches(r)]

    async def choose_in_turns(self, records: Iterable[Record], turns: Turns) -> Iterable[Record]:
        """The same in slices: a thousand requirements on thousands of objects take seconds."""
        if self.is_all:
            return records
        chosen: list[Record] = []
        slice_ = Slice(turns)
        for record in records:
            if self.matches(record):
                chosen.append(record)
            if slice_.is_over:
                await slice_.next()
        return chosen


def parse_selection(kind: ResourceKind, label_selector: str, field_selector: str) -> RecordSelection:
    """Raises BadRequest with Kubernetes' texts for syntax errors and for fields the kind can't be selected by."""
    try:
        labels = LabelSelector.parse(label_selector)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    try:
        fields = FieldSelector.parse(field_selector)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if len(labels.requirements) + len(fields.terms) > _MAX_REQUIREMENTS:
        raise BadRequest(f"a selector may have at most {_MAX_REQUIREMENTS} requirements")
    if not fields.is_empty:
        _check_fields(kind, fields)
    return RecordSelection(labels, fields)


def selection_of(call: ApiCall) -> RecordSelection:
    info = call.info
    selection = parse_selection(call.kind, info.label_selector, info.field_selector)
    aliases = call.kind.rules.field_aliases
    if aliases and not selection.fields.is_empty:
        return replace(selection, read_fields=_aliased_fields(aliases))
    if not call.kind.custom or selection.fields.is_empty or call.kind.rules.fields is None:
        return selection
    return replace(selection, read_fields=_custom_fields(call, call.kind.rules.fields))


def _aliased_fields(aliases: Mapping[str, str]) -> Callable[[Record], Mapping[str, str]]:
    def read(record: Record) -> Mapping[str, str]:
        fields = fields_of(record)
        return {**fields, **{alias: fields.get(name, "") for alias, name in aliases.items()}}

    return read


def _custom_fields(call: ApiCall, read: Callable[[Object], Mapping[str, str]]) -> Callable[[Record], Mapping[str, str]]:
    """Selectable fields of a custom kind come from the object: the index knows those of another schema perhaps."""
    kind, records = call.kind, call.context.records
    return lambda record: {**fields_of(record), **read(records.shared(kind, record))}


def _check_fields(kind: ResourceKind, fields: FieldSelector) -> None:
    known = _known_fields(kind)
    for key in sorted(fields.keys()):
        if key in known:
            continue
        if kind.custom or kind.rules.fields is not None:
            raise BadRequest(f"field label not supported: {key}")
        raise BadRequest(f'"{key}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _known_fields(kind: ResourceKind) -> frozenset[str]:
    """Kinds with fields of their own that have no namespace can't be selected by one; the others can."""
    own = frozenset(kind.rules.fields({"metadata": {}})) if kind.rules.fields is not None else frozenset()
    is_strict = kind.custom or kind.rules.fields is not None
    return own | (_ALWAYS if kind.namespaced or not is_strict else frozenset(("metadata.name",)))

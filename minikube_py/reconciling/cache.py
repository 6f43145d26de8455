"""Keeps the last seen state of the objects of one informer, with indexes over them."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import orjson

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import Key as Key

IndexFn = Callable[[Object], Iterable[str]]
"""The values under which an object is found in one index; pure, and answered from the object alone."""


Objects = list[Object]
Keys = list[Key]


def key_of(obj: Object) -> Key:
    """The key of an API object."""
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


class CacheMutated(AssertionError):
    """Somebody changed an object that a cache handed out; objects in caches are shared and read-only."""


_detects_mutations = False


def set_mutation_detection(enabled: bool) -> None:
    """Make caches created from now on notice that a shared object was changed (tests)."""
    global _detects_mutations
    _detects_mutations = enabled


class Cache:
    """Objects by key, by namespace and by index. What it hands out is shared: read it, never change it."""

    def __init__(self, indexers: Mapping[str, IndexFn] | None = None) -> None:
        self._namespaces: dict[str, dict[str, Object]] = {}
        self._indexers: dict[str, IndexFn] = {}
        self._indexes: dict[str, dict[str, dict[Key, Object]]] = {}
        self._count = 0
        self._prints: dict[Key, bytes] | None = {} if _detects_mutations else None
        for name, indexer in (indexers or {}).items():
            self.add_indexer(name, indexer)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Object]:
        for objects in self._namespaces.values():
            yield from objects.values()

    def get(self, namespace: str, name: str) -> Object | None:
        objects = self._namespaces.get(namespace)
        return objects.get(name) if objects else None

    def list(self, namespace: str = "") -> Objects:
        """All objects of one namespace; of all namespaces (and cluster-scoped ones) for ''."""
        if namespace:
            return list(self._namespaces.get(namespace, {}).values())
        return list(self)

    def by_index(self, index: str, value: str) -> Objects:
        """The objects that the indexer named `index` puts under `value`."""
        return list(self._indexes[index].get(value, {}).values())

    def keys(self) -> Keys:
        return [Key(namespace, name) for namespace, objects in self._namespaces.items() for name in objects]

    def add_indexer(self, name: str, indexer: IndexFn) -> None:
        """Add an index; one that exists already under this name is kept."""
        if name in self._indexers:
            return
        self._indexers[name] = indexer
        index = self._indexes[name] = {}
        for obj in self:
            for value in indexer(obj):
                index.setdefault(value, {})[key_of(obj)] = obj

    def put(self, obj: Object) -> Object | None:
        """Store an object; the one it replaces."""
        key = key_of(obj)
        objects = self._namespaces.setdefault(key.namespace, {})
        previous = objects.get(key.name)
        self._forget(key, previous)
        objects[key.name] = obj
        self._count += previous is None
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(obj):
                index.setdefault(value, {})[key] = obj
        if self._prints is not None:
            self._prints[key] = _fingerprint(obj)
        return previous

    def remove(self, key: Key) -> Object | None:
        """Drop an object; the one that was there."""
        objects = self._namespaces.get(key.namespace, {})
        previous = objects.get(key.name)
        if previous is None:
            return None
        self._forget(key, previous)
        del objects[key.name]
        if not objects:
            del self._namespaces[key.namespace]
        self._count -= 1
        return previous

    def verify_unchanged(self) -> None:
        """Raise CacheMutated if an object was changed since it was put (only with mutation detection on)."""
        for key in self.keys():
            self._verify(key, self._namespaces[key.namespace][key.name])

    def _forget(self, key: Key, previous: Object | None) -> None:
        if previous is None:
            return
        self._verify(key, previous)
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(previous):
                entries = index.get(value)
                if entries is not None:
                    entries.pop(key, None)
                    if not entries:
                        del index[value]

    def _verify(self, key: Key, obj: Object) -> None:
        if self._prints is None or key not in self._prints:
            return
        was, now = self._prints[key], _fingerprint(obj)
        if was != now:
            raise CacheMutated(f"{obj.get('kind')} {key} was changed in the cache:\n{was.decode()}\n{now.decode()}")


def _fingerprint(obj: Object) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)

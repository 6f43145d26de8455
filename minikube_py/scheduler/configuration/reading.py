"""Makes profiles of a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1).

Source: the kube-scheduler configuration reference. What has no meaning in this process (leaderElection,
clientConnection, parallelism, profiling) is accepted without effect; extenders are refused.
"""

from collections.abc import Iterator
from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.scheduler.configuration.arguments import read_arguments
from minikube_py.scheduler.configuration.building import build_profile
from minikube_py.scheduler.configuration.plugins import PLUGINS, enabled_plugins
from minikube_py.scheduler.configuration.settings import ConfigurationError, SchedulerConfiguration
from minikube_py.scheduler.profile import DEFAULT_SCHEDULER, Profile

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"
_WITHOUT_EFFECT = {
    "parallelism", "leaderElection", "clientConnection", "enableProfiling", "enableContentionProfiling",
    "delayCacheUntilActive",
}  # fmt: skip
_OF_CONFIGURATION = {
    "apiVersion", "kind", "profiles", "percentageOfNodesToScore", "podInitialBackoffSeconds", "podMaxBackoffSeconds",
    "extenders",
}  # fmt: skip
_OF_PROFILE = {"schedulerName", "plugins", "pluginConfig", "percentageOfNodesToScore"}


def read_configuration(tree: Any) -> SchedulerConfiguration:
    """A decoded configuration file. Raises ConfigurationError."""
    if not isinstance(tree, dict):
        raise ConfigurationError("it is not an object")
    if tree.get("apiVersion") != API_VERSION or tree.get("kind") != KIND:
        found = f"{tree.get('apiVersion', '')}, {tree.get('kind', '')}"
        raise ConfigurationError(f"it must be of kind {KIND} and apiVersion {API_VERSION}, not {found}")
    errors, top = FieldErrors(), Path("")
    try:
        found_all = _read(tree, top, errors)
    except (AttributeError, TypeError, KeyError) as error:
        raise ConfigurationError(f"a value is of the wrong type: {error}") from None
    if errors:
        raise ConfigurationError("; ".join(f"{cause.field}: {cause.message}" for cause in errors.causes))
    return found_all


def _read(tree: Object, top: Path, errors: FieldErrors) -> SchedulerConfiguration:
    _only(tree, _OF_CONFIGURATION | _WITHOUT_EFFECT, top, errors)
    if tree.get("extenders"):
        errors.forbidden(top.child("extenders"), "extenders are not supported")
    percent = _percent(tree, top, errors) or 0
    first, longest = tree.get("podInitialBackoffSeconds") or 1, tree.get("podMaxBackoffSeconds") or 10
    if first <= 0:
        errors.invalid(top.child("podInitialBackoffSeconds"), first, "must be greater than 0")
    if longest < first:
        why = "must be greater than or equal to PodInitialBackoffSeconds"
        errors.invalid(top.child("podMaxBackoffSeconds"), longest, why)
    profiles = tuple(_profiles(tree.get("profiles") or [{}], percent, top.child("profiles"), errors))
    return SchedulerConfiguration(profiles, float(first), float(longest))


def _only(tree: Object, known: set[str], path: Path, errors: FieldErrors) -> None:
    for name in sorted(tree.keys() - known):
        errors.forbidden(path.child(name), "unknown field")


def _percent(tree: Object, path: Path, errors: FieldErrors) -> int | None:
    value = tree.get("percentageOfNodesToScore")
    if value is not None and (not isinstance(value, int) or not 0 <= value <= 100):
        errors.invalid(path.child("percentageOfNodesToScore"), value, "not in valid range [0-100]")
        return None
    return value


def _profiles(entries: list[Object], percent: int, path: Path, errors: FieldErrors) -> Iterator[Profile]:
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries):
        place = path.index(number)
        _only(entry, _OF_PROFILE, place, errors)
        name = entry.get("schedulerName") or (DEFAULT_SCHEDULER if len(entries) == 1 else "")
        if not name:
            errors.required(place.child("schedulerName"))
        elif name in seen:
            errors.duplicate(place.child("schedulerName"), f"profiles[{seen[name]}].schedulerName")
        seen[name] = number
        plugins = enabled_plugins(entry.get("plugins") or {}, place.child("plugins"), errors)
        arguments = _arguments(entry, place.child("pluginConfig"), errors)
        own = _percent(entry, place, errors)
        if not errors:
            yield build_profile(name, plugins, arguments, percent if own is None else own)


def _arguments(entry: Object, path: Path, errors: FieldErrors) -> dict[str, Object]:
    """The arguments of every plugin by its name, the defaults included."""
    given: dict[str, tuple[Object, Path]] = {}
    for number, config in enumerate(entry.get("pluginConfig") or ()):
        name, place = config.get("name"), path.index(number)
        if name not in PLUGINS:
            errors.invalid(place.child("name"), name, "plugin does not exist")
        elif name in given:
            errors.duplicate(place, name)
        else:
            given[name] = config.get("args") or {}, place.child("args")
    return {name: read_arguments(name, *given.get(name, ({}, path)), errors) for name in PLUGINS}

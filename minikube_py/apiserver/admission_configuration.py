"""Reads the file that configures admission plugins: apiserver.config.k8s.io/v1 AdmissionConfiguration.

Source: the admission controllers reference page, `--admission-control-config-file`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minikube_py.apiserver import yaml_codec
from minikube_py.objects.errors import ApiError

_API_VERSION, _KIND = "apiserver.config.k8s.io/v1", "AdmissionConfiguration"
_PLUGIN_FIELDS = frozenset(("name", "path", "configuration"))


def load_configuration(file: Path) -> Mapping[str, Any]:
    """Each plugin's configuration by the plugin's name. Raises ValueError with one sentence."""
    tree = _read(file)
    try:
        return dict(_plugins(tree, file.parent))
    except _Wrong as wrong:
        raise ValueError(f"the admission configuration {file} can't be used: {wrong}") from None


class _Wrong(Exception):
    """What is wrong with the file."""


def _plugins(tree: Any, directory: Path) -> list[tuple[str, Any]]:
    if not isinstance(tree, dict) or (tree.get("apiVersion"), tree.get("kind")) != (_API_VERSION, _KIND):
        raise _Wrong(f"it must be of kind {_KIND} and apiVersion {_API_VERSION}")
    found: list[tuple[str, Any]] = []
    for index, plugin in enumerate(tree.get("plugins") or []):
        if not isinstance(plugin, dict) or not isinstance(plugin.get("name"), str):
            raise _Wrong(f"plugins[{index}].name: Required value")
        unknown = plugin.keys() - _PLUGIN_FIELDS
        if unknown:
            raise _Wrong(f'unknown field "plugins[{index}].{min(unknown)}"')
        configuration = plugin.get("configuration")
        if configuration is None and plugin.get("path"):
            configuration = _read(directory / str(plugin["path"]))
        if configuration is not None and not isinstance(configuration, dict):
            raise _Wrong(f"plugins[{index}].configuration: must be an object")
        if plugin["name"] in dict(found):
            raise _Wrong(f'plugins[{index}].name: Duplicate value: "{plugin["name"]}"')
        found.append((plugin["name"], configuration or {}))
    return found


def _read(file: Path) -> Any:
    try:
        return yaml_codec.load(file.read_bytes())[0]
    except OSError as error:
        raise ValueError(f"cannot read the admission configuration {file}: {error.strerror or error}") from None
    except ApiError as error:
        raise ValueError(f"the admission configuration {file} is not YAML: {error.message}") from None

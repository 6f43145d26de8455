"""Reads the file of `--kube-scheduler-config`."""

from pathlib import Path

from minikube_py.apiserver import yaml_codec
from minikube_py.objects.errors import ApiError
from minikube_py.scheduler.configuration.reading import read_configuration
from minikube_py.scheduler.configuration.settings import ConfigurationError, SchedulerConfiguration


def read_scheduling(path: Path) -> SchedulerConfiguration:
    """What the file says. Raises RuntimeError with one sentence."""
    try:
        tree, duplicates = yaml_codec.load(path.read_bytes())
        if duplicates:
            raise ConfigurationError(f"duplicate field {duplicates[0]}")
        return read_configuration(tree)
    except OSError as error:
        raise RuntimeError(f"cannot read --kube-scheduler-config {path}: {error.strerror or error}") from None
    except ApiError as error:
        raise RuntimeError(f"--kube-scheduler-config {path} is not YAML: {error.message}") from None
    except ConfigurationError as error:
        raise RuntimeError(f"--kube-scheduler-config {path} can't be used: {error}") from None

"""`mkube version`: the versions of mkube and of the Kubernetes API it serves."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import click

from minikube_py.resources.kubernetes_version import GIT_VERSION


@click.command()
def version() -> None:
    """Print mkube's and Kubernetes' versions."""
    try:
        own = installed_version("mkube")
    except PackageNotFoundError:
        own = "(not installed)"
    click.echo(f"mkube {own}")
    click.echo(f"Kubernetes API {GIT_VERSION}")

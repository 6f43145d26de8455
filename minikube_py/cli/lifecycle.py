"""`mkube stop`, `down` and `delete`: end the server, its pods too, or everything that it ever made."""

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import click

from minikube_py.bootstrap.cluster_files import ClusterFiles, ServerRecord
from minikube_py.bootstrap.host_claims import HostClaims
from minikube_py.cli.options import data_dir, flag
from minikube_py.kubelet.pod_volumes import remove_node_files
from minikube_py.kubelet.runtimes.docker_cleanup import remove_everything, remove_host_network, remove_pods
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure
from minikube_py.leftovers import remove_leftovers

STOP_SECONDS = 30.0


def stop_server(files: ClusterFiles) -> ServerRecord | None:
    """End the process that runs on this data directory and wait for it; the record of the last server, if any."""
    record = files.running_record()
    if record is None:
        return files.read_record()
    os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while files.running_record() is not None:
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"The server (process {record.pid}) did not end within {STOP_SECONDS:.0f} s after SIGTERM."
            )
        time.sleep(0.05)
    return record


def _uses_docker(record: ServerRecord | None) -> bool:
    return record is not None and record.container_runtime == "docker" and bool(record.node_names)


def _check_rights(files: ClusterFiles, command: str) -> None:
    """Before anything is stopped: networks of pods are made, and removed, by root only."""
    if _uses_docker(files.read_record()) and os.geteuid() != 0:
        raise click.ClickException(f"Only root can remove the network of real pods: use sudo mkube {command}.")


def _engine(record: ServerRecord | None, docker_host: str) -> str:
    return docker_host or (record.docker_host if record else "")


@click.command()
@data_dir
def stop(data_dir: Path) -> None:
    """Stop the server only; pods keep running."""
    files = ClusterFiles(data_dir.absolute())
    if files.running_record() is None:
        click.echo(f"No server runs on {files.data_dir}.")
        return
    stop_server(files)
    click.echo("Stopped. Pods keep running; `mkube server` takes them over again.")


@click.command()
@data_dir
@flag("--docker-host", default="", show_default="the one the server used", help="The Docker engine to clean up.")
def down(data_dir: Path, docker_host: str) -> None:
    """Stop the server and its pods; keep the data."""
    files = ClusterFiles(data_dir.absolute())
    if not files.exists():
        click.echo(f"No cluster in {files.data_dir}.")
        return
    _check_rights(files, "down")
    record = stop_server(files)
    removed = 0
    if _uses_docker(record):
        removed = asyncio.run(_remove_pods(files.cluster_id(), _engine(record, docker_host)))
    click.echo(f"Down. Removed {removed} container{'' if removed == 1 else 's'}; the data is kept in {files.data_dir}.")


@click.command()
@data_dir
@flag("--docker-host", default="", show_default="the one the server used", help="The Docker engine to clean up.")
@click.option("--volumes", is_flag=True, help="Also delete the volumes that claims were given.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(data_dir: Path, docker_host: str, volumes: bool, yes: bool) -> None:
    """Remove the cluster: pods, network, data; everything labelled."""
    files = ClusterFiles(data_dir.absolute())
    _clear_leftovers()
    if not files.exists():
        click.echo(f"No cluster in {files.data_dir}.")
        return
    _check_rights(files, "delete")
    if not yes:
        click.confirm(f"Delete the cluster in {files.data_dir} with all its data?", abort=True)
    record = stop_server(files)
    if _uses_docker(record):
        asyncio.run(_remove_everything(files.cluster_id(), _engine(record, docker_host)))
        HostClaims().drop(files.cluster_id())
    _remove_data(files, keep_volumes=not volumes)
    click.echo("Deleted.")


async def _remove_pods(cluster_id: str, docker_host: str) -> int:
    try:
        removed = await remove_pods(cluster_id, docker_host)
        await remove_host_network(cluster_id)
    except RuntimeFailure as failure:
        raise click.ClickException(f"The pods could not be removed: {failure.message}") from None
    return removed


async def _remove_everything(cluster_id: str, docker_host: str) -> None:
    try:
        await remove_everything(cluster_id, docker_host)
        await remove_host_network(cluster_id)
    except RuntimeFailure as failure:
        raise click.ClickException(f"Docker could not be cleaned up: {failure.message}") from None


def _clear_leftovers() -> None:
    """Of clusters whose data directory was removed by hand, so that nobody can delete them any more."""
    for claim in asyncio.run(remove_leftovers(HostClaims())):
        click.echo(f"Removed what the cluster of {claim.data_dir}, which is gone, had left on this machine.")


def _remove_data(files: ClusterFiles, *, keep_volumes: bool) -> None:
    """Everything in the data directory; volumes of claims stay unless they are to go."""
    for directory in _children(files.nodes_dir):
        remove_node_files(directory)
    kept = files.volumes_dir if keep_volumes and any(_children(files.volumes_dir)) else None
    for entry in _children(files.data_dir):
        if entry == kept:
            click.echo(f"Volumes are kept in {kept}.")
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if kept is None:
        files.data_dir.rmdir()


def _children(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []

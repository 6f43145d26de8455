"""`mkube kubeconfig`: print the admin kubeconfig, or merge it into the user's own."""

import os
from pathlib import Path

import click

from minikube_py.bootstrap.cluster_files import ClusterFiles
from minikube_py.bootstrap.kubeconfig import KubeconfigEntry, KubeconfigError, merge_kubeconfig, render_kubeconfig
from minikube_py.bootstrap.pki import Pki, PkiOptions
from minikube_py.cli.options import data_dir


def _entry(files: ClusterFiles) -> KubeconfigEntry:
    record = files.read_record()
    if record is None:
        raise click.ClickException(f"No cluster in {files.data_dir}: run `mkube server` first.")
    pki = Pki(PkiOptions(files.pki_dir))
    return KubeconfigEntry(record.url, pki.server_ca_pem, token=pki.admin_token)


@click.command()
@data_dir
@click.option("--merge", is_flag=True, help="Add the cluster to your kubeconfig instead of printing it.")
@click.option("--use", is_flag=True, help="With --merge, also make it the current context.")
def kubeconfig(data_dir: Path, merge: bool, use: bool) -> None:
    """Print the admin kubeconfig, or merge it into yours."""
    entry = _entry(ClusterFiles(data_dir.absolute()))
    if not merge:
        click.echo(render_kubeconfig(entry), nl=False)
        return
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    target = Path(first) if first else Path.home() / ".kube" / "config"
    try:
        merge_kubeconfig(target, entry, use_context=use)
    except KubeconfigError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Context {entry.name!r} is in {target}.")

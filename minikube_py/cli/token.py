"""`mkube token`: make, list and delete the tokens that agents join with."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from minikube_py.bootstrap.cluster_files import ClusterFiles
from minikube_py.bootstrap.join import create_join_token, delete_join_token, list_join_tokens
from minikube_py.bootstrap.pki import Pki, PkiOptions
from minikube_py.cli.options import data_dir, parse_duration
from minikube_py.client.http import HttpClient, HttpClientOptions
from minikube_py.client.protocol import Client
from minikube_py.objects.errors import ApiError

T = TypeVar("T")


def _call(folder: Path, action: Callable[[Client, Pki], Awaitable[T]]) -> T:
    """Run one action against the server of this data directory as its admin."""
    files = ClusterFiles(folder.absolute())
    record = files.running_record()
    if record is None:
        raise click.ClickException(f"No server runs on {files.data_dir}: start it with `mkube server`.")
    pki = Pki(PkiOptions(files.pki_dir))
    context = ssl.create_default_context(cadata=pki.server_ca_pem.decode())
    options = HttpClientOptions(record.url, ssl_context=context, token=pki.admin_token, user_agent="mkube-token")

    async def run() -> T:
        async with HttpClient(options) as client:
            return await action(client, pki)

    try:
        return asyncio.run(run())
    except ApiError as error:
        raise click.ClickException(error.message) from None


def _url(folder: Path) -> str:
    record = ClusterFiles(folder.absolute()).read_record()
    return record.url if record else ""


@click.group()
def token() -> None:
    """Make, list and delete the tokens that agents join with."""


@token.command()
@data_dir
@click.option("--ttl", default="1h", show_default=True, help="How long it is good for; 0 for ever.")
@click.option("--description", default="", help="A note to know it by.")
@click.option("--quiet", is_flag=True, help="Print the token only.")
def create(data_dir: Path, ttl: str, description: str, quiet: bool) -> None:
    """Make a token and print the command that joins a machine."""
    lifetime = parse_duration(ttl)
    made = _call(
        data_dir,
        lambda client, pki: create_join_token(client, pki.server_ca_pem, ttl=lifetime, description=description),
    )
    if quiet:
        click.echo(str(made))
        return
    click.echo(f"mkube agent --server {_url(data_dir)} --token {made}")


@token.command("list")
@data_dir
def list_tokens(data_dir: Path) -> None:
    """List the tokens, without their secrets."""
    rows = _call(data_dir, lambda client, _pki: list_join_tokens(client))
    click.echo(f"{'ID':<8} {'EXPIRES':<22} {'USAGES':<26} DESCRIPTION")
    for row in rows:
        expires = (row.expires or "never") + (" (expired)" if row.is_expired else "")
        click.echo(f"{row.token_id:<8} {expires:<22} {','.join(row.usages):<26} {row.description}")


@token.command()
@data_dir
@click.argument("token_id")
def delete(data_dir: Path, token_id: str) -> None:
    """Delete a token, named by its ID or in full."""
    _call(data_dir, lambda client, _pki: delete_join_token(client, token_id))
    click.echo("Token deleted.")

"""`mkube agent`: flags to an AgentConfig, then the node until Ctrl-C."""

from pathlib import Path

import click

from minikube_py.cli.options import data_dir, flag, runtime_flags
from minikube_py.cli.run_process import run_until_signal
from minikube_py.config import AgentConfig, ConfigError


@click.command()
@flag("--server", required=True, metavar="URL", help="The server's URL, as `mkube token create` prints it.")
@flag("--token", required=True, help="The join token, as `mkube token create` prints it.")
@data_dir
@runtime_flags
@flag(
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), default="WARNING", help="How much to log."
)
def agent(
    server: str,
    token: str,
    data_dir: Path,
    node_name: str,
    container_runtime: str,
    docker_host: str,
    log_level: str,
) -> None:
    """Join this machine to a cluster and run pods for it."""
    try:
        config = AgentConfig(server, token, data_dir.absolute(), node_name, container_runtime, docker_host)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    from minikube_py.agent import run_agent  # noqa: PLC0415 (a wrong flag is told without loading the node)

    run_until_signal(run_agent(config), log_level)

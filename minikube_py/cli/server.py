"""`mkube server`: flags to a ServerConfig, then the server until Ctrl-C."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from minikube_py.cli.access_options import access_flags, access_settings
from minikube_py.cli.options import data_dir, flag, parse_duration, runtime_flags
from minikube_py.cli.run_process import run_until_signal
from minikube_py.config import ConfigError, NetworkConfig, ServerConfig, parse_node_limits, parse_runtime_config

_FOR_EVER = timedelta(days=36500)


@click.command()
@data_dir
@flag("--bind-address", default="127.0.0.1", help="The address that the API listens on.")
@flag("--https-listen-port", type=int, default=6443, help="The port that the API listens on; 0 picks a free one.")
@runtime_flags
@flag("--nodes", type=int, default=1, help="How many nodes to run on the one engine.")
@flag("--fake-nodes", type=int, default=0, help="How many simulated nodes to add.")
@flag(
    "--autoscale-nodes",
    default="",
    show_default="off",
    metavar="MIN:MAX",
    help="Add nodes for pods that fit nowhere, and remove empty ones.",
)
@flag(
    "--scale-down-unneeded-time",
    default="10m",
    metavar="DURATION",
    help="How long a node must be empty before the autoscaler removes it.",
)
@flag("--disable-agent", is_flag=True, help="Run the control plane without a node.")
@flag("--cluster-cidr", default="10.42.0.0/16", help="The range of pod addresses; the next free one where it is taken.")
@flag("--service-cidr", default="10.43.0.0/16", help="The range of Service addresses; likewise.")
@flag(
    "--load-balancer-cidr",
    default="10.44.0.0/24",
    help="The range of addresses for Services of type LoadBalancer; '' gives none.",
)
@flag(
    "--load-balancer-address",
    default="127.0.0.1",
    help="The address of this machine that their TCP ports are opened on as well; '' for none.",
)
@flag("--cluster-dns", default="10.43.0.10", help="The address of cluster DNS.")
@flag("--cluster-domain", default="cluster.local", help="The cluster's DNS domain.")
@flag(
    "--write-kubeconfig",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    show_default="<data-dir>/kubeconfig",
    help="Where to write the admin kubeconfig.",
)
@flag("--token", default="", show_default=False, metavar="ID.SECRET", help="A join token that does not expire.")
@flag("--tls-san", multiple=True, help="A further name or address for the server's certificate.")
@flag(
    "--datastore-endpoint",
    default="",
    show_default="SQLite in the data directory",
    metavar="URL",
    help="Where objects are kept; memory:// keeps nothing.",
)
@flag("--runtime-config", default="", metavar="GROUP/VERSION=true|false,...", help="API versions to switch on or off.")
@flag(
    "--kube-scheduler-config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    show_default="Kubernetes' defaults",
    metavar="FILE",
    help="Scheduling profiles (kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration).",
)
@flag("--event-ttl", default="168h", metavar="TIME", help="How long Events are kept; 0 is for ever.")
@access_flags
@flag(
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), default="WARNING", help="How much to log."
)
def server(
    data_dir: Path,
    bind_address: str,
    https_listen_port: int,
    node_name: str,
    container_runtime: str,
    docker_host: str,
    nodes: int,
    fake_nodes: int,
    autoscale_nodes: str,
    scale_down_unneeded_time: str,
    disable_agent: bool,
    cluster_cidr: str,
    service_cidr: str,
    load_balancer_cidr: str,
    load_balancer_address: str,
    cluster_dns: str,
    cluster_domain: str,
    write_kubeconfig: Path | None,
    token: str,
    tls_san: tuple[str, ...],
    datastore_endpoint: str,
    runtime_config: str,
    kube_scheduler_config: Path | None,
    event_ttl: str,
    log_level: str,
    **access: Any,
) -> None:
    """Run a cluster in the foreground until Ctrl-C."""
    try:
        config = ServerConfig(
            data_dir=data_dir.absolute(),
            bind_address=bind_address,
            https_listen_port=https_listen_port,
            node_name=node_name,
            container_runtime=container_runtime,
            docker_host=docker_host,
            nodes=nodes,
            fake_nodes=fake_nodes,
            load_balancer_address=load_balancer_address,
            autoscale_nodes=parse_node_limits(autoscale_nodes),
            scale_down_unneeded_seconds=(parse_duration(scale_down_unneeded_time) or timedelta()).total_seconds(),
            disable_agent=disable_agent,
            network=NetworkConfig(cluster_cidr, service_cidr, cluster_dns, cluster_domain, load_balancer_cidr),
            has_named_ranges=_has_named_ranges(),
            write_kubeconfig=write_kubeconfig,
            token=token,
            tls_sans=tls_san,
            datastore_endpoint=datastore_endpoint,
            runtime_config=parse_runtime_config(runtime_config),
            kube_scheduler_config=kube_scheduler_config.absolute() if kube_scheduler_config is not None else None,
            event_ttl_seconds=(parse_duration(event_ttl) or _FOR_EVER).total_seconds(),
            **access_settings(access),
        )
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    from minikube_py.server import run_server  # noqa: PLC0415 (a wrong flag is told without loading the server)

    # Not with real nodes yet: uvloop fails where a host tool ends before it has read its input (netlink is in threads).
    has_real_nodes = config.container_runtime == "docker" and bool(config.node_names)
    run_until_signal(run_server(config), log_level, may_use_uvloop=not has_real_nodes)


def _has_named_ranges() -> bool:
    context = click.get_current_context()
    names = ("cluster_cidr", "service_cidr", "cluster_dns", "load_balancer_cidr")
    return any(context.get_parameter_source(name) is not ParameterSource.DEFAULT for name in names)

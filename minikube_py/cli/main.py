"""The `mkube` command: a group that loads each command's module only when it is called."""

import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "agent": ("minikube_py.cli.agent", "agent", "Join this machine to a cluster and run pods for it."),
    "delete": ("minikube_py.cli.lifecycle", "delete", "Remove the cluster: pods, network, data; everything labelled."),
    "down": ("minikube_py.cli.lifecycle", "down", "Stop the server and its pods; keep the data."),
    "kubeconfig": ("minikube_py.cli.kubeconfig", "kubeconfig", "Print the admin kubeconfig, or merge it into yours."),
    "server": ("minikube_py.cli.server", "server", "Run a cluster in the foreground until Ctrl-C."),
    "stop": ("minikube_py.cli.lifecycle", "stop", "Stop the server only; pods keep running."),
    "token": ("minikube_py.cli.token", "token", "Make, list and delete the tokens that agents join with."),
    "version": ("minikube_py.cli.version", "version", "Print mkube's and Kubernetes' versions."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and one-line help, so that `mkube version` imports no server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A Kubernetes cluster in one process, with pods in the Docker engine you already have."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. Exit codes: 0 clean, 1 a failure told in one sentence, 2 wrong usage."""
    try:
        return cli.main(args=arguments, prog_name="mkube", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


if __name__ == "__main__":
    main()

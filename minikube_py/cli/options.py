"""Declares the flags that several commands share; each has an environment variable MKUBE_<FLAG>."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from minikube_py.config import RUNTIMES, default_data_dir

F = TypeVar("F", bound=Callable[..., Any])


def flag(name: str, **settings: Any) -> Callable[[F], F]:
    """A click option whose environment variable is MKUBE_ and the flag's name."""
    variable = "MKUBE_" + name.removeprefix("--").upper().replace("-", "_")
    settings.setdefault("show_default", True)
    return click.option(name, envvar=variable, **settings)


def data_dir(function: F) -> F:
    return flag(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=default_data_dir,
        show_default="/var/lib/mkube as root, else ~/.local/share/mkube",
        help="Where the cluster's database, keys and volumes are.",
    )(function)


def runtime_flags(function: F) -> F:
    """--node-name, --container-runtime and --docker-host, which server and agent share."""
    for option in (
        flag("--docker-host", default="", show_default="DOCKER_HOST, the Docker context, or a known socket",
             metavar="URL", help="The Docker engine to use."),
        flag("--container-runtime", type=click.Choice(RUNTIMES), default="docker",
             help="What runs the pods; fake needs no Docker and only pretends to."),
        flag("--node-name", default="", show_default="this machine's host name", metavar="NAME",
             help="The node's name in the cluster."),
    ):  # fmt: skip
        function = option(function)
    return function


def parse_duration(text: str) -> timedelta | None:
    """`30m`, `24h`, `1h30m`; `0` means no end. Raises click.BadParameter."""
    if text == "0":
        return None
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.BadParameter(f"{text!r} is not a duration such as 30m, 24h or 0")
    return timedelta(seconds=sum(int(number) * units[unit] for number, unit in parts))

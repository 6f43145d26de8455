"""Lists every controller by name; a new one is a file here and a line in this table."""

from collections.abc import Callable

from minikube_py.controllers.context import ControllerContext
from minikube_py.reconciling.controller import Controller

CONTROLLERS: dict[str, Callable[[ControllerContext], Controller]] = {}

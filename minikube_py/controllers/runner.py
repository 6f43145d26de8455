"""Runs the catalog's controllers side by side until cancelled."""

import asyncio
from collections.abc import Collection

from minikube_py.controllers.catalog import CONTROLLERS
from minikube_py.controllers.context import ControllerContext
from minikube_py.reconciling.controller import run_controller


async def run_controllers(context: ControllerContext, *, disabled: Collection[str] = ()) -> None:
    """Run every controller that is not in `disabled`. The caller runs context.informers."""
    async with asyncio.TaskGroup() as group:
        for name, make in CONTROLLERS.items():
            if name not in disabled:
                running = run_controller(make(context), workers=context.options.workers, table=context.queues)
                group.create_task(running, name=f"controller {name}")

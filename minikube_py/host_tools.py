"""Runs the host's own network tools (nft, iptables, conntrack) as processes, on the loop and never through a shell."""

import asyncio
import shutil
from collections.abc import Sequence


class ToolError(Exception):
    """A tool is missing or ended with an error; the text is what it printed."""


async def run_tool(arguments: Sequence[str], standard_input: str = "") -> str:
    """Run the tool to its end and return what it printed. Raises ToolError."""
    program = find_tool(arguments[0])
    if program is None:
        raise ToolError(f"{arguments[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(standard_input.encode())
    except asyncio.CancelledError:
        # Let it finish: half a rule set is never applied, and a killed nft could leave its lock behind.
        await process.wait()
        raise
    if process.returncode != 0:
        raise ToolError(f"{' '.join(arguments)}: {errors.decode('utf-8', 'replace').strip()}")
    return output.decode("utf-8", "replace")


def find_tool(name: str) -> str | None:
    """The tool's path; the administrator's directories count even when PATH lacks them."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")

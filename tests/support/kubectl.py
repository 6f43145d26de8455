"""Runs the stock kubectl against a server of the test's own loop."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 60


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """Commands with one kubeconfig. Its cache is its own, so that no test sees another's discovery."""

    kubeconfig: Path

    def environment(self, extra: dict[str, str]) -> dict[str, str]:
        home = self.kubeconfig.parent / "home"
        home.mkdir(exist_ok=True)
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(home), **extra}

    async def run(self, *arguments: str, stdin: str | None = None, **extra: str) -> Result:
        """The command's end, however it ends."""
        process = await asyncio.create_subprocess_exec(
            "kubectl", *arguments, env=self.environment(extra),
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_SECONDS):
                out, err = await process.communicate(stdin.encode() if stdin is not None else None)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"kubectl {' '.join(arguments)} did not end") from None
        return Result(process.returncode or 0, out.decode(), err.decode())

    async def __call__(self, *arguments: str, stdin: str | None = None, **extra: str) -> str:
        """The output of a command that has to succeed."""
        result = await self.run(*arguments, stdin=stdin, **extra)
        assert result.code == 0, f"kubectl {' '.join(arguments)}: {result.err}{result.out}"
        return result.out

    async def fails(self, *arguments: str, stdin: str | None = None) -> str:
        """The error text of a command that has to fail."""
        result = await self.run(*arguments, stdin=stdin)
        assert result.code != 0, f"kubectl {' '.join(arguments)} succeeded: {result.out}"
        return result.err

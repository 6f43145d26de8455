"""Answers /livez, /readyz and /healthz from a list of named checks, and /version."""

import platform
from collections.abc import Callable
from urllib.parse import parse_qsl

from minikube_py.apiserver.codecs import encode, negotiate
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.objects.errors import NotFound

KUBERNETES_VERSION = "v1.37.0"
BUILD_DATE = "2026-08-26T00:00:00Z"

Check = Callable[[], str]
"""'' when all is well, else what is wrong."""


class Health:
    """Checks by name, in order. /readyz asks all of them, /livez and /healthz only those that mean life."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": lambda: ""}
        self._ready_only: set[str] = set()

    def add(self, name: str, check: Check, *, ready_only: bool = False) -> None:
        self._checks[name] = check
        if ready_only:
            self._ready_only.add(name)

    def results(self) -> dict[str, tuple[bool, bool]]:
        """By name: whether the check also means life, and whether all is well."""
        return {name: (name not in self._ready_only, not check()) for name, check in self._checks.items()}

    async def ready(self, request: HttpRequest) -> Reply:
        return self._answer(request, "readyz", self._checks)

    async def live(self, request: HttpRequest) -> Reply:
        checks = {name: check for name, check in self._checks.items() if name not in self._ready_only}
        return self._answer(request, "livez" if request.path.startswith("/livez") else "healthz", checks)

    def _answer(self, request: HttpRequest, endpoint: str, checks: dict[str, Check]) -> Reply:
        single = request.path.strip("/").partition("/")[2]
        if single:
            if single not in checks:
                raise NotFound("the server could not find the requested resource", details={})
            checks = {single: checks[single]}
        excluded = [v for k, v in parse_qsl(request.exchange.raw_query, keep_blank_values=True) if k == "exclude"]
        lines: list[str] = []
        has_failed = False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = check()
            has_failed = has_failed or bool(problem)
            lines.append(f"[-]{name} failed: reason withheld" if problem else f"[+]{name} ok")
        unknown = [name for name in excluded if name not in checks]
        if unknown:
            quoted = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if has_failed:
            return _text("\n".join([*lines, f"{endpoint} check failed"]) + "\n", 500)
        if "verbose" not in request.query:
            return _text("ok", 200)
        return _text("\n".join([*lines, f"{endpoint} check passed"]) + "\n", 200)


def _text(body: str, code: int) -> Reply:
    return Reply(body.encode(), code, "text/plain; charset=utf-8", {"X-Content-Type-Options": "nosniff"})


class Version:
    """/version"""

    def __init__(self, mkube_version: str) -> None:
        self.body = {
            "major": "1",
            "minor": "37",
            "emulationMajor": "1",
            "emulationMinor": "37",
            "minCompatibilityMajor": "1",
            "minCompatibilityMinor": "36",
            "gitVersion": f"{KUBERNETES_VERSION}+mkube{mkube_version}",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": BUILD_DATE,
            "goVersion": f"python{platform.python_version()}",
            "compiler": platform.python_implementation().lower(),
            "platform": f"{platform.system().lower()}/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
        }

    async def answer(self, request: HttpRequest) -> Reply:
        form = negotiate(request.headers.get("accept", ""))
        return Reply(encode(self.body, form), content_type=form.content_type)


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

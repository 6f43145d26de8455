"""Which file of the machine a container's seccomp profile is."""

from dataclasses import replace
from pathlib import Path

import pytest

from minikube_py.kubelet.runtimes.protocol import ContainerSpec, PodRef, RuntimeFailure, Security
from minikube_py.kubelet.runtimes.seccomp_profiles import with_profile

SPEC = ContainerSpec(PodRef("u", "ns", "p"), "c", "i:1")


def named(name: str) -> ContainerSpec:
    return replace(SPEC, security=Security(seccomp=name))


async def test_the_text_takes_the_place_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "audit.json").write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    found = await with_profile(named("localhost/profiles/audit.json"), tmp_path)
    assert found.security.seccomp == '{"defaultAction": "SCMP_ACT_LOG"}'
    assert await with_profile(named("unconfined"), tmp_path) == named("unconfined")


@pytest.mark.parametrize("name", ["missing.json", "../outside.json", "link.json", "text.json"])
async def test_what_is_no_profile_there_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.json").write_text("{}")
    directory = tmp_path / "seccomp"
    directory.mkdir()
    (directory / "link.json").symlink_to("../outside.json")
    (directory / "text.json").write_text("seccomp")
    with pytest.raises(RuntimeFailure) as caught:
        await with_profile(named(f"localhost/{name}"), directory)
    assert caught.value.reason == "CreateContainerError"

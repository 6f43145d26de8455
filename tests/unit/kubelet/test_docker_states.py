"""Docker's answers, read into container states, image states and log text."""

from typing import Any

import pytest

from minikube_py.client.node_connection import ContainerAddress, LogRequest
from minikube_py.kubelet.network.address_pool import AddressPool
from minikube_py.kubelet.runtimes.container_cgroups import parse_groups
from minikube_py.kubelet.runtimes.docker_images import PullProgress, image_state, parse_reference
from minikube_py.kubelet.runtimes.docker_states import container_state, pod_states, start_error
from minikube_py.kubelet.runtimes.docker_streams import log_query, split_frames
from minikube_py.kubelet.runtimes.pause_image import pause_archive, pause_image_id, pause_program
from minikube_py.kubelet.runtimes.protocol import ImageState, RuntimeFailure

ZERO = "0001-01-01T00:00:00Z"
START, END = "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:02.123456789Z"


def inspected(status: str, **state: Any) -> dict[str, Any]:
    labels = {
        "io.mkube.pod.uid": "u",
        "io.mkube.pod.namespace": "ns",
        "io.mkube.pod.name": "p",
        "io.mkube.kind": state.pop("kind", "container"),
        "io.mkube.container": "main",
        "io.mkube.restart-count": str(state.pop("count", 0)),
        "io.mkube.pod.ip": "10.42.0.2",
    }
    times = {"StartedAt": state.pop("started", START), "FinishedAt": state.pop("finished", ZERO)}
    return {
        "Id": f"{status}-{labels['io.mkube.restart-count']}",
        "Created": "2026-01-01T00:00:00Z",
        "Image": "sha256:1",
        "Config": {"Labels": labels, "Image": "app:1"},
        "State": {"Status": status, "ExitCode": 0, "Error": "", "OOMKilled": False, **times, **state},
    }


def test_running() -> None:
    state = container_state(inspected("running"))
    assert (state.state, state.exit_code, state.finished_at) == ("running", 0, 0.0)
    assert state.started_at == 1767225600.5


def test_a_pulled_image_is_named_by_its_digest() -> None:
    found = inspected("running")
    assert container_state(found).image_id == "sha256:1"
    found["Config"]["Labels"]["io.mkube.image-digest"] = "app@sha256:2"
    assert container_state(found).image_id == "docker-pullable://app@sha256:2"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("b:1", "b@sha256:2"),
        ("r.io:5000/b", "r.io:5000/b@sha256:3"),
        ("r.io:5000/b@sha256:3", "r.io:5000/b@sha256:3"),
        ("docker.io/library/b:1", "a@sha256:1"),
    ],
)
def test_the_digest_under_the_name_that_was_asked_for(reference: str, expected: str) -> None:
    digests = ("a@sha256:1", "b@sha256:2", "r.io:5000/b@sha256:3")
    assert ImageState("sha256:0", (), digests, 1).digest_of(reference) == expected
    assert ImageState("sha256:0", (), (), 1).digest_of(reference) == ""


def test_exited_and_out_of_memory() -> None:
    state = container_state(inspected("exited", finished=END, ExitCode=137, OOMKilled=True))
    assert (state.state, state.exit_code, state.was_oom_killed) == ("exited", 137, True)
    assert state.finished_at == pytest.approx(1767225602.123456)


def test_created_is_not_an_end_unless_the_start_failed() -> None:
    assert container_state(inspected("created", started=ZERO)).state == "created"
    failed = container_state(inspected("created", started=ZERO, ExitCode=127, Error='OCI: exec: "x": not found'))
    assert (failed.state, failed.exit_code, failed.started_at) == ("exited", 128, 0.0)
    assert failed.finished_at == failed.created_at


def test_the_engines_own_lead_in_is_cut() -> None:
    text = "failed to create task for container: failed to create shim task: OCI runtime create failed: why"
    assert start_error(text) == "OCI runtime create failed: why"


def test_pods_are_grouped_and_attempts_ordered() -> None:
    pods = pod_states(
        [inspected("running", count=1), inspected("running", kind="sandbox"), inspected("exited", finished=END)]
    )
    assert len(pods) == 1
    assert [one.restart_count for one in pods[0].containers] == [0, 1]
    assert pods[0].sandboxes[0].ips == ("10.42.0.2",)
    assert pod_states([inspected("exited", kind="sandbox")])[0].sandboxes[0].ips == ()


@pytest.mark.parametrize(
    ("text", "registry", "query"),
    [
        ("busybox", "docker.io", {"fromImage": "busybox", "tag": "latest"}),
        ("team/app:1.2", "docker.io", {"fromImage": "team/app", "tag": "1.2"}),
        ("localhost:5000/app", "localhost:5000", {"fromImage": "localhost:5000/app", "tag": "latest"}),
        ("ghcr.io/a/b/c:x", "ghcr.io", {"fromImage": "ghcr.io/a/b/c", "tag": "x"}),
        ("a@sha256:" + "0" * 64, "docker.io", {"fromImage": "a", "tag": "sha256:" + "0" * 64}),
        ("a:1@sha256:" + "0" * 64, "docker.io", {"fromImage": "a", "tag": "sha256:" + "0" * 64}),
    ],
)
def test_references(text: str, registry: str, query: dict[str, str]) -> None:
    reference = parse_reference(text)
    assert (reference.registry, reference.pull_query) == (registry, query)


@pytest.mark.parametrize("text", ["", "UPPER", "a b", "a:", "../x", "a@sha256:xyz", "-a"])
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(RuntimeFailure) as failure:
        parse_reference(text)
    assert failure.value.reason == "InvalidImageName"


def test_images_without_digests_were_built_here() -> None:
    assert image_state({"Id": "sha256:1", "RepoTags": ["a:1"], "RepoDigests": [], "Size": 3}).is_local_build
    assert not image_state({"Id": "sha256:1", "RepoDigests": ["a@sha256:2"]}).is_local_build


def test_pull_progress_is_one_number_that_only_grows() -> None:
    progress = PullProgress()

    def line(layer: str, current: int) -> dict[str, Any]:
        return {"id": layer, "status": "Downloading", "progressDetail": {"current": current, "total": 100}}

    assert progress.take({"status": "Pulling from app"}) == ""
    assert progress.take(line("a", 50)) == "50%"
    assert progress.take(line("b", 0)) == ""
    assert progress.take({"id": "a", "status": "Download complete"}) == ""
    assert progress.take(line("b", 20)) == "60%"
    assert progress.take({"id": "b", "status": "Pull complete"}) == "100%"


def test_log_options() -> None:
    address = ContainerAddress("ns", "p", "u", "c")
    assert log_query(LogRequest(address)) == {
        "follow": "0",
        "stdout": "1",
        "stderr": "1",
        "timestamps": "0",
        "tail": "all",
    }
    query = log_query(LogRequest(address, follow=True, tail_lines=0, stream="Stderr", since_time=START))
    assert (query["follow"], query["tail"], query["stdout"], query["since"]) == ("1", "0", "0", "1767225600.500000000")


def test_frames_may_arrive_in_pieces() -> None:
    whole = b"\x01\0\0\0\0\0\0\x03one" + b"\x02\0\0\0\0\0\0\x03two"
    for cut in range(len(whole)):
        first, rest = split_frames(whole[:cut])
        second, left = split_frames(rest + whole[cut:])
        assert (first + second, left) == (b"onetwo", b"")


def test_cgroup_paths() -> None:
    assert parse_groups("5:memory:/docker/x\n4:cpu,cpuacct:/docker/y\n0::/\n") == {
        "memory": "/docker/x",
        "cpu": "/docker/y",
        "cpuacct": "/docker/y",
        "": "/",
    }


def test_the_pause_program_is_a_small_elf_file_for_both_machines() -> None:
    for architecture, machine in (("amd64", 62), ("arm64", 183)):
        program = pause_program(architecture)
        assert program[:4] == b"\x7fELF"
        assert int.from_bytes(program[18:20], "little") == machine
        assert len(program) < 512
    with pytest.raises(ValueError, match="s390x"):
        pause_program("s390x")


def test_the_pause_image_is_always_the_same() -> None:
    assert pause_archive("amd64") == pause_archive("amd64")
    assert pause_image_id("amd64") != pause_image_id("arm64")


def test_addresses() -> None:
    pool = AddressPool("10.42.0.0/29")
    assert pool.gateway == "10.42.0.1"
    pool.hold("10.42.0.3")
    pool.hold("192.0.2.1")
    assert [pool.reserve(uid) for uid in ("a", "b", "c", "d")] == ["10.42.0.2", "10.42.0.4", "10.42.0.5", "10.42.0.6"]
    with pytest.raises(RuntimeFailure, match="no free pod address"):
        pool.reserve("e")
    assert pool.reserve("a") == "10.42.0.2"
    pool.release("10.42.0.4")
    assert pool.reserve("e") == "10.42.0.4"


def test_a_wanted_address_is_given_when_it_is_free_or_ones_own() -> None:
    pool = AddressPool("10.42.0.0/28")
    assert pool.reserve("a", "10.42.0.5") == "10.42.0.5"
    assert pool.reserve("a", "10.42.0.5") == "10.42.0.5"
    assert pool.reserve("b", "10.42.0.5") == "10.42.0.2"
    for wrong in ("10.42.0.1", "10.42.0.15", "192.0.2.1", "nonsense"):
        assert pool.reserve(f"pod-{wrong}", wrong) not in (wrong, "10.42.0.5")

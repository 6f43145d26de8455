"""The status that pods get, case by case."""

from typing import Any

import pytest

from minikube_py.kubelet.pod_facts import Ending, Health, PodFacts, Waiting
from minikube_py.kubelet.pod_spec import qos_class
from minikube_py.kubelet.status import build_status, changes
from minikube_py.objects.errors import Object
from tests.unit.kubelet.builders import NOW, STARTING, container, facts, pod, sandbox, state

TWO = {"containers": [container("a"), container("b")]}
INIT = {"initContainers": [container("i")]}

PHASES = {
    "nothing yet": (facts(pod(), sandboxes=()), "Pending"),
    "running": (facts(pod(), state()), "Running"),
    "one of two created": (facts(pod(**TWO), state("a")), "Pending"),
    "one of two ended": (facts(pod(restartPolicy="Never", **TWO), state("a", "exited"), state("b")), "Running"),
    "about to restart": (facts(pod(), state(state="exited", exit_code=1)), "Running"),
    "init running": (facts(pod(**INIT), state("i")), "Pending"),
    "init failed once": (facts(pod(**INIT), state("i", "exited", exit_code=1)), "Pending"),
    "init failed for good": (
        facts(pod(restartPolicy="Never", **INIT), state("i", "exited", exit_code=1), is_stopped=True),
        "Failed",
    ),
    "succeeded": (facts(pod(restartPolicy="Never"), state(state="exited"), is_stopped=True), "Succeeded"),
    "not before all has stopped": (facts(pod(restartPolicy="Never"), state(state="exited")), "Running"),
    "failed": (facts(pod(restartPolicy="Never"), state(state="exited", exit_code=1), is_stopped=True), "Failed"),
    "ended by the kubelet, still stopping": (facts(pod(), state(), ending=Ending("Evicted", "no room")), "Running"),
    "ended by the kubelet": (facts(pod(), state(state="exited"), ending=Ending("Evicted", "no room")), "Failed"),
    "in its postStart hook": (facts(pod(), state(), hooked=frozenset(("c-0",))), "Pending"),
    "stopped before anything ran": (facts(pod(), sandboxes=(), is_stopped=True), "Failed"),
    "final phases stay": (facts(pod(status={"phase": "Succeeded"}), sandboxes=()), "Succeeded"),
}


@pytest.mark.parametrize("name", PHASES)
def test_phase(name: str) -> None:
    given, expected = PHASES[name]
    assert build_status(given)["phase"] == expected


def conditions(given: PodFacts) -> dict[str, tuple[Any, ...]]:
    found = {}
    for condition in build_status(given)["conditions"]:
        words = (condition["status"], condition.get("reason"), condition.get("message"))
        found[condition["type"]] = tuple(word for word in words if word is not None)
    return found


def test_conditions_of_a_ready_pod() -> None:
    assert conditions(facts(pod(), state())) == {
        "PodReadyToStartContainers": ("True",),
        "Initialized": ("True",),
        "Ready": ("True",),
        "ContainersReady": ("True",),
        "PodScheduled": ("True",),
    }


def test_conditions_name_what_is_missing() -> None:
    unready = facts(pod(**TWO), state("a"), state("b"), health={"a-0": Health(), "b-0": Health(is_ready=False)})
    assert conditions(unready)["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [b]")
    waiting = facts(pod(**INIT), state("i"))
    expected = ("False", "ContainersNotInitialized", "containers with incomplete status: [i]")
    assert conditions(waiting)["Initialized"] == expected
    assert conditions(facts(pod(), sandboxes=()))["PodReadyToStartContainers"] == ("False",)


def test_readiness_gates() -> None:
    gates = {"readinessGates": [{"conditionType": "x/a"}, {"conditionType": "x/b"}]}
    given = {"conditions": [{"type": "x/b", "status": "False"}]}
    assert conditions(facts(pod(status=given, **gates), state()))["Ready"] == (
        "False",
        "ReadinessGatesNotReady",
        'corresponding condition of pod readiness gate "x/a" does not exist., '
        'the status of pod readiness gate "x/b" is not "True", but False',
    )


def test_conditions_of_others_stay() -> None:
    given = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}
    assert conditions(facts(pod(status=given), state()))["DisruptionTarget"] == ("True", "PreemptionByScheduler")


def test_transition_times_move_with_the_status_only() -> None:
    old = build_status(facts(pod(), state(), health={"c-0": STARTING}))
    later = facts(pod(status=old, meta={"generation": 2}), state(), now=NOW + 60)
    times = {c["type"]: c["lastTransitionTime"] for c in build_status(later)["conditions"]}
    assert times["Ready"] == "2027-01-15T08:01:00Z"
    assert times["Initialized"] == "2027-01-15T08:00:00Z"
    assert {c["observedGeneration"] for c in build_status(later)["conditions"]} == {2}


def only(given: PodFacts, field: str = "containerStatuses") -> Object:
    return dict(build_status(given)[field][0])


def test_container_states() -> None:
    assert only(facts(pod()))["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert only(facts(pod(**INIT)))["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert only(facts(pod(), state()))["state"] == {"running": {"startedAt": "2027-01-15T07:45:00Z"}}
    waiting = {"c": Waiting("ErrImagePull", "not found")}
    assert only(facts(pod(), waiting=waiting))["state"] == {
        "waiting": {"reason": "ErrImagePull", "message": "not found"}
    }
    hooked = only(facts(pod(), state(), hooked=frozenset(("c-0",))))
    assert hooked["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert (hooked["started"], hooked["ready"]) == (False, False)
    assert "containerID" not in hooked
    image = Waiting("ImagePullBackOff", 'Back-off pulling image "v"')
    assert only(facts(pod(), sandbox_wait=image))["state"]["waiting"]["reason"] == "ImagePullBackOff"
    wait = Waiting("ContainerCreating", 'configmap "x" not found')
    assert only(facts(pod(), sandbox_wait=wait))["state"]["waiting"]["message"] == 'configmap "x" not found'


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"exit_code": 0}, "Completed"),
        ({"exit_code": 3}, "Error"),
        ({"exit_code": 137, "was_oom_killed": True}, "OOMKilled"),
        ({"exit_code": 128, "started_at": 0.0, "error": "no such file"}, "ContainerCannotRun"),
    ],
)
def test_reasons_of_the_end(more: Object, reason: str) -> None:
    given = facts(pod(restartPolicy="Never"), state(state="exited", **more))
    assert only(given)["state"]["terminated"]["reason"] == reason


def test_crash_loop_shows_the_last_end() -> None:
    waiting = {"c": Waiting("CrashLoopBackOff", "back-off 10s")}
    ended = state(state="exited", exit_code=1, count=4)
    found = only(facts(pod(), state(state="exited", count=3), ended, waiting=waiting, messages={"c-4": "bad"}))
    assert found["restartCount"] == 4
    assert found["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found["lastState"]["terminated"]["exitCode"] == 1
    assert found["lastState"]["terminated"]["message"] == "bad"
    assert found["containerID"] == "docker://c-4"


def test_running_again_shows_the_end_before() -> None:
    found = only(facts(pod(), state(state="exited", exit_code=9), state(count=1)))
    assert found["lastState"]["terminated"]["containerID"] == "docker://c-0"
    assert (found["ready"], found["started"], found["restartCount"]) == (True, True, 1)


@pytest.mark.parametrize("more", [{"state": "created", "started_at": 0.0}, {"id": "hooked"}], ids=["made", "in hook"])
def test_a_restart_counts_once_it_runs(more: Object) -> None:
    ended = state(state="exited", exit_code=9, count=1)
    again = state(**({"count": 2} | more))
    given = facts(pod(), ended, again, hooked=frozenset(("hooked",)))
    found = only(given)
    assert (found["restartCount"], found["containerID"]) == (1, "docker://c-1")
    assert found["state"]["terminated"]["exitCode"] == 9
    assert build_status(given)["phase"] == "Running"


def test_readiness_of_init_containers() -> None:
    given = pod(initContainers=[container("i"), container("s", restartPolicy="Always")])
    found = build_status(facts(given, state("i", "exited"), state("s"), health={"s-0": STARTING}))
    first, second = found["initContainerStatuses"]
    assert (first["ready"], first["started"]) == (True, False)
    assert (second["ready"], second["started"]) == (False, False)


def test_addresses() -> None:
    found = build_status(facts(pod(), state()))
    assert (found["podIP"], found["podIPs"]) == ("10.0.0.1", [{"ip": "10.0.0.1"}])
    assert (found["hostIP"], found["hostIPs"]) == ("192.168.0.1", [{"ip": "192.168.0.1"}])
    assert build_status(facts(pod(hostNetwork=True), state()))["podIP"] == "192.168.0.1"
    assert "podIP" not in build_status(facts(pod(), sandboxes=()))


def test_a_container_that_vanished_is_told_as_unknown() -> None:
    old = build_status(facts(pod(), state()))
    found = only(facts(pod(status=old), sandboxes=(), is_stopped=True))
    assert found["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert found["state"]["terminated"]["exitCode"] == 137


def test_resize_shows_in_conditions_and_resources() -> None:
    wanted = {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
    given = pod(containers=[container(resources=wanted)])
    applied = {"c-0": {"requests": {"cpu": "1"}}}
    pending = facts(given, state(), applied_resources=applied, resize_refusal=("Deferred", "no room"))
    assert conditions(pending)["PodResizePending"] == ("True", "Deferred", "no room")
    going = facts(given, state(), applied_resources=applied)
    assert conditions(going)["PodResizeInProgress"] == ("True",)
    assert only(going)["allocatedResources"] == {"cpu": "1"}
    done = facts(pod(containers=[container(resources=wanted)], status=build_status(going)), state(),
                 applied_resources={"c-0": wanted})  # fmt: skip
    assert "PodResizeInProgress" not in conditions(done)
    assert only(done)["resources"] == wanted


def test_an_ended_container_shows_what_it_was_allowed() -> None:
    resources = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    given = facts(pod(restartPolicy="Never", containers=[container(resources=resources)]), state(state="exited"))
    assert only(given)["resources"] == resources


def test_changes_are_a_patch() -> None:
    old = build_status(facts(pod(), state(), health={"c-0": STARTING}))
    new = build_status(facts(pod(status=old), state()))
    patch = changes(old, new)
    assert set(patch) == {"containerStatuses", "conditions"}
    assert {c["type"] for c in patch["conditions"]} == {"Ready", "ContainersReady"}
    ready = next(c for c in patch["conditions"] if c["type"] == "Ready")
    assert ready["reason"] is None  # a merge would keep it otherwise
    assert ready["message"] is None
    assert changes(new, new) == {}
    assert changes({"reason": "x"}, {}) == {"reason": None}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
    ],
)
def test_qos_class(resources: list[Object], expected: str) -> None:
    containers = [container(f"c{n}", resources=r) for n, r in enumerate(resources)]
    assert qos_class(pod(containers=containers)) == expected


def test_dead_sandbox_keeps_the_address_in_the_status() -> None:
    old = build_status(facts(pod(), state()))
    assert build_status(facts(pod(status=old), sandboxes=(sandbox(is_running=False),)))["podIP"] == "10.0.0.1"


@pytest.mark.parametrize("given", [{"ending": Ending("OutOfcpu", "no room", 0)}, {}], ids=["now", "after a restart"])
def test_a_pod_that_was_refused_speaks_of_no_containers(given: dict[str, Any]) -> None:
    old = {} if given else {"status": {"phase": "Failed", "reason": "OutOfcpu", "message": "no room"}}
    status = build_status(facts(pod(**old), sandboxes=(), is_stopped=True, **given))
    assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
    assert "containerStatuses" not in status

"""What happens next to a pod, case by case."""

import pytest

from minikube_py.kubelet.backoff import BackOff, duration_text, raised, retry_at
from minikube_py.kubelet.pod_facts import Ending, Health, PodFacts, Waiting
from minikube_py.kubelet.pod_plan import (
    EndPod,
    Resize,
    SetUp,
    StartContainer,
    StartSandbox,
    StopContainer,
    is_finished,
    plan_pod,
)
from tests.unit.kubelet.builders import NOW, STARTING, container, facts, pod, sandbox, state

INIT = {"initContainers": [container("i1"), container("i2")]}
SIDE = {"initContainers": [container("side", restartPolicy="Always"), container("i2")]}
DELETED = {"deletionTimestamp": "2027-01-01T00:00:00Z", "deletionGracePeriodSeconds": 7}


def short(facts: PodFacts) -> list[str]:
    """The plan's actions as words."""
    words = []
    for action in plan_pod(facts).actions:
        match action:
            case SetUp():
                words.append("set-up")
            case StartSandbox(attempt, ip):
                words.append(f"sandbox {attempt} {ip}".strip())
            case StartContainer(found, count, _):
                words.append(f"start {found.name} {count}")
            case StopContainer(found, _, grace, skips_hook):
                words.append(f"stop {found.name}" + (f" in {grace}" if grace is not None else ""))
                words[-1] += " without hook" if skips_hook else ""
            case EndPod(grace):
                words.append(f"end in {grace}")
            case Resize(found, _):
                words.append(f"resize {found.name}")
    return words


ON_42 = {"operator": "In", "values": [42]}
ALL = {
    "restartPolicy": "Never",
    "initContainers": [container("i")],
    "containers": [
        container("a", restartPolicyRules=[{"action": "RestartAllContainers", "exitCodes": ON_42}]),
        container("b"),
    ],
}
ENDED = (
    state("i", "exited"),
    state("a", "exited", exit_code=42, finished_at=NOW - 50),
    state("b", "exited", exit_code=137),
)

CASES = {
    "an end that restarts all kills the others": (
        facts(pod(**ALL), *ENDED[:2], state("b")),
        ["stop b in 0 without hook"],
    ),
    "any other end does not": (facts(pod(**ALL), ENDED[0], state("a", "exited", exit_code=1), state("b")), []),
    "then all begin with the first init container": (facts(pod(**ALL), *ENDED), ["start i 1"]),
    "but not in back-off": (facts(pod(**ALL), *ENDED, back_off={"a": BackOff(160, NOW - 150)}), []),
    "what had ended for good runs again": (
        facts(pod(**ALL), *ENDED, state("i", "exited", count=1, created_at=NOW - 40)),
        ["start a 1"],
    ),
    "all of it": (
        facts(
            pod(**ALL), *ENDED, state("i", "exited", count=1, created_at=NOW - 40), state("a", count=1, created_at=NOW)
        ),
        ["start b 1"],
    ),
    "a new pod is set up first": (facts(pod(), sandboxes=(), is_set_up=False), ["set-up"]),
    "then gets its sandbox": (facts(pod(), sandboxes=()), ["sandbox 0"]),
    "then its container": (facts(pod()), ["start c 0"]),
    "a running pod needs nothing": (facts(pod(), state()), []),
    "what is being started is not started twice": (facts(pod(), in_flight=frozenset("c"), is_starting=True), []),
    "containers start one by one": (facts(pod(containers=[container("a"), container("b")])), ["start a 0"]),
    "the second after the first": (
        facts(pod(containers=[container("a"), container("b")]), state("a")),
        ["start b 0"],
    ),
    "a stop does not hold up a start": (
        facts(pod(containers=[container("a"), container("b")]), state("a"), in_flight=frozenset("a")),
        ["start b 0"],
    ),
    "a failed start waits": (facts(pod(), waiting={"c": Waiting("ErrImagePull", "no", NOW + 5)}), []),
    "and is tried again": (facts(pod(), waiting={"c": Waiting("ErrImagePull", "no", NOW - 1)}), ["start c 0"]),
    "a lost sandbox is replaced with its address": (
        facts(pod(status={"podIP": "10.0.0.9"}), state(state="exited"), sandboxes=(sandbox(is_running=False),)),
        ["sandbox 1 10.0.0.9"],
    ),
    "containers of a lost sandbox start again": (
        facts(pod(), state(state="exited", count=2), sandboxes=(sandbox(0, is_running=False), sandbox(1, at=NOW - 5))),
        ["start c 3"],
    ),
    "what ended for good stays so in a new sandbox": (
        facts(
            pod(restartPolicy="OnFailure", containers=[container("a"), container("b")]),
            state("a", "exited"),
            state("b", "exited", exit_code=1),
            sandboxes=(sandbox(1, at=NOW - 5),),
        ),
        ["start b 1"],
    ),
    "a container that runs without its sandbox is stopped": (
        facts(pod(), state(), sandboxes=(sandbox(is_running=False),)),
        ["stop c"],
    ),
    "a crashed container starts again": (facts(pod(), state(state="exited", exit_code=1)), ["start c 1"]),
    "also when it ended well": (facts(pod(), state(state="exited")), ["start c 1"]),
    "in back-off it waits": (
        facts(pod(), state(state="exited", exit_code=1), back_off={"c": BackOff(160, NOW - 150)}),
        [],
    ),
    "a container that was made but never started is started": (
        facts(pod(), state(state="created", count=2, started_at=0.0)),
        ["start c 2"],
    ),
    "a changed image replaces the container": (facts(pod(), state(spec_hash="other")), ["stop c"]),
    "a failed liveness probe stops it": (
        facts(pod(), state(), health={"c-0": Health(failure="Container c failed liveness probe", grace_seconds=3)}),
        ["stop c in 3"],
    ),
    "but not while its postStart hook runs": (
        facts(pod(), state(), health={"c-0": Health(failure="x")}, hooked=frozenset({"c-0"})),
        [],
    ),
    "init containers first": (facts(pod(**INIT)), ["start i1 0"]),
    "one at a time": (facts(pod(**INIT), state("i1")), []),
    "the next after a success": (facts(pod(**INIT), state("i1", "exited")), ["start i2 0"]),
    "again after a failure": (facts(pod(**INIT), state("i1", "exited", exit_code=2)), ["start i1 1"]),
    "regular ones at last": (facts(pod(**INIT), state("i1", "exited"), state("i2", "exited")), ["start c 0"]),
    "init containers run again in a new sandbox": (
        facts(
            pod(**INIT),
            state("i1", "exited"),
            state("i2", "exited"),
            state("c", "exited"),
            sandboxes=(sandbox(1, at=NOW - 5),),
        ),
        ["start i1 1"],
    ),
    "a failed init container fails a pod that never restarts": (
        facts(pod(restartPolicy="Never", **INIT), state("i1", "exited", exit_code=2)),
        ["end in 30"],
    ),
    "a sidecar must have started": (facts(pod(**SIDE), state("side"), health={"side-0": STARTING}), []),
    "then the next one": (facts(pod(**SIDE), state("side")), ["start i2 0"]),
    "a sidecar restarts beside the others": (
        facts(pod(**SIDE), state("side", "exited"), state("i2", "exited"), state("c")),
        ["start side 1"],
    ),
    "a sidecar does not keep a finished pod alive": (
        facts(pod(restartPolicy="Never", **SIDE), state("side"), state("i2", "exited"), state("c", "exited")),
        ["end in 30"],
    ),
    "success under OnFailure is the end": (facts(pod(restartPolicy="OnFailure"), state(state="exited")), ["end in 30"]),
    "failure under OnFailure is not": (
        facts(pod(restartPolicy="OnFailure"), state(state="exited", exit_code=1)),
        ["start c 1"],
    ),
    "failure under Never is the end": (
        facts(pod(restartPolicy="Never"), state(state="exited", exit_code=1)),
        ["end in 30"],
    ),
    "a rule of the container restarts all the same": (
        facts(
            pod(
                restartPolicy="Never",
                containers=[
                    container(
                        restartPolicy="Never",
                        restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
                    )
                ],
            ),
            state(state="exited", exit_code=42),
        ),
        ["start c 1"],
    ),
    "a deleted pod ends within its grace": (facts(pod(meta=DELETED), state()), ["end in 7"]),
    "and then nothing": (facts(pod(meta=DELETED), state(state="exited"), is_stopped=True), []),
    "a pod that the kubelet ends": (facts(pod(), state(), ending=Ending("Evicted", "full", 0)), ["end in 0"]),
    "a pod past its deadline": (
        facts(pod(activeDeadlineSeconds=60, status={"startTime": "2026-01-01T00:00:00Z"}), state()),
        ["end in 30"],
    ),
    "an ended pod of an earlier kubelet": (
        facts(pod(status={"phase": "Succeeded"}), state(state="exited"), is_set_up=False),
        ["end in 30"],
    ),
    "an ephemeral container starts beside": (
        facts(pod(ephemeralContainers=[container("debug")]), state()),
        ["start debug 0"],
    ),
    "and never again": (
        facts(pod(ephemeralContainers=[container("debug")]), state(), state("debug", "exited", exit_code=1)),
        [],
    ),
    "a resize in place": (
        facts(
            pod(containers=[container(resources={"requests": {"cpu": "2"}})]),
            state(),
            applied_resources={"c-0": {"requests": {"cpu": "1"}}},
        ),
        ["resize c"],
    ),
    "the same amount in other words is no resize": (
        facts(
            pod(containers=[container(resources={"requests": {"cpu": "1000m"}})]),
            state(),
            applied_resources={"c-0": {"requests": {"cpu": "1"}}},
        ),
        [],
    ),
    "a resize that needs a restart": (
        facts(
            pod(
                containers=[
                    container(
                        resources={"limits": {"memory": "2Gi"}},
                        resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}],
                    )
                ]
            ),
            state(),
            applied_resources={"c-0": {"limits": {"memory": "1Gi"}}},
        ),
        ["stop c"],
    ),
    "a resize that the node has no room for": (
        facts(
            pod(containers=[container(resources={"requests": {"cpu": "99"}})]),
            state(),
            applied_resources={"c-0": {"requests": {"cpu": "1"}}},
            resize_refusal=("Infeasible", "no"),
        ),
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str) -> None:
    given, expected = CASES[name]
    assert short(given) == expected


def test_old_attempts_are_removed_with_the_next_start() -> None:
    given = facts(pod(), state(state="exited", count=0), state(state="exited", count=1), state(state="exited", count=2))
    action = plan_pod(given).actions[0]
    assert isinstance(action, StartContainer)
    assert (action.restart_count, action.remove) == (3, ("c-0", "c-1"))


def test_crash_wait_says_what_kubernetes_says() -> None:
    given = facts(pod(), state(state="exited", exit_code=1), back_off={"c": BackOff(160, NOW - 150)})
    plan = plan_pod(given)
    text = "back-off 2m40s restarting failed container=c pod=p_ns(u)"
    assert plan.crash_waits == {"c": Waiting("CrashLoopBackOff", text, NOW + 60)}
    assert plan.wake_at == NOW + 60


def test_deadline_is_a_reason_to_look_again() -> None:
    started = {"startTime": "2027-01-15T07:59:00Z"}
    plan = plan_pod(facts(pod(activeDeadlineSeconds=90, status=started), state()))
    assert plan.wake_at == NOW + 30
    assert plan.ending is None


def test_finished_needs_every_regular_container() -> None:
    two = pod(restartPolicy="Never", containers=[container("a"), container("b")])
    assert not is_finished(facts(two, state("a", "exited")))
    assert not is_finished(facts(two, state("a", "exited"), state("b")))
    assert is_finished(facts(two, state("a", "exited"), state("b", "exited", exit_code=1)))


def test_back_off_doubles_and_is_forgotten() -> None:
    entry = raised(None, 0)
    delays = [entry.delay]
    for _ in range(6):
        entry = raised(entry, 1, 1)
        delays.append(entry.delay)
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert retry_at(entry, 50) == 350
    assert retry_at(entry, 1000) == 1000
    assert raised(entry, 1000, 1000).delay == 10
    assert retry_at(None, 5) == 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3661, "1h1m1s"), (1.234, "1.234s"), (0.25, "250ms"), (0, "0s")],
)
def test_duration_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_end_that_restarts_all_is_kept_until_all_have_restarted() -> None:
    again = state("a", "exited", count=1, created_at=NOW - 30, exit_code=1)
    rules = [{"action": "RestartAllContainers", "exitCodes": ON_42}]
    given = pod(containers=[container("a", restartPolicyRules=rules), container("b")])
    (action,) = plan_pod(facts(given, *ENDED[1:], again)).actions
    assert isinstance(action, StartContainer)
    assert action.remove == ()
    (action,) = plan_pod(facts(given, ENDED[1], again, state("b", count=1, created_at=NOW))).actions
    assert isinstance(action, StartContainer)
    assert action.remove == ("a-0",)

"""What only real containers show: namespaces, limits, errors, streams, logs, adoption."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from minikube_py import clock
from minikube_py.client.node_connection import Chunk, ExecResult, StreamRequest
from minikube_py.host_tools import run_tool
from minikube_py.kubelet.network.host_names import bridge_name
from minikube_py.kubelet.runtimes.docker import DockerRuntime
from minikube_py.kubelet.runtimes.protocol import (
    CgroupLimits,
    ContainerSpec,
    Mount,
    PodRef,
    RuntimeFailure,
    SandboxSpec,
    Security,
)
from minikube_py.kubelet.usage import UsageReader
from tests.docker.node import PATIENCE_SECONDS, Node, Pod, address_of
from tests.support.images import TEST_IMAGE

MIB = 1024 * 1024


async def test_containers_of_a_pod_share_host_name_network_and_ipc(node: Node) -> None:
    sandbox = await node.sandbox(hostname="my-host")
    serve = node.spec(sandbox, "mkdir /www; echo hi > /www/index.html; exec httpd -f -p 8080 -h /www", name="server")
    client = node.spec(sandbox, "exec sleep 1000", name="client")
    server = await node.runtime.start_container(serve, sandbox)
    pod = Pod(sandbox.pod, sandbox, await node.runtime.start_container(client, sandbox))
    assert await node.until(pod, "wget -q -O - http://127.0.0.1:8080/") == "hi\n"
    assert await node.execute(pod, "hostname") == (0, "my-host\n")
    links = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc"
    mine, other = await node.execute(pod, links), await node.execute(replace(pod, container=server), links)
    assert mine == other
    code, output = await node.execute(pod, "ps")
    assert code == 0
    assert "httpd" not in output


async def test_pods_reach_each_other_and_their_gateway(node: Node) -> None:
    web, other = await node.web("hello"), await node.run("exec sleep 1000")
    assert await node.execute(other, f"wget -q -O - http://{web.ip}/") == (0, "hello")
    code, _ = await node.execute(other, "ping -c 1 -W 2 10.182.0.1")
    assert code == 0


async def test_nodes_of_one_engine_reach_each_others_pods(node: Node) -> None:
    neighbour = Node(node.owner.cluster_id, number=1)
    try:
        await neighbour.network.start({})
        web, client = await neighbour.web("hello"), await node.run("exec sleep 1000")
        assert web.ip.startswith("10.182.1.")
        assert await node.execute(client, f"wget -q -O - http://{web.ip}/") == (0, "hello")
        assert [one.pod for one in await neighbour.runtime.list_pods()] == [web.ref]
    finally:
        await neighbour.remove()


async def test_pods_are_kept_off_the_hosts_loopback(node: Node) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = await node.run("exec sleep 1000")
        route = "ip route add 127.0.0.1/32 via 10.182.0.1 dev eth0 table local"
        code, _ = await node.execute(client, f"{route}; nc -w 1 10.182.0.1 {port} < /dev/null")
        assert code != 0


async def test_shared_processes_have_the_pause_program_as_first(node: Node) -> None:
    sandbox = await node.sandbox(share_process_namespace=True)
    state = await node.runtime.start_container(node.spec(sandbox, "(sleep 0.1 &); exec sleep 1000"), sandbox)
    pod = Pod(sandbox.pod, sandbox, state)
    _, first = await node.execute(pod, "readlink /proc/1/exe; cat /proc/1/cmdline")
    assert "/pause" in first
    # The orphan ends without leaving a zombie: nobody has to wait for it.
    await node.until(pod, "! ps | grep -v grep | grep -q 'sleep 0.1'")
    assert await node.execute(pod, "cat /proc/[0-9]*/stat | grep -c ') Z '") == (1, "0\n")


async def test_the_pause_program_ends_on_sigterm_and_is_tiny(node: Node, docker_client: docker.APIClient) -> None:
    sandbox = await node.sandbox()
    inspected = await asyncio.to_thread(docker_client.inspect_container, sandbox.id)
    status = Path(f"/proc/{inspected['State']['Pid']}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0])
    assert resident < 64
    await asyncio.to_thread(docker_client.kill, sandbox.id, "SIGTERM")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.to_thread(docker_client.wait, sandbox.id)
    inspected = await asyncio.to_thread(docker_client.inspect_container, sandbox.id)
    assert inspected["State"]["ExitCode"] == 0


async def test_command_environment_user_and_directory(node: Node) -> None:
    sandbox = await node.sandbox()
    spec = ContainerSpec(
        sandbox.pod,
        "main",
        TEST_IMAGE,
        command=("sh", "-c"),
        args=('echo "$NAME|$(pwd)|$(id -u):$(id -g)|$(id -G)"',),
        env=(("NAME", "a b=c"),),
        working_dir="/tmp",
        security=Security(user="1000:1000", groups=(50, 2000)),
    )
    container = await node.runtime.start_container(spec, sandbox)
    await node.exited(sandbox.pod)
    assert await node.logs(container) == "a b=c|/tmp|1000:1000|1000 50 2000\n"


async def test_security_settings_reach_the_process(node: Node) -> None:
    security = Security(
        read_only_root=True, no_new_privileges=True, drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",)
    )
    pod = await node.run("exec sleep 1000", security=security)
    code, output = await node.execute(pod, "touch /file")
    assert code == 1
    assert "Read-only" in output
    _, status = await node.execute(pod, "grep -E 'NoNewPrivs|CapEff|Seccomp:' /proc/1/status")
    fields = dict(line.split(":\t") for line in status.splitlines())
    assert fields == {"NoNewPrivs": "1", "CapEff": "0000000000000400", "Seccomp": "2"}


async def test_mounts(node: Node, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    missing = tmp_path / "made" / "by-mkube"
    mounts = (
        Mount("/read", str(tmp_path), read_only=True),
        Mount("/write", str(missing)),
        Mount("/memory", size_bytes=MIB),
    )
    pod = await node.run("exec sleep 1000", mounts=mounts)
    code, output = await node.execute(pod, "cat /read/file; touch /read/x")
    assert (code, "Read-only" in output, "content" in output) == (1, True, True)
    assert await node.execute(pod, "echo out > /write/new; df -k /memory | awk 'END {print $2}'") == (0, "1024\n")
    assert (missing / "new").read_text() == "out\n"


async def test_exit_code_and_a_program_that_ends_by_itself(node: Node) -> None:
    pod = await node.run("exit 7")
    ended = await node.exited(pod.ref)
    assert (ended.exit_code, ended.error, ended.was_oom_killed) == (7, "", False)


async def test_out_of_memory(node: Node) -> None:
    hog = "a=x; while true; do a=$a$a; done"
    pod = await node.run(hog, limits=CgroupLimits(memory_bytes=16 * MIB))
    ended = await node.exited(pod.ref)
    assert (ended.was_oom_killed, ended.exit_code) == (True, 137)


async def test_limits_can_be_changed_while_it_runs(node: Node, docker_client: docker.APIClient) -> None:
    pod = await node.run("exec sleep 1000", limits=CgroupLimits(memory_bytes=16 * MIB, cpu_shares=512))
    await node.runtime.update_limits(pod.container.id, CgroupLimits(memory_bytes=32 * MIB, cpu_quota_us=50_000))
    inspected = await asyncio.to_thread(docker_client.inspect_container, pod.container.id)
    host = inspected["HostConfig"]
    assert (host["Memory"], host["CpuQuota"], host["CpuShares"]) == (32 * MIB, 50_000, 512)


async def test_a_program_that_is_not_there(node: Node) -> None:
    sandbox = await node.sandbox()
    spec = replace(node.spec(sandbox), command=("no-such-program",))
    with pytest.raises(RuntimeFailure) as failure:
        await node.runtime.start_container(spec, sandbox)
    assert failure.value.reason == "RunContainerError"
    assert 'exec: "no-such-program": executable file not found in $PATH' in failure.value.message
    ended = await node.exited(sandbox.pod)
    assert (ended.exit_code, ended.started_at) == (128, 0.0)
    assert "executable file not found" in ended.error


async def test_graceful_stop_and_kill(node: Node) -> None:
    polite = await node.run("trap 'echo bye; exit 3' TERM; touch /ready; while true; do sleep 0.05; done")
    await node.until(polite, "test -e /ready")
    await node.runtime.stop_container(polite.container.id, 10)
    assert (await node.exited(polite.ref)).exit_code == 3
    assert await node.logs(polite.container) == "bye\n"
    deaf = await node.run("trap '' TERM; touch /ready; while true; do sleep 0.05; done")
    await node.until(deaf, "test -e /ready")
    await node.runtime.stop_container(deaf.container.id, 0.5)
    assert (await node.exited(deaf.ref)).exit_code == 137


async def test_own_stop_signal(node: Node) -> None:
    script = "trap 'exit 5' USR1; touch /ready; while true; do sleep 0.05; done"
    pod = await node.run(script, stop_signal="SIGUSR1")
    await node.until(pod, "test -e /ready")
    await node.runtime.stop_container(pod.container.id, 10)
    assert (await node.exited(pod.ref)).exit_code == 5


async def test_logs(node: Node) -> None:
    started = clock.seconds()
    pod = await node.run("echo one; echo two >&2; echo three")
    await node.exited(pod.ref)
    assert sorted((await node.logs(pod.container)).split()) == ["one", "three", "two"]
    assert await node.logs(pod.container, stream="Stderr") == "two\n"
    assert len((await node.logs(pod.container, tail_lines=2)).split()) == 2
    assert await node.logs(pod.container, tail_lines=0) == ""
    assert await node.logs(pod.container, stream="Stdout", limit_bytes=5) == "one\nt"
    assert await node.logs(pod.container, since_time="2100-01-01T00:00:00Z") == ""
    stamped = await node.logs(pod.container, stream="Stderr", timestamps=True)
    moment, _, text = stamped.partition(" ")
    assert text == "two\n"
    assert clock.parse(moment).timestamp() >= started - 1


async def test_followed_logs_end_with_the_container(node: Node) -> None:
    pod = await node.run("echo begin; while ! test -e /go; do sleep 0.05; done; echo end")
    following = asyncio.create_task(node.logs(pod.container, follow=True))
    await node.execute(pod, "touch /go")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await following == "begin\nend\n"


async def test_exec_streams(node: Node) -> None:
    pod = await node.run("exec sleep 1000")
    request = StreamRequest(address_of(pod.container), ("sh", "-c", "cat; echo oops >&2; exit 9"), stdin=True)
    session = await node.runtime.open_stream(pod.container, request)
    payload = os.urandom(300_000)
    sending = asyncio.create_task(_send_all(session, payload))
    received: dict[int, bytes] = {1: b"", 2: b""}
    while (chunk := await session.receive()) is not None:
        received[chunk.channel] += chunk.data
    await sending
    assert received == {1: payload, 2: b"oops\n"}
    assert await session.result() == ExecResult(9)
    await session.close()


async def _send_all(session: object, data: bytes) -> None:
    await session.send(data)  # type: ignore[attr-defined]
    await session.close_stdin()  # type: ignore[attr-defined]


async def test_exec_of_a_missing_program_says_so(node: Node) -> None:
    pod = await node.run("exec sleep 1000")
    request = StreamRequest(address_of(pod.container), ("nope",))
    session = await node.runtime.open_stream(pod.container, request)
    assert await session.receive() is None
    result = await session.result()
    assert result.exit_code in (126, 127)
    assert 'exec: "nope": executable file not found in $PATH' in result.error
    await session.close()


async def test_exec_with_a_terminal_has_its_size(node: Node) -> None:
    pod = await node.run("exec sleep 1000")
    # stty fails while the size is still 0 by 0.
    command = ("sh", "-c", "until stty size 2> /dev/null | grep -q '^[1-9]'; do sleep 0.05; done; stty size")
    request = StreamRequest(address_of(pod.container), command, stdin=True, tty=True)
    session = await node.runtime.open_stream(pod.container, request)
    await session.resize(120, 40)
    output = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (chunk := await session.receive()) is not None:
            output += chunk.data
    assert output == b"40 120\r\n"
    await session.close()


async def test_attach(node: Node) -> None:
    pod = await node.run("read line; echo got $line", stdin=True, stdin_once=True)
    session = await node.runtime.open_stream(pod.container, StreamRequest(address_of(pod.container), stdin=True))
    await session.send(b"hello\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await session.receive() == Chunk(1, b"got hello\n")
        assert await session.receive() is None
    assert await session.result() == ExecResult(0)
    await session.close()


async def test_dial_reaches_a_loopback_listener_of_the_pod(node: Node) -> None:
    pod = await node.web("hello", port=8080)
    stream = await node.runtime.dial(pod.sandbox, 8080)
    await stream.send(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while data := await stream.receive():
        answer += data
    await stream.close()
    assert answer.endswith(b"hello")
    with pytest.raises(RuntimeFailure, match="8081"):
        await node.runtime.dial(pod.sandbox, 8081)


async def test_stats(node: Node) -> None:
    pod = await node.run("exec sleep 1000")
    numbers = (await node.runtime.stats())[pod.ref.uid]["main"]
    assert numbers["cpu_ns"] > 0
    assert numbers["memory_bytes"] >= numbers["working_set_bytes"] > 0
    assert 0 < numbers["time"] - numbers["started_at"] < 60
    assert numbers["pids"] >= 1
    assert numbers["rx_bytes"] >= 0


async def test_each_pod_has_network_counters_of_its_own(node: Node) -> None:
    idle, busy = await node.run("exec sleep 1000"), await node.web("hello")

    async def received(pod: Pod) -> float:
        return (await node.runtime.stats())[pod.ref.uid]["main"]["rx_bytes"]

    before = await received(idle), await received(busy)
    for _ in range(20):
        reader, writer = await asyncio.open_connection(busy.ip, 80)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()
        await writer.wait_closed()
    grown = await received(idle) - before[0], await received(busy) - before[1]
    assert grown[1] > 20 * 200
    assert grown[0] < grown[1] / 2  # what every pod of a bridge hears: neighbours that come and go


async def test_a_busy_container_uses_a_core_and_an_idle_one_nothing(node: Node) -> None:
    busy = await node.run("while :; do :; done")
    idle = await node.run("exec sleep 1000")
    usage = UsageReader(node.runtime.stats)
    found = await usage.figures()
    cores = found[busy.ref.uid]["main"]["cpu_nano_cores"] / 1e9
    assert 0.1 < cores < 1.2, cores  # other processes of the machine may hold it back
    assert found[idle.ref.uid]["main"]["cpu_nano_cores"] / 1e9 < cores / 5
    assert found[busy.ref.uid]["main"]["window"] >= 0.9


async def test_a_new_runtime_adopts_what_runs(node: Node) -> None:
    pod = await node.web("hello")
    before = await node.runtime.list_pods()
    successor = DockerRuntime(node.owner, node.network)
    try:
        assert await successor.list_pods() == before
        stream = await successor.dial(pod.sandbox, 80)
        await stream.close()
        # The address is taken: the next pod gets another one.
        await node.network.start({pod.ip: pod.sandbox.id})
        ref = PodRef("other-uid", "default", "other")
        assert (await successor.start_sandbox(SandboxSpec(ref, "other"))).ips != pod.sandbox.ips
    finally:
        await successor.close()


async def test_a_pod_keeps_its_address_in_a_new_sandbox(node: Node) -> None:
    pod = await node.web("hello")
    await node.runtime.stop_sandboxes(pod.ref.uid)
    second = await node.runtime.start_sandbox(SandboxSpec(pod.ref, "web", attempt=1, ip=pod.ip))
    assert second.ips == pod.sandbox.ips
    state = await node.runtime.pod_state(pod.ref.uid)
    assert state is not None
    assert [(one.attempt, one.is_running) for one in state.sandboxes] == [(0, False), (1, True)]


async def test_a_host_network_pod_sees_the_hosts_interfaces(node: Node) -> None:
    sandbox = await node.sandbox(host_network=True)
    assert sandbox.ips == ()
    container = await node.runtime.start_container(node.spec(sandbox, "exec sleep 1000", host_network=True), sandbox)
    _, output = await node.execute(Pod(sandbox.pod, sandbox, container), "readlink /proc/self/ns/net")
    assert output.strip() == os.readlink("/proc/self/ns/net")


async def test_a_bridge_that_somebody_removed_comes_back_with_its_pods(node: Node) -> None:
    pod = await node.web("hello")
    await run_tool(["ip", "link", "delete", bridge_name(node.config)])
    other = await node.run("exec sleep 1000")
    assert await node.execute(other, f"wget -q -O - http://{pod.ip}/") == (0, "hello")
    await run_tool(["ip", "link", "delete", bridge_name(node.config)])
    await node.network.start({pod.ip: pod.sandbox.id, other.ip: other.sandbox.id})
    assert await node.execute(other, f"wget -q -O - http://{pod.ip}/") == (0, "hello")


async def test_sysctls_belong_to_the_pod(node: Node) -> None:
    sandbox = await node.sandbox(sysctls={"net.ipv4.tcp_syncookies": "0"})
    container = await node.runtime.start_container(node.spec(sandbox, "exec sleep 1000"), sandbox)
    pod = Pod(sandbox.pod, sandbox, container)
    assert await node.execute(pod, "cat /proc/sys/net/ipv4/tcp_syncookies") == (0, "0\n")

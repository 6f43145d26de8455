"""What a server with ten real pods costs while nothing happens: resident memory, CPU and disk writes over a minute."""

import os
import time

from measured_server import measured_server

SECONDS = 60
PODS = 10
DEPLOYMENT = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: idle}}
spec:
  replicas: {PODS}
  selector: {{matchLabels: {{app: idle}}}}
  template:
    metadata: {{labels: {{app: idle}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: c, image: "busybox:stable", command: [sleep, "100000"]}}]
"""


def cpu_seconds(pid: int) -> float:
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmRSS")


def written_bytes(pid: int) -> int:
    for line in open(f"/proc/{pid}/io"):
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise ValueError("no write_bytes")


def main() -> None:
    with measured_server(18445) as server:
        server.start()
        server.until_node_ready()
        server.kubectl("apply", "-f", "-", text=DEPLOYMENT)
        server.kubectl("rollout", "status", "deployment/idle", "--timeout=60s")
        time.sleep(10)
        pid = server.process.pid
        cpu, written = cpu_seconds(pid), written_bytes(pid)
        time.sleep(SECONDS)
        used, wrote = cpu_seconds(pid) - cpu, written_bytes(pid) - written
        print(f"{PODS} pods, {SECONDS} s: RSS {resident_mib(pid):.0f} MiB   CPU {100 * used / SECONDS:.2f} % of a core"
              f"   disk {wrote / 1024:.0f} KiB written")  # fmt: skip


if __name__ == "__main__":
    main()

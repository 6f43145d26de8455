"""Stock kubectl and claims without a class of their own: data outlives pods, and goes with its claim."""

import json
from pathlib import Path

import pytest

from tests.support.docker_server import docker_server
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.client]

DATABASE = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 1000}
      containers:
      - name: db
        image: busybox:stable
        command: [sh, -c, "hostname >> /data/starts; exec sleep 100000"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def test_a_stateful_set_keeps_its_data(tmp_path: Path) -> None:
    volumes = tmp_path / "data" / "volumes"
    with docker_server(tmp_path / "data") as server:
        assert "standard (default)" in server.kubectl("get", "storageclass")
        server.kubectl("apply", "-f", "-", text=DATABASE)
        server.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
        server.kubectl("delete", "pod", "db-0")
        server.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
        assert server.kubectl("exec", "db-0", "--", "cat", "/data/starts") == "db-0\ndb-0\n"
        (directory,) = volumes.iterdir()
        assert directory.name.startswith("default_data-db-0_")

        server.kubectl("delete", "statefulset", "db")
        server.kubectl("wait", "--for=delete", "pod/db-0", "--timeout=30s")
        assert (directory / "starts").read_text() == "db-0\ndb-0\n"
        server.kubectl("delete", "pvc", "data-db-0")
        wait_for(lambda: not json.loads(server.kubectl("get", "pv", "-o", "json"))["items"], "the volume is gone")
        assert not directory.exists()

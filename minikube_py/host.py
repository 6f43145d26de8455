"""Says what this machine is like: whether it can run real pods, and which address it goes out by."""

import os
import socket
import sys


def needs_root() -> str:
    """Why this process can't run real pods, as one sentence, or ''."""
    if sys.platform != "linux":
        return "real pods need Linux for now: use --container-runtime fake"
    if os.geteuid() != 0:
        return "real pods need root for now (their network is made by netlink): use sudo, or --container-runtime fake"
    return ""


def host_address() -> str:
    """The address that this machine's default route leaves by, or '' without one. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])

"""Everything of the suite, held for looking at by hand: `python -m tests.cluster`, then Ctrl-C.

It says how to get into its network, where kubectl and the parts are reached.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from tests.cluster import beside, binaries, control_plane, network, nodes

with tempfile.TemporaryDirectory(prefix="roost-k8s-", dir="/tmp", ignore_cleanup_errors=True) as name:
    directory = Path(name)
    directory.chmod(0o755)
    programs = binaries.ensure()
    with (
        network.entered(directory),
        control_plane.started(programs, directory) as cluster,
        beside.started(directory),
        nodes.joined(cluster),
    ):
        print(f"nsenter -t {os.getpid()} -n -m env KUBECONFIG={cluster.kubeconfig} bash", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending")

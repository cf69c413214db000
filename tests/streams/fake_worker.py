"""Stands for a worker: serves /healthz, and misbehaves as the file WORKERS/<agent> tells it to."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

folder, agent = Path(sys.argv[1]), sys.argv[2]
orders = (folder / agent).read_text() if (folder / agent).exists() else ""
with (folder / f"{agent}.starts").open("a") as starts:
    starts.write(json.dumps({"pid": os.getpid(), "environment": dict(os.environ)}) + "\n")
if orders == "leave":
    sys.exit("it cannot go on like this")
if orders == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if orders == "parent":
    child = subprocess.Popen(["sleep", "1000"])
    (folder / f"{agent}.child").write_text(str(child.pid))


class Health(http.server.BaseHTTPRequestHandler):
    """Ready, or not."""

    def do_GET(self) -> None:
        self.send_response(503 if orders == "unready" else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"problem": "reading its views" if orders == "unready" else None}).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["QUANTUMAI_METRICS_PORT"])), Health)
threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    time.sleep(1)

"""Runs `quantumai` commands in one process, one JSON line each: [arguments, input, environment] in, [status, stdout, stderr] out.

A process of its own, because a PKCS#11 module reads its configuration once a process.
"""

import base64
import json
import os
import sys

from typer.testing import CliRunner

from cli.main import app


def main() -> None:
    for line in sys.stdin:
        arguments, said, environment = json.loads(line)
        done = CliRunner().invoke(app, arguments, input=said, env=environment)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            done.stderr_bytes += repr(done.exception).encode()
        answer = [done.exit_code, base64.b64encode(done.stdout_bytes).decode(), done.stderr]
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()

"""A PostgreSQL server of the tests' own: a temporary folder, a free port, a password, and no rights."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg

from streams.broker import free_port

PASSWORD = "canary-of-the-database"
SECONDS = 60


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; Debian keeps them away from PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def server(folder: Path):
    """Yields a function that makes an empty database and returns its URL; the server is stopped at the end."""
    programs_at, port, data = programs(), free_port(), folder / "data"
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root
    (folder / "password").write_text(PASSWORD)
    if user is not None:
        about = pwd.getpwnam(user)
        for path in (folder, folder / "password"):
            os.chown(path, about.pw_uid, about.pw_gid)

    def run(program, *arguments):
        command = [programs_at / program, "-D", data, *arguments]
        subprocess.run(command, user=user, cwd=folder, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)

    run("initdb", "--auth=scram-sha-256", "-U", "quantumai", f"--pwfile={folder / 'password'}", "-N")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "-w", "-l", folder / "log", "-o", options, "start")
    base = f"postgresql://quantumai:{PASSWORD}@127.0.0.1:{port}"
    made = []

    def database() -> str:
        name = f"ring{len(made)}"
        made.append(name)
        with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{base}/{name}"

    database.stop = lambda: run("pg_ctl", "-w", "-m", "immediate", "stop")
    database.start = lambda: run("pg_ctl", "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield database
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")


@contextmanager
def temporary():
    """The same, in a folder whose path is short enough for a socket and open to the server's user."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with server(folder) as database:
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)

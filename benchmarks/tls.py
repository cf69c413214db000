"""Handshakes per second, both ends on one core, of each group with each certificate; as ratios to the classical one.

    python -m benchmarks.tls --seconds 2

Client and server take turns in one thread, bytes pass through memory: no network, no process, so the figures are the price of the
cryptography and of OpenSSL's own work. Rounds are interleaved and counted in CPU time. The control is what classical TLS does
today, X25519 with an ECDSA P-256 certificate; "retried" is the key-share trap, which costs a second round.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from OpenSSL import SSL
from rich.console import Console
from rich.table import Table

from kms.keyring import KeyRing
from kms.modules import installed_module
from kms.provision import init_token
from kms.tls.authority import CA_ALGORITHMS, CA_USE, Authority
from kms.tls.contexts import client_context, server_context
from kms.tls.leaves import LEAVES
from kms.tls.policies import POLICIES
from kms.token import open_token

GROUPS: Mapping[str, str] = {
    "x25519": "X25519",
    "X25519MLKEM768": "X25519MLKEM768",
    "X25519MLKEM768, retried": "X25519MLKEM768:*X25519",
}
"""What the client offers, by the name of the row."""
CONTROL = ("x25519", "ECDSA-P256")
_CHUNK = 1 << 16


def handshake(client_side: SSL.Context, server_side: SSL.Context) -> tuple[SSL.Connection, int]:
    """One handshake; the client's end, and the bytes that went both ways."""
    client, server = SSL.Connection(client_side), SSL.Connection(server_side)
    client.set_connect_state()
    server.set_accept_state()
    ends, done, total = ((client, server), (server, client)), set[int](), 0
    while len(done) < len(ends):
        for own, other in ends:
            try:
                own.do_handshake()
                done.add(id(own))
            except SSL.WantReadError:
                pass
            total += passed(own, other)
    return client, total


def passed(source: SSL.Connection, target: SSL.Connection) -> int:
    """Hands over what one end has to say; how many bytes that was."""
    total = 0
    while True:
        try:
            octets = source.bio_read(_CHUNK)
        except SSL.WantReadError:
            return total
        target.bio_write(octets)
        total += len(octets)


def measured(authority: Authority, seconds: float, rounds: int) -> dict[tuple[str, str], tuple[float, int]]:
    """(group, certificate) -> (handshakes per second of CPU time, the best of the rounds; bytes)."""
    dual, roots, pairs = POLICIES["dual"], list(authority.roots.values()), {}
    for certificate in LEAVES:
        server = server_context(dual.server, [authority.issue(certificate, ["localhost"])])
        for name, groups in GROUPS.items():
            client = client_context(replace(dual, client=replace(dual.client, groups=groups)), roots)
            end, size = handshake(client, server)
            assert end.get_group_name() == name.split(",")[0]
            pairs[name, certificate] = (client, server, size)
    best = dict.fromkeys(pairs, 0.0)
    for _ in range(rounds):
        for pair, (client, server, _) in pairs.items():
            count, start = 0, time.process_time()
            while (spent := time.process_time() - start) < seconds / rounds:
                handshake(client, server)
                count += 1
            best[pair] = max(best[pair], count / spent)
    return {pair: (rate, pairs[pair][2]) for pair, rate in best.items()}


def issued(authority: Authority, seconds: float) -> dict[str, float]:
    """Algorithm -> server keys made and certificates signed in the token, per second by the clock."""
    rates = {}
    for certificate in LEAVES:
        count, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            authority.issue(certificate, ["localhost"])
            count += 1
        rates[certificate] = count / spent
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU time for each combination, all rounds together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--module", type=Path, help="the PKCS#11 module; the best installed one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quantumai-bench-") as temporary:
        folder = Path(temporary)
        made = init_token(options.module or installed_module(folder), "bench", folder / "token")
        token = open_token(made.module, "bench", made.pin_file.read_text(), made.folder)
        authority = Authority(KeyRing.open(folder / "keys.db", token).ensure(CA_USE, CA_ALGORITHMS))
        rates, made_rates = measured(authority, options.seconds, options.rounds), issued(authority, options.seconds / 2)
        module = made.module.name
    control, control_bytes = rates[CONTROL]
    table = Table(
        "group", "certificate", "handshakes / CPU s", "x control", "bytes", "x control", title="TLS 1.3, both ends, one core"
    )
    for (group, certificate), (rate, size) in rates.items():
        name = f"{certificate} (control)" if (group, certificate) == CONTROL else certificate
        table.add_row(group, name, f"{rate:,.0f}", f"{rate / control:.2f}", f"{size:,}", f"{size / control_bytes:.1f}")
    issues = Table("server's key", "keys made and certificates signed / s", title=f"issued in the token ({module})")
    for certificate, rate in made_rates.items():
        issues.add_row(certificate, f"{rate:,.0f}")
    console = Console(width=120)
    console.print(table)
    console.print(issues)


if __name__ == "__main__":
    main()

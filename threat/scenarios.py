"""What the project's own feeds are made of: everyday traffic and attacks, as a table of how they look on the wire.

Synthetic: the numbers are chosen to be plausible, not measured anywhere. A model trained on them shows that the path works; it
says nothing about a real network.
"""

from dataclasses import dataclass, field
from typing import Literal

Where = Literal["inside", "outbound", "inbound"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of event.

    Attributes:
        name: of the scenario.
        weight: how often it comes, relative to the others of its kind (everyday or attack).
        technique: ATT&CK technique; empty for everyday traffic.
        ports: destination ports; empty: any.
        where: who speaks to whom.
        sent, received: bytes, as mean and spread of their natural logarithm.
        seconds: duration, likewise.
        states: Zeek's connection states, and how often.
        protocol: tcp, udp or icmp.
        login: 0 for traffic; otherwise how many in a hundred logins succeed, at least 1.
        alert: share of the events that a sensor raises an alert about.
        severity: of such an alert, Suricata's: 1 is worst.
    """

    name: str
    weight: float
    technique: str = ""
    ports: tuple[int, ...] = ()
    where: Where = "outbound"
    sent: tuple[float, float] = (6.0, 1.0)
    received: tuple[float, float] = (7.0, 1.5)
    seconds: tuple[float, float] = (-1.0, 1.5)
    states: dict[str, float] = field(default_factory=lambda: {"SF": 1.0})
    protocol: str = "tcp"
    login: int = 0
    alert: float = 0.0
    severity: int = 3


EVERYDAY = (
    Scenario("web", 40, ports=(443, 80, 8080), sent=(7, 1), received=(9.5, 2), seconds=(0, 1.5), states={"SF": 0.95, "RSTO": 0.05}),
    Scenario("names", 30, ports=(53,), where="inside", sent=(3.8, 0.4), received=(4.8, 0.6), seconds=(-5, 1), protocol="udp"),
    Scenario("time", 4, ports=(123,), sent=(3.9, 0.05), received=(3.9, 0.05), seconds=(-4, 0.5), protocol="udp"),
    Scenario("shares", 8, ports=(445, 135), where="inside", sent=(8, 1.5), received=(8.5, 1.5), seconds=(1, 1.5)),
    Scenario("mail", 4, ports=(25, 587, 993), sent=(9, 2), received=(7, 1)),
    Scenario("databases", 4, ports=(5432, 3306), where="inside", sent=(7, 1), received=(8, 2), seconds=(2, 2)),
    Scenario("pings", 1, ports=(0,), where="inside", sent=(4.2, 0.2), received=(4.2, 0.2), seconds=(0, 1), protocol="icmp"),
    Scenario("logins", 7, ports=(88, 22, 3389), where="inside", login=97),
    Scenario("nobody", 2, where="inside", sent=(3.9, 0.2), received=(0, 0.1), states={"S0": 0.7, "REJ": 0.3}),
    Scenario("noise", 1, ports=(443, 80), alert=1.0, severity=3),
)

ATTACKS = (
    Scenario(
        "port scan",
        30,
        "T1046",
        where="inside",
        sent=(3.8, 0.1),
        received=(0.5, 1),
        seconds=(-6, 1),
        states={"S0": 0.6, "REJ": 0.4},
    ),
    Scenario("password guessing", 20, "T1110", (22, 88, 3389), "inbound", login=2, alert=0.3, severity=2),
    Scenario("exfiltration", 10, "T1048", sent=(17, 1.5), received=(8, 1), seconds=(5, 1)),
    Scenario("beacon", 10, "T1071", (8443, 443), sent=(5.5, 0.05), received=(5.2, 0.05), seconds=(-2, 0.1), alert=0.4, severity=2),
    Scenario("flood", 10, "T1498", (80, 443), "inbound", (11, 0.5), (0.5, 0.5), (0, 0.5), {"S0": 0.5, "S1": 0.5}),
    Scenario("spread over shares", 10, "T1021", (445, 135, 5985), "inside", (14, 1), (10, 1), (3, 1), alert=0.3, severity=1),
    Scenario("name tunnel", 5, "T1071.004", (53,), sent=(9.5, 0.5), received=(9.5, 0.5), seconds=(4, 1), protocol="udp"),
    Scenario("exploit", 5, "T1190", (80, 443, 8080), "inbound", (9, 0.5), (7, 1), alert=0.9, severity=1),
)

TECHNIQUES = {
    "T1046": "Network Service Discovery",
    "T1110": "Brute Force",
    "T1048": "Exfiltration Over Alternative Protocol",
    "T1071": "Application Layer Protocol",
    "T1071.004": "Application Layer Protocol: DNS",
    "T1498": "Network Denial of Service",
    "T1021": "Remote Services",
    "T1190": "Exploit Public-Facing Application",
}
"""MITRE ATT&CK (Enterprise) names."""

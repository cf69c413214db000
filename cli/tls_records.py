"""Where the handshakes of `quantumai tls` are recorded: in the audit, and in the topic kms.audit when that is asked for."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cli.kms_audit import trail_of
from kms.audit.forwarding import forward
from kms.audit.sealing import Sealer
from kms.keyring import KeyRing
from kms.tls.errors import NotReported
from kms.tls.handshake import Handshake
from schemas.manifests import KmsAudit
from streams.errors import StreamsError
from streams.settings import Settings
from streams.sync_client import SyncClient

Record = Callable[[Handshake], None]
Send = Callable[[Sequence[KmsAudit]], None]


@contextmanager
def recording(chosen: Settings, ring: KeyRing | None, publish: bool) -> Iterator[Record]:
    """Yields what records a handshake; it returns when that is done, so that nothing is served before.

    Args:
        chosen: the settings.
        ring: opened with its token; None: there is no platform here, and so no audit but the topic.
        publish: send them to the topic, too.

    Raises:
        NotReported, AuditUnwritable: a handshake cannot be published, or recorded.
    """
    with _publishing(chosen, publish) as send:
        if ring is None:
            yield lambda handshake: send([handshake.audit()])
            return
        trail, lock = trail_of(chosen, ring), threading.Lock()

        def send_on() -> None:
            if publish:
                with lock:
                    forward(chosen.home, send)

        def record(handshake: Handshake) -> None:
            trail.append(handshake.audit())
            send_on()

        with Sealer(trail):
            yield record
        send_on()  # the last seal


@contextmanager
def _publishing(chosen: Settings, publish: bool) -> Iterator[Send]:
    if not publish:
        yield lambda _: None
        return
    with SyncClient(chosen, source="/tls") as client:

        def send(entries: Sequence[KmsAudit]) -> None:
            try:
                client.publish_audit(*entries)
            except StreamsError as error:
                raise NotReported(f"a handshake cannot be published: {error}") from error

        yield send

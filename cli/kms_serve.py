"""`quantumai kms serve`: the key service over TLS."""

from cli.options import Home, settings
from cli.serving import ClientCa, Host, Names, Plain, Port, TlsCert, TlsKey, TlsPolicy, serve_over_tls
from kms.tls.policies import DEFAULT


def serve(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8444,
    names: Names = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    client_ca: ClientCa = None,
    plain: Plain = False,
    tls_policy: TlsPolicy = DEFAULT,
    home: Home = None,
) -> None:
    """Serve keys by REST until Ctrl-C: sign, verify, encapsulate, decapsulate, rotate, read the audit.

    Clients need a bearer token (`quantumai token issue`) or, with --client-ca, a certificate that clients.json gives roles.
    """
    from api.kms_service import service  # noqa: PLC0415 - only a service needs it

    chosen = settings(home)
    serve_over_tls(
        service(chosen),
        chosen,
        host,
        port,
        names=names,
        tls_cert=tls_cert,
        tls_key=tls_key,
        client_ca=client_ca,
        plain=plain,
        policy_name=tls_policy,
        audited=True,
    )

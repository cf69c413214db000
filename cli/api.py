"""`quantumai api`: the platform by REST."""

from cli.options import Home, settings
from cli.serving import ClientCa, Host, Names, Plain, Port, TlsCert, TlsKey, serve_over_tls


def api(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8443,
    names: Names = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    client_ca: ClientCa = None,
    plain: Plain = False,
    home: Home = None,
) -> None:
    """Serve predictions, jobs, results, threats and findings by REST until Ctrl-C.

    Clients need a bearer token (`quantumai token issue --audience threat --role producer --role reader`) or, with --client-ca, a
    certificate that clients.json gives roles.
    """
    from api.platform_service import service  # noqa: PLC0415 - only a service needs it

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
    )

"""Contexts of pyOpenSSL from a policy's offer.

pyOpenSSL has no public setter for groups and signature schemes. OPENSSL_CONF could set them, but for a whole process, so that a
client under one policy could not stand beside a server under another. `cryptography` exports the two functions of OpenSSL in its
binding for this very use (pyca/cryptography pull request 14288); they are called on the context's own pointer. The tests look at
what goes over the wire, so that a version in which this has no effect does not pass.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL, crypto

from kms.tls.authority import trusted
from kms.tls.errors import AuthorityError, TlsUnsupported
from kms.tls.leaves import Credential
from kms.tls.policies import Offer, Policy
from kms.tls.reasons import reason

_VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}
_SUITES_13 = b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
_SUITES_12 = b"ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(offer: Offer, credentials: Sequence[Credential]) -> SSL.Context:
    """A server's context: of several certificates the client's signature schemes choose one.

    Raises:
        TlsUnsupported: the library does not know a group or a scheme of the offer.
    """
    context = _context(offer)
    for credential in credentials:
        with warnings.catch_warnings():
            # `use_privatekey` takes no ML-DSA key of `cryptography` yet; a PKey from DER in memory keeps it off the disk.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.use_certificate(credential.certificate)
            context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_ASN1, _der(credential)))
        context.check_privatekey()
    return context


def own_context(offer: Offer, certificate: Path, key: Path) -> SSL.Context:
    """A server's context by a certificate chain and its key in PEM files.

    Raises:
        AuthorityError: they cannot be read, or do not belong together.
    """
    context = _context(offer)
    try:
        context.use_certificate_chain_file(str(certificate))
        context.use_privatekey_file(str(key))
        context.check_privatekey()
    except SSL.Error as error:
        raise AuthorityError(f"{certificate} and {key} are no certificate and its key: {reason(error)}") from None
    return context


def take_clients(context: SSL.Context, ca: Path) -> None:
    """Lets clients show a certificate of a CA; those without one have a connection, too.

    Raises:
        AuthorityError: the file has no CA certificates.
    """
    try:
        context.load_verify_locations(str(ca))
        context.load_client_ca(bytes(ca))
    except SSL.Error as error:
        raise AuthorityError(f"{ca} is no PEM file of CA certificates: {reason(error)}") from None
    context.set_verify(SSL.VERIFY_PEER)


def client_context(policy: Policy, roots: Sequence[x509.Certificate]) -> SSL.Context:
    """A client's context: it verifies the server's chain strictly by RFC 5280, up to one of the roots that the policy trusts.

    The signature schemes of the offer do not keep a root out: OpenSSL does not hold the signatures of certificates against them.

    Raises:
        AuthorityError: the policy trusts none of the roots.
        TlsUnsupported: the library does not know a group or a scheme of the offer.
    """
    anchors = trusted(policy, roots)
    context = _context(policy.client)
    store = context.get_cert_store()
    assert store is not None  # noqa: S101 - every context has one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for root in anchors:
            store.add_cert(crypto.X509.from_cryptography(root))
    store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    context.set_verify(SSL.VERIFY_PEER)
    return context


def expect_name(connection: SSL.Connection, name: str, address: bytes | None) -> None:
    """Lets a client's connection accept certificates of this name only: a DNS name, or an IP address with its packed bytes."""
    lib = Binding.lib
    parameters = lib.SSL_get0_param(connection._ssl)
    if address is None:
        connection.set_tlsext_host_name(name.encode("ascii"))
        lib.X509_VERIFY_PARAM_set_hostflags(parameters, lib.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
        set_to = lib.X509_VERIFY_PARAM_set1_host(parameters, name.encode("ascii"), len(name))
    else:
        set_to = lib.X509_VERIFY_PARAM_set1_ip(parameters, address, len(address))
    if set_to != 1:
        raise TlsUnsupported(f"the TLS library does not take {name!r} as the name to expect")


def verify_failure(connection: SSL.Connection) -> str:
    """Why a client's connection did not accept the server's certificate, in OpenSSL's words."""
    lib, ffi = Binding.lib, Binding.ffi
    text = lib.X509_verify_cert_error_string(lib.SSL_get_verify_result(connection._ssl))
    return str(ffi.string(text).decode())


def _context(offer: Offer) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(_VERSIONS[offer.minimum])
    context.set_max_proto_version(_VERSIONS[offer.maximum])
    context.set_tls13_ciphersuites(_SUITES_13)
    context.set_cipher_list(_SUITES_12)
    _set(context, "SSL_CTX_set1_curves_list", offer.groups)
    _set(context, "SSL_CTX_set1_sigalgs_list", offer.signatures)
    # No resumption: each connection shows a certificate and negotiates its group under the policy of now.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def _set(context: SSL.Context, function: str, value: str) -> None:
    call = getattr(Binding.lib, function, None)
    if call is None or call(context._context, value.encode("ascii")) != 1:
        Binding.lib.ERR_clear_error()
        version = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()
        raise TlsUnsupported(f"{version} does not take {value!r}: hybrid TLS needs OpenSSL 3.5 or newer in `cryptography`")


def _der(credential: Credential) -> bytes:
    return bytes(credential.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))

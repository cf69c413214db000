"""The authority: what it issues verifies elsewhere, its keys stay in the token, and nobody else can issue for it."""

import copy
import shutil
import subprocess
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from kms.errors import UnknownAlgorithm
from kms.keyring import KeyRing
from kms.tls.authority import CA_ALGORITHMS, CA_USE, Authority, read_roots, spki, trusted
from kms.tls.errors import AuthorityError, TlsError, WrongName
from kms.tls.leaves import LEAVES, algorithm_of
from kms.tls.policies import POLICIES, policy
from kms.tls.token_keys import issuer
from schemas.record import now

OPENSSL = shutil.which("openssl")


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("algorithm", sorted(LEAVES))
def test_a_leaf_is_vouched_for_by_the_root_of_its_own_kind(authority, algorithm):
    found = authority.issue(algorithm, ["localhost", "127.0.0.1", "::1"])
    certificate, root = found.certificate, authority.roots[LEAVES[algorithm].authority]
    certificate.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    other = next(each for name, each in authority.roots.items() if name != LEAVES[algorithm].authority)
    with pytest.raises((InvalidSignature, ValueError, TypeError)):
        certificate.verify_directly_issued_by(other)
    assert algorithm_of(certificate) == algorithm
    assert certificate.public_key() == found.private_key.public_key()
    assert ("ML-DSA" in algorithm) is ("ML-DSA" in LEAVES[algorithm].authority)


def test_extensions_validity_and_serials_of_a_leaf(authority):
    leaves = [authority.issue("ECDSA-P256", ["Example.org", "127.0.0.1"], timedelta(hours=2)).certificate for _ in range(20)]
    assert len({leaf.serial_number for leaf in leaves}) == 20
    leaf = leaves[0]
    assert 0 < leaf.serial_number < 1 << 159  # RFC 5280 section 4.1.2.2
    assert leaf.serial_number.bit_length() > 64
    assert leaf.not_valid_before_utc < now() < leaf.not_valid_after_utc <= now() + timedelta(hours=2)
    names = extension(leaf, x509.SubjectAlternativeName)
    assert names.critical and leaf.subject == x509.Name([])  # RFC 5280 section 4.2.1.6
    assert names.value.get_values_for_type(x509.DNSName) == ["Example.org"]
    assert [str(address) for address in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    constraints, usage = extension(leaf, x509.BasicConstraints), extension(leaf, x509.KeyUsage)
    assert constraints.critical and not constraints.value.ca
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    root = authority.roots["ECDSA-P384"]
    assert extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier == (
        extension(root, x509.SubjectKeyIdentifier).value.digest
    )


def test_a_root_signs_certificates_and_nothing_else(authority):
    for root in authority.roots.values():
        constraints, usage = extension(root, x509.BasicConstraints), extension(root, x509.KeyUsage)
        assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
        assert usage.critical and usage.value.key_cert_sign and not usage.value.digital_signature
        assert root.issuer == root.subject


def test_a_leaf_never_outlives_its_root(authority):
    leaf = authority.issue("ECDSA-P256", ["localhost"], timedelta(days=40_000)).certificate
    assert leaf.not_valid_after_utc == authority.roots["ECDSA-P384"].not_valid_after_utc


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_the_command_line_tool_accepts_the_classical_chain(authority, tmp_path):
    root, leaf = tmp_path / "root.pem", tmp_path / "leaf.pem"
    root.write_bytes(authority.roots["ECDSA-P384"].public_bytes(Encoding.PEM))
    leaf.write_bytes(authority.issue("ECDSA-P256", ["localhost"]).certificate.public_bytes(Encoding.PEM))
    command = [OPENSSL, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost", "-CAfile", root, leaf]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"{leaf}: OK"), done.stderr


def test_keys_of_the_authority_sign_and_cannot_be_read(authority):
    for key in authority.keys.values():
        private, _ = issuer(key)
        for read in (
            lambda key=private: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            lambda key=private: key.private_numbers(),
            lambda key=private: key.private_bytes_raw(),
        ):
            with pytest.raises(TypeError, match="stays in its token"):
                read()
        assert copy.deepcopy(private) is private


def test_they_sign_what_certificates_need_and_nothing_looser(authority):
    classical, post_quantum = (issuer(authority.keys[name])[0] for name in CA_ALGORITHMS)
    classical.public_key().verify(classical.sign(b"data", ec.ECDSA(SHA384())), b"data", ec.ECDSA(SHA384()))
    assert isinstance(post_quantum.public_key(), mldsa.MLDSA65PublicKey)
    post_quantum.public_key().verify(post_quantum.sign(b"data"), b"data")
    with pytest.raises(TypeError, match="SHA-384"):
        classical.sign(b"data", ec.ECDSA(SHA256()))
    with pytest.raises(TypeError, match="no context"):
        post_quantum.sign(b"data", b"context")


def test_the_private_key_of_a_leaf_is_not_printed(authority):
    assert "private" not in repr(authority.issue("ECDSA-P256", ["localhost"]))


def test_roots_stay_when_the_authority_is_opened_again_and_after_a_rotation(authority, token, tmp_path):
    file, ring = tmp_path / "ca.pem", KeyRing.open(tmp_path / "keys.db", token)
    first = Authority.open(file, ring.ensure(CA_USE, CA_ALGORITHMS))
    written = file.read_bytes()
    assert Authority.open(file, ring.ensure(CA_USE, CA_ALGORITHMS)).roots == first.roots
    assert file.read_bytes() == written
    rotated = Authority.open(file, list(authority.keys.values()))  # other keys, as after a rotation
    roots = read_roots(file)
    assert len(roots) == 4
    assert {spki(root) for root in roots} == {spki(root) for each in (first, rotated) for root in each.roots.values()}
    assert b"PRIVATE" not in file.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_a_root_that_is_about_to_expire_is_made_anew(authority, monkeypatch):
    monkeypatch.setattr("kms.tls.authority.ROOT_LIFETIME", timedelta(hours=1))
    old = Authority(list(authority.keys.values())).roots.values()
    monkeypatch.undo()
    fresh = Authority(list(authority.keys.values()), list(old)).roots.values()
    assert not {root.serial_number for root in old} & {root.serial_number for root in fresh}


@pytest.mark.parametrize(
    "name", ["", "a b", "-a.example", "a..b", "*", "ü.example", "a" * 64, ".".join(["abcdefgh"] * 30), "1.2.3.4/24"]
)
def test_what_is_no_name_gets_no_certificate(authority, name):
    with pytest.raises(WrongName, match="neither a DNS name nor an IP address"):
        authority.issue("ECDSA-P256", [name])


def test_no_name_at_all_an_unknown_algorithm_and_an_unknown_policy_are_said(authority, keys):
    with pytest.raises(WrongName, match="needs a name"):
        authority.issue("ECDSA-P256", [])
    with pytest.raises(UnknownAlgorithm, match="RSA-512"):
        authority.issue("RSA-512", ["localhost"])
    with pytest.raises(TlsError, match="no TLS policy 'none'; known: classical, dual, pqc-required"):
        policy("none")


def test_a_file_of_roots_that_is_missing_or_broken_is_said(authority, tmp_path):
    with pytest.raises(AuthorityError, match="there are no CA certificates at"):
        read_roots(tmp_path / "none.pem")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for use in (read_roots, lambda file: Authority.open(file, list(authority.keys.values()))):
        with pytest.raises(AuthorityError, match="is no PEM file of certificates"):
            use(broken)
    assert broken.read_text().count("AAAA") == 1  # not overwritten


def test_a_client_trusts_the_roots_of_its_policy_only(authority):
    roots = list(authority.roots.values())
    assert [algorithm_of(root) for root in trusted(POLICIES["pqc-required"], roots)] == ["ML-DSA-65"]
    assert [algorithm_of(root) for root in trusted(POLICIES["classical"], roots)] == ["ECDSA-P384"]
    assert len(trusted(POLICIES["dual"], roots)) == 2
    with pytest.raises(AuthorityError, match="pqc-required trusts CA certificates of ML-DSA-65; there are: ECDSA-P384"):
        trusted(POLICIES["pqc-required"], [authority.roots["ECDSA-P384"]])

"""Both kinds of token, really: what they sign verifies elsewhere, what they hold does not come out, what is wrong is said."""

import multiprocessing
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pkcs11
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kms import modules
from kms.errors import KeyMissing, ModuleMissing, PinMissing, SealBroken, TokenError, TokenMissing, UnknownAlgorithm, WrongSignature
from kms.keys import KeySpec, TokenKey
from kms.modules import SOFT_TOKENS, installed_module, soft_token
from kms.provision import init_token
from kms.token import open_token

MESSAGE = b"what is signed"


def verified_elsewhere(spki, signature, data):
    """By `cryptography` on the public key alone, none of our code between."""
    key = load_der_public_key(spki)
    if isinstance(key, ec.EllipticCurvePublicKey):
        assert key.curve.name == "secp384r1"
        r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA384()))
    else:
        assert isinstance(key, mldsa.MLDSA65PublicKey)
        key.verify(signature, data)


def test_what_is_signed_verifies_elsewhere_and_nothing_else_does(keys):
    assert [key.public.algorithm for key in keys] == ["ECDSA-P384", "ML-DSA-65"]
    for key in keys:
        signature = key.sign(MESSAGE)
        verified_elsewhere(key.public.spki, signature, MESSAGE)
        key.public.verify(signature, MESSAGE)
        with pytest.raises(InvalidSignature):
            verified_elsewhere(key.public.spki, signature, MESSAGE + b"!")
        for wrong in (signature[:-1] + bytes([signature[-1] ^ 1]), signature[:-1], b"", signature + b"\0"):
            with pytest.raises(WrongSignature):
                key.public.verify(wrong, MESSAGE)


def test_a_signature_of_one_algorithm_is_none_of_the_other(keys):
    classical, post_quantum = keys
    with pytest.raises(WrongSignature):
        classical.public.verify(post_quantum.sign(MESSAGE), MESSAGE)
    with pytest.raises(WrongSignature):
        post_quantum.public.verify(classical.sign(MESSAGE), MESSAGE)


def test_private_keys_do_not_leave_the_token(token, keys):
    def values(session):
        secrets = list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}))
        secrets += session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
        assert len(secrets) >= 2
        for secret in secrets:
            assert secret[pkcs11.Attribute.EXTRACTABLE] is False
            with pytest.raises((pkcs11.AttributeSensitive, pkcs11.AttributeTypeInvalid)):
                secret[pkcs11.Attribute.VALUE]

    token._session.use(values)


def test_post_quantum_keys_are_inside_or_sealed(token, keys, provisioned):
    inside = "kryoptic" in provisioned.module.name
    assert token.place("ML-DSA-65") == ("inside" if inside else "sealed")
    assert (keys[1].inside.sealed is None) is inside
    assert keys[0].inside.sealed is None


def test_a_sealed_key_opens_under_its_own_name_only(token):
    if token.place("ML-DSA-65") == "inside":
        pytest.skip("this token seals nothing")
    key = token.generate(KeySpec("seal-test", "ML-DSA-65", 1))
    verified_elsewhere(key.spki, token.sign(key, MESSAGE), MESSAGE)
    assert len(key.sealed) == 12 + 32 + 16
    flipped = key.sealed[:20] + bytes([key.sealed[20] ^ 1]) + key.sealed[21:]
    for changed in (
        TokenKey(KeySpec("other", "ML-DSA-65", 1), key.spki, key.object_id, key.sealed),
        TokenKey(KeySpec("seal-test", "ML-DSA-65", 2), key.spki, key.object_id, key.sealed),
        TokenKey(key.spec, key.spki, key.object_id, flipped),
        TokenKey(key.spec, key.spki, key.object_id, b""),
        TokenKey(key.spec, key.spki, key.object_id, key.sealed[:13]),
    ):
        with pytest.raises(SealBroken, match="does not open"):
            token.sign(changed, MESSAGE)
    verified_elsewhere(key.spki, token.sign(key, MESSAGE), MESSAGE)


def test_a_key_of_another_token_is_named(token):
    spec = KeySpec("log", "ECDSA-P384", 1)
    with pytest.raises(KeyMissing, match="do not belong together"):
        token.sign(TokenKey(spec, b"spki", b"nowhere"), MESSAGE)


def test_an_unknown_algorithm_is_refused(token):
    with pytest.raises(UnknownAlgorithm, match="RSA-512"):
        token.generate(KeySpec("log", "RSA-512", 1))


def test_threads_sign_side_by_side(keys):
    def sign(number):
        key = keys[number % 2]
        verified_elsewhere(key.public.spki, key.sign(b"%d" % number), b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(sign, range(64)))) == 64


def test_the_second_login_of_a_process_takes_part_in_the_first(provisioned, token, keys):
    again = open_token(provisioned.module, provisioned.label, provisioned.pin_file.read_text())
    key = keys[0]
    verified_elsewhere(key.public.spki, again.sign(key.inside, MESSAGE), MESSAGE)


def test_a_forked_process_is_told_to_open_its_own(keys):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_sign_in_child, args=(queue, keys[0]))
    child.start()
    assert "before a fork" in queue.get()
    child.join()


def _sign_in_child(queue, key):
    try:
        key.sign(MESSAGE)
        queue.put("signed")
    except TokenError as error:
        queue.put(str(error))


SIGN_IN_PROCESS = """
import pathlib, sys
from kms.keyring import KeyRing
from kms.token import open_token
module, folder, ring, count, pin = sys.argv[1:]
token = open_token(pathlib.Path(module), "tests", pin or (pathlib.Path(folder) / "pin").read_text(), pathlib.Path(folder))
keys = KeyRing.open(pathlib.Path(ring), token).ensure("shared", ("ECDSA-P384", "ML-DSA-65"))
for number in range(int(count)):
    for key in keys:
        key.public.verify(key.sign(b"%d" % number), b"%d" % number)
print(*(key.public.kid for key in keys))
"""


def process(provisioned, ring, count, pin=""):
    command = [sys.executable, "-c", SIGN_IN_PROCESS, str(provisioned.module), str(provisioned.folder), str(ring), str(count), pin]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_make_one_pair_of_keys_and_sign_at_once(provisioned, tmp_path):
    running = [process(provisioned, tmp_path / "keys.db", 20) for _ in range(6)]
    ended = [(child.communicate(timeout=120), child.returncode) for child in running]
    assert [code for _, code in ended] == [0] * 6, ended
    kids = {out for (out, _), _ in ended}
    assert len(kids) == 1
    assert len(kids.pop().split()) == 2


def test_a_wrong_pin_is_said_in_a_sentence(provisioned, tmp_path):
    _, error = process(provisioned, tmp_path / "keys.db", 1, pin="not-the-pin").communicate(timeout=60)
    assert "WrongPin: token 'tests' refuses the PIN; check QUANTUMAI_TOKEN_PIN" in error
    assert "not-the-pin" not in error


def test_what_is_missing_is_said(provisioned, token, tmp_path):
    with pytest.raises(PinMissing, match="QUANTUMAI_TOKEN_PIN_FILE"):
        open_token(provisioned.module, "tests", "")
    with pytest.raises(TokenMissing, match="no token of the label 'other' \\(initialised: 'tests'\\)"):
        open_token(provisioned.module, "other", "1234")
    with pytest.raises(ModuleMissing, match="there is no PKCS#11 module at"):
        open_token(tmp_path / "none.so", "tests", "1234")
    text = tmp_path / "text.so"
    text.write_text("not a library")
    with pytest.raises(ModuleMissing, match="does not load"):
        open_token(text, "tests", "1234")


def test_a_token_is_made_once_and_its_pin_is_the_owners_alone(provisioned):
    pin = provisioned.pin_file.read_text()
    again = init_token(provisioned.module, provisioned.label, provisioned.folder)
    assert again == provisioned
    assert provisioned.pin_file.read_text() == pin
    assert len(pin) == 24
    assert stat.S_IMODE(provisioned.pin_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(provisioned.folder.stat().st_mode) == 0o700


def test_a_token_whose_pin_file_is_gone_gets_no_new_pin(provisioned):
    aside = provisioned.pin_file.rename(provisioned.folder / "aside")
    try:
        with pytest.raises(PinMissing, match="put it back"):
            init_token(provisioned.module, provisioned.label, provisioned.folder)
        assert not provisioned.pin_file.exists()
    finally:
        aside.rename(provisioned.pin_file)


KILLED_OVER_IT = """
import os, signal
import PyKCS11
made = PyKCS11.PyKCS11Lib.initToken
def init_and_die(*arguments):
    made(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
PyKCS11.PyKCS11Lib.initToken = init_and_die
"""


OPEN_IN_PROCESS = """
import pathlib, sys
from kms.token import open_token
module, folder = map(pathlib.Path, sys.argv[1:])
open_token(module, "t", (folder / "pin").read_text(), folder)
"""


def test_a_token_over_whose_making_a_process_was_killed_is_made_again(provisioned, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(KILLED_OVER_IT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "token"
    with pytest.raises(TokenError, match="cannot be initialised"):
        init_token(provisioned.module, "t", folder)
    assert not soft_token(provisioned.module).made(folder)
    monkeypatch.delenv("PYTHONPATH")
    made = init_token(provisioned.module, "t", folder)
    command = [sys.executable, "-c", OPEN_IN_PROCESS, str(made.module), str(folder)]
    assert subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stderr == ""
    assert sorted(path.name for path in folder.iterdir() if path.name in {"draft", "pin"}) == ["pin"]


def test_a_storage_that_holds_no_token_of_ours_is_not_touched_and_what_to_do_is_said(tmp_path):
    kryoptic = SOFT_TOKENS[0].modules[0]  # one token a storage; SoftHSM2 makes room for another
    init_token(kryoptic, "theirs", tmp_path / "token")
    with pytest.raises(TokenError, match=r"another token.* move .* away"):
        init_token(kryoptic, "ours", tmp_path / "token")


def test_the_module_of_a_token_is_the_one_it_was_made_with(provisioned, tmp_path):
    assert installed_module(provisioned.folder) == provisioned.module
    assert installed_module(tmp_path).is_file()


def test_a_module_that_is_not_installed_is_said(provisioned, monkeypatch, tmp_path):
    monkeypatch.setattr(modules, "SOFT_TOKENS", tuple(replace(token, modules=(tmp_path / "gone.so",)) for token in SOFT_TOKENS))
    for folder, whose in ((provisioned.folder, "was made with is installed"), (tmp_path, "we know is installed")):
        with pytest.raises(ModuleMissing, match=whose):
            installed_module(folder)


GENERATE_IN_PROCESS = """
import pathlib, sys
from kms.keys import KeySpec
from kms.token import open_token
module, folder = map(pathlib.Path, sys.argv[1:])
token = open_token(module, "tests", (folder / "pin").read_text(), folder)
for number in range(8):
    token.generate(KeySpec("busy", "ECDSA-P384", number))
"""


def test_processes_that_make_keys_at_once_wait_for_each_other(provisioned):
    command = [sys.executable, "-c", GENERATE_IN_PROCESS, str(provisioned.module), str(provisioned.folder)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(child.communicate(timeout=120)[1], child.returncode) for child in running] == [("", 0)] * 3


SESSIONS_IN_PROCESS = """
import pathlib, sys
from concurrent.futures import ThreadPoolExecutor
from kms.keys import KeySpec
from kms.token import open_token
module, folder = map(pathlib.Path, sys.argv[1:])
tokens = [open_token(module, "tests", (folder / "pin").read_text(), folder) for _ in range(8)]
key = tokens[0].generate(KeySpec("threads", "ECDSA-P384", 1))
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda number: tokens[number % 8].sign(key, b"data"), range(400)))
"""


def test_eight_threads_with_a_session_each_do_not_crash_the_module(provisioned):
    command = [sys.executable, "-c", SESSIONS_IN_PROCESS, str(provisioned.module), str(provisioned.folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_vendors_module_is_initialised_by_its_vendor(tmp_path):
    module = tmp_path / "libvendor.so"
    module.touch()
    with pytest.raises(ModuleMissing, match="vendor's tool"):
        init_token(module, "tests", tmp_path / "token")
    assert not (tmp_path / "token").exists()


def test_a_module_that_refuses_to_initialise_is_said(provisioned, tmp_path):
    broken = tmp_path / provisioned.module.name
    broken.write_text("not a library")
    with pytest.raises(TokenError, match="cannot be initialised"):
        init_token(broken, "tests", tmp_path / "token")

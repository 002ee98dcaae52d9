"""Ed25519 signatures of model files.

A signature is the file's last field: one more `metadata_props` entry, which every reader of ONNX ignores. What
is signed is the SHA-256 of all bytes before it, so a signed model is still one file, signing changes nothing of
what was proven, and nothing can be appended. `cryptography` comes with the extra `signing` and is imported only
where a signature is made or checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode.errors import ModelError
from edgenode.inference import wire
from edgenode.inference.onnx_file import read_model_bytes
from edgenode.inference.store_files import write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_KEY = "edgenode.signature"
"""The key of the metadata entry."""
_METADATA_FIELD = 14
"""`metadata_props` of ONNX's ModelProto."""
_DOMAIN = b"edgenode model signature v1\n"
_MAX_VALUE = 1024


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key whose signatures count. `raw` are its 32 bytes."""

    raw: bytes

    @property
    def id(self) -> str:
        return key_id(self.raw)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count, and whether a model needs one. By default nobody's and none."""

    keys: tuple[TrustedKey, ...] = ()
    required: bool = False

    def check(self, data: bytes, where: str) -> str | None:
        """The id of the trusted key that signed `data`; None where none did and none is needed.

        Raises ModelError for a missing signature where one is required, and for a wrong one by a trusted key.
        """
        if not self.keys and not self.required:
            return None
        found = signature_of(data, where)
        if found is None:
            if self.required:
                raise ModelError(
                    f"{where}: is not signed, and rollout.require_signature is set; sign it with "
                    "`edgenode model sign`"
                )
            return None
        key = next((each for each in self.keys if each.id == found.key_id), None)
        if key is None:
            if self.required:
                raise ModelError(
                    f"{where}: is signed by key {found.key_id}, which is none of rollout.trusted_keys"
                )
            return None
        if not _is_valid(key.raw, found, data):
            raise ModelError(
                f"{where}: its signature by key {found.key_id} does not fit its bytes: it was changed after it "
                "was signed; do not use it"
            )
        return key.id


NO_TRUST = Trust()
"""No signature counts, and none is needed."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a file says about who signed it; proves nothing by itself."""

    key_id: str
    value: bytes
    signed_bytes: int
    """The signature is about so many bytes from the file's beginning."""


def key_id(raw: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a public key's 32 bytes."""
    return hashlib.sha256(raw).hexdigest()[:16]


def signature_of(data: bytes, where: str) -> Signature | None:
    """The signature in the file, or None. Raises ModelError where it is malformed or not the last thing."""
    budget = wire.Budget(where)
    found: tuple[str, int] | None = None
    end = last = 0
    for item in wire.fields(data, 0, len(data), budget):
        begin, end = end, item.end
        if item.number != _METADATA_FIELD or item.wire_type != wire.BYTES:
            continue
        key, value = _entry(data, item, budget)
        if key != SIGNATURE_KEY:
            continue
        if found is not None:
            raise ModelError(f"{where}: holds two signatures; sign the unsigned file")
        found = (value, begin)
        last = item.end
    if found is None:
        return None
    if last != len(data):
        raise ModelError(f"{where}: holds something behind its signature; do not use it")
    return _parsed(*found, where)


def signed(data: bytes, key: Ed25519PrivateKey, where: str) -> bytes:
    """`data` with a signature by `key` at its end, in place of one that is there. Raises ModelError."""
    old = signature_of(data, where)
    body = data[: old.signed_bytes] if old is not None else data
    raw = _raw(key.public_key())
    value = _value(key_id(raw), key.sign(_message(body))).encode()
    entry = _bytes_field(1, SIGNATURE_KEY.encode()) + _bytes_field(2, value)
    return body + _bytes_field(_METADATA_FIELD, entry)


@dataclass(frozen=True, slots=True)
class SignedFile:
    """What signing made: who signed, and the file's new identity."""

    key_id: str
    sha256: str


def sign_file(file: Path, key: Path, out: Path) -> SignedFile:
    """Write `file`, signed by the private key in the file `key`, to `out`, atomically. Raises ModelError."""
    private = private_key(key)
    data = signed(read_model_bytes(file), private, str(file))
    try:
        write_atomically(out, data)
    except OSError as error:
        raise ModelError(f"{out}: cannot be written: {error.strerror or error}") from error
    return SignedFile(key_id(_raw(private.public_key())), hashlib.sha256(data).hexdigest())


def new_key(private: Path, public: Path) -> str:
    """Write a new key pair: `private` for its owner's eyes only, `public` for `rollout.trusted_keys`; the key's id.

    Raises ModelError where a file is there already or cannot be written.
    """
    with _library():
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    shown = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    try:
        for path, text, mode in ((private, secret, 0o600), (public, shown, 0o644)):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(text)
    except OSError as error:
        raise ModelError(f"{error.filename or private}: cannot be written: {error.strerror}") from error
    return key_id(_raw(key.public_key()))


def private_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises ModelError."""
    with _library():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    try:
        key = load_pem_private_key(_read(path), None)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path}: holds no private key without password in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelError(f"{path}: is no Ed25519 key; make one with `edgenode model keygen`")
    return key


def trusted(paths: Sequence[Path], required: bool) -> Trust:
    """The trust in the public keys in PEM files. Raises ModelError naming the file that holds none."""
    if not paths:
        if required:
            raise ModelError(
                "rollout.require_signature without rollout.trusted_keys: no model could be trusted"
            )
        return NO_TRUST
    with _library():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    keys = []
    for path in paths:
        try:
            key = load_pem_public_key(_read(path))
        except ValueError as error:
            raise ModelError(f"{path}: holds no public key in PEM form") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ModelError(f"{path}: is no Ed25519 key; make one with `edgenode model keygen`")
        keys.append(TrustedKey(_raw(key)))
    return Trust(tuple(keys), required)


class _library:  # noqa: N801 - reads as a statement
    """Within the block, a missing `cryptography` becomes a ModelError that says what to install."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is not None and issubclass(kind, ImportError):
            raise ModelError("signatures need the package cryptography: install edgenode[signing]") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(65536)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes_raw()


def _message(body: bytes) -> bytes:
    return _DOMAIN + hashlib.sha256(body).hexdigest().encode()


def _is_valid(raw: bytes, signature: Signature, data: bytes) -> bool:
    with _library():
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    message = _DOMAIN + hashlib.sha256(memoryview(data)[: signature.signed_bytes]).hexdigest().encode()
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature.value, message)
    except InvalidSignature:
        return False
    return True


def _entry(data: bytes, item: wire.Field, budget: wire.Budget) -> tuple[str, str]:
    texts = ["", ""]
    for part in wire.fields(data, item.start, item.end, budget):
        if part.number in (1, 2):
            texts[part.number - 1] = wire.text(data, part, budget)
    return texts[0], texts[1]


def _value(key: str, signature: bytes) -> str:
    """What stands in the entry: one form alone, so that a signature cannot be written in two ways."""
    text = base64.b64encode(signature).decode()
    return json.dumps({"algorithm": "ed25519", "key": key, "signature": text})


def _parsed(value: str, begin: int, where: str) -> Signature:
    try:
        if len(value) > _MAX_VALUE:
            raise ValueError
        content = json.loads(value)
        if content["algorithm"] != "ed25519":
            raise ModelError(f"{where}: its signature is of a kind this node does not know")
        key, signature = content["key"], base64.b64decode(content["signature"], validate=True)
        if value != _value(key, signature):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise ModelError(f"{where}: its signature cannot be read") from error
    return Signature(key, signature, begin)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | wire.BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    text = bytearray()
    while value >= 0x80:
        text.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*text, value])

"""Signatures of indexes: usign's for opkg (Ed25519, in the form of OpenBSD's signify), and apk's (ECDSA over SHA-512).

The keys' files are named as in a tree that builds OpenWrt, so that one set of keys serves both.
"""

import base64
import hashlib
import os
import struct
import subprocess
import tempfile

import adb

_PUBLIC = struct.Struct(">2s8s32s")
"""Algorithm, fingerprint, key."""
_SECRET = struct.Struct(">2s2sI16s8s8s64s")
"""Algorithm, how it is encrypted and how often, salt, checksum, fingerprint, seed and public key."""
_SIGNATURE = struct.Struct(">2s8s64s")
_ED25519, _PLAIN = b"Ed", b"BK"

_PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before an Ed25519 seed (RFC 8410 section 7)."""
_POINT_LENGTH = 65
"""Of a public key on P-256, uncompressed."""

_ADB_SIGNATURE = bytes([0, 4])
"""Version 0, over a SHA-512."""


class Keys:
    """The two secret keys in a folder; those that are not there are made."""

    def __init__(self, folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._usign, self._apk = os.path.join(folder, "key-build"), os.path.join(folder, "private-key.pem")
        if not os.path.exists(self._usign):
            _write_secret(self._usign, _new_usign_key())
        if not os.path.exists(self._apk):
            _write_secret(self._apk, _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"))
        for path in (self._usign, self._apk):
            if os.stat(path).st_mode & 0o077:
                raise SystemExit(f"{path} is a secret that others may read: chmod 600 {path}")
        fields = _decode(self._usign, _SECRET)
        if fields[:3] != (_ED25519, _PLAIN, 0):
            raise SystemExit(f"{self._usign} is no key of usign's, or has a passphrase")
        self.fingerprint, self._seed = fields[5], fields[6][:32]

    def usign_public_key(self):
        """The file for /etc/opkg/keys, whose name there is the fingerprint in hexadecimal."""
        key = _public_of(self._seed)
        return _encode(f"public key {self.fingerprint.hex()}", _PUBLIC.pack(_ED25519, self.fingerprint, key))

    def apk_public_key(self):
        """The file for /etc/apk/keys, under any name that ends in .pem."""
        return _openssl("pkey", "-in", self._apk, "-pubout")

    def sign_list(self, octets):
        """The file beside an index of opkg's."""
        with _file_of(_PKCS8_ED25519 + self._seed) as key, _file_of(octets) as message:
            words = ("-sign", "-rawin", "-in", message.name, "-keyform", "DER", "-inkey", key.name)
            signature = _openssl("pkeyutl", *words)
        return _encode(
            f"signed by key {self.fingerprint.hex()}", _SIGNATURE.pack(_ED25519, self.fingerprint, signature)
        )

    def sign_adb(self, file):
        """The same file of apk's, with a signature after its first block."""
        schema, blocks = adb.split(file)
        point = _openssl("pkey", "-in", self._apk, "-pubout", "-outform", "DER")[-_POINT_LENGTH:]
        header = _ADB_SIGNATURE + hashlib.sha512(point).digest()[:16]
        signature = _openssl("dgst", "-sha512", "-sign", self._apk, input=signed_of_adb(schema, header, blocks[0][1]))
        return adb.join(schema, [blocks[0], (adb.SIGNATURE, header + signature), *blocks[1:]])


def signed_of_adb(schema, header, block):
    """What a signature of apk's with this header covers."""
    return schema + header + hashlib.sha512(block).digest()


def _new_usign_key():
    seed, fingerprint = os.urandom(32), os.urandom(8)
    secret = seed + _public_of(seed)
    checksum = hashlib.sha512(secret).digest()[:8]
    fields = (_ED25519, _PLAIN, 0, os.urandom(16), checksum, fingerprint, secret)
    return _encode(f"private key {fingerprint.hex()}", _SECRET.pack(*fields))


def _encode(comment, octets):
    return b"untrusted comment: %s\n%s\n" % (comment.encode(), base64.b64encode(octets))


def _decode(path, form):
    with open(path, "rb") as file:
        lines = file.read().splitlines()
    try:
        return form.unpack(base64.b64decode(lines[1], validate=True))
    except (IndexError, ValueError, struct.error):
        raise SystemExit(f"{path} is no key of usign's") from None


def _public_of(seed):
    with _file_of(_PKCS8_ED25519 + seed) as key:
        return _openssl("pkey", "-inform", "DER", "-in", key.name, "-pubout", "-outform", "DER")[-32:]


def _file_of(octets):
    """A file that only we may read, for as long as it is in use."""
    file = tempfile.NamedTemporaryFile()
    file.write(octets)
    file.flush()
    return file


def _openssl(*command, input=None):
    run = subprocess.run(["openssl", *command], input=input, capture_output=True)
    if run.returncode:
        raise SystemExit(f"openssl {command[0]}: {run.stderr.decode().strip()}")
    return run.stdout


def _write_secret(path, octets):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)

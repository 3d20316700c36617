"""Indexes are signed as usign and apk sign them."""

import base64
import hashlib
import os
import subprocess
import unittest

import made
import adb
import signing

FIXTURES = f"{made.ROOT}/tests/fixtures/packages"


def fixture(name):
    with open(f"{FIXTURES}/{name}", "rb") as file:
        return file.read()


def file_of(octets):
    path = os.path.join(made.temporary_folder(), "file")
    with open(path, "wb") as file:
        file.write(octets)
    return path


def apk_takes(file, public_key):
    """Whether the signature of a file of apk's is this key's; the key is a path."""
    schema, blocks = adb.split(file)
    kind, block = blocks[1]
    message, signature = signing.signed_of_adb(schema, block[:18], blocks[0][1]), file_of(block[18:])
    command = ["openssl", "dgst", "-sha512", "-verify", public_key, "-signature", signature]
    return kind == adb.SIGNATURE and subprocess.run(command, input=message, capture_output=True).returncode == 0


class Apk(unittest.TestCase):
    def test_what_a_signature_covers_is_what_apk_signed(self):
        for name in ("signed.apk", "packages.adb"):
            self.assertTrue(apk_takes(fixture(name), f"{FIXTURES}/key.pub.pem"), name)

    def test_an_index_is_signed_so_that_apk_takes_it_by_the_public_key(self):
        keys = signing.Keys(made.temporary_folder())
        public_key = file_of(keys.apk_public_key())
        _, (block, *_) = adb.split(fixture("packages.adb"))
        signed = keys.sign_adb(adb.join(b"indx", [block]))
        self.assertTrue(apk_takes(signed, public_key))
        self.assertFalse(apk_takes(signed, f"{FIXTURES}/key.pub.pem"))
        _, real = adb.split(fixture("packages.adb"))
        _, ours = adb.split(signed)
        self.assertEqual(ours[0], real[0])
        self.assertEqual(ours[1][1][:2], real[1][1][:2])

    def test_a_signature_names_its_key_as_apk_does(self):
        command = ["openssl", "pkey", "-pubin", "-in", f"{FIXTURES}/key.pub.pem", "-outform", "DER"]
        point = subprocess.run(command, capture_output=True, check=True).stdout[-65:]
        _, real = adb.split(fixture("packages.adb"))
        self.assertEqual(real[1][1][2:18], hashlib.sha512(point).digest()[:16])


class Opkg(unittest.TestCase):
    def test_a_signature_has_the_form_of_usigns_and_holds(self):
        keys, index = signing.Keys(made.temporary_folder()), fixture("Packages")
        comment, signature = keys.sign_list(index).splitlines()
        real_comment, real_signature = fixture("Packages.sig").splitlines()
        self.assertEqual(comment, real_comment[:-16] + keys.fingerprint.hex().encode())
        signature, real_signature = base64.b64decode(signature), base64.b64decode(real_signature)
        self.assertEqual((len(signature), signature[:2]), (len(real_signature), real_signature[:2]))
        self.assertEqual(real_signature[2:10].hex().encode(), real_comment[-16:])
        self.assertEqual(signature[2:10], keys.fingerprint)
        _, public_key = keys.usign_public_key().splitlines()
        public_key = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(public_key)[10:]
        command = ["openssl", "pkeyutl", "-verify", "-rawin", "-in", file_of(index), "-sigfile", file_of(signature[10:])]
        command += ["-pubin", "-keyform", "DER", "-inkey", file_of(public_key)]
        self.assertEqual(subprocess.run(command, capture_output=True).returncode, 0)

    def test_keys_are_made_once_and_kept_from_others(self):
        folder = os.path.join(made.temporary_folder(), "keys")
        first, again = signing.Keys(folder), signing.Keys(folder)
        self.assertEqual(first.usign_public_key(), again.usign_public_key())
        self.assertEqual(first.apk_public_key(), again.apk_public_key())
        for name in os.listdir(folder):
            self.assertEqual(os.stat(f"{folder}/{name}").st_mode & 0o777, 0o600)
        os.chmod(f"{folder}/key-build", 0o644)
        with self.assertRaisesRegex(SystemExit, "chmod 600"):
            signing.Keys(folder)

    def test_what_is_no_key_is_told(self):
        folder = made.temporary_folder()
        signing.Keys(folder)
        for wrong in (b"", b"untrusted comment: x\n", b"x\nRWQ=\n", b"x\n" + base64.b64encode(bytes(104)) + b"\n"):
            with open(f"{folder}/key-build", "wb") as file:
                file.write(wrong)
            with self.assertRaisesRegex(SystemExit, "no key of usign's"):
                signing.Keys(folder)


class Feeds(unittest.TestCase):
    def test_indexes_are_signed_on_request_and_the_public_keys_lie_beside(self):
        feeds = made.make(made.ROOT, "--keys", made.temporary_folder())
        added = feeds.keys() - made.FEEDS.keys()
        fingerprint = feeds["ipk/Packages.sig"].splitlines()[0][-16:].decode()
        self.assertEqual(added, {"ipk/Packages.sig", f"ipk/{fingerprint}", "apk/lispguard.pem"})
        self.assertTrue(apk_takes(feeds["apk/packages.adb"], file_of(feeds["apk/lispguard.pem"])))
        same = made.FEEDS.keys() - {"apk/packages.adb"}
        self.assertEqual({path: feeds[path] for path in same}, {path: made.FEEDS[path] for path in same})


if __name__ == "__main__":
    unittest.main()

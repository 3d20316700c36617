"""Nodes made known to each other through the pages, as by `lispguard export` and `lispguard join`; and QR codes."""

import hashlib
import json
import re
import unittest

import configuration
from made import KEYS, Pages
from router import ROOT
from test_settings import xtr

SITE = f"lispguard site branch {KEYS[2]} 10.2.0.0/24 fd10:2::/64"
MAP_SERVER = f"lispguard map-server {KEYS[2]} ms.example.net:51821 10.0.0.0/8 172.16.0.0/12"

# Texts of so many octets, and what a reader (zxing) took for them: in each, the blocks and patterns differ.
READ = {17: (21, "405624a0fc4b71f7"), 78: (33, "69bc260ba38fe2b1"), 190: (49, "b890f309e65c8f10"), 586: (81, "6d1f284db35428a3"), 858: (97, "be11768085125f40")}


def text(length):
    return "".join("lispguard map-server 0123456789+/=:"[(place * place + length) % 35] for place in range(length))


class Join(Pages):
    def lines(self):
        return self.browser.run("Array.from(document.querySelectorAll('[data-line]'), one => one.value)")

    def paste(self, line):
        self.browser.set("[data-paste]", line)
        self.browser.click("[data-add]")
        self.browser.wait("!document.querySelector('[data-add]').disabled && !!document.querySelector('[data-answer] [data-problem]')")
        return self.browser.run("document.querySelector('[data-answer] [data-problem]').dataset.problem")

    def test_what_others_need_is_what_the_program_exports(self):
        self.router.write_config(xtr())
        self.open("join")
        # The address towards the internet is a proposal.
        for host, argument in ((None, "192.0.2.1"), ("ms.example.net", "ms.example.net"), ("ms.example.net:7", "ms.example.net:7"),
                               ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]:7", "[2001:db8::1]:7")):
            if host:
                self.browser.set("[data-host]", host)
            exported = self.router.program("export", "--host", argument)[1].splitlines()
            self.assertEqual(self.lines(), exported)
            self.assertEqual(len(exported), 2)
        self.assertEqual(self.browser.run("document.querySelectorAll('img[src^=\"data:image/svg\"]').length"), 2)
        for wrong in ("", "a b", "ms:0", "-"):
            self.browser.set("[data-host]", wrong)
            self.assertEqual(self.problem()[0], "host")
            self.assertEqual(len(self.lines()), 1)

    def test_a_site_alone_names_no_address(self):
        self.router.write_config(xtr().replace("\tlist role 'map_server'\n", "").partition("config site")[0].replace(
            f"option public_key '{KEYS[1]}'", f"option public_key '{KEYS[2]}'\n\toption endpoint 'ms.example.net'"))
        self.open("join")
        self.assertFalse(self.browser.run("!!document.querySelector('[data-host]')"))
        self.assertEqual(self.lines(), self.router.program("export")[1].splitlines())

    def test_a_line_adds_what_the_program_would(self):
        for line in (SITE, MAP_SERVER, SITE.removeprefix("lispguard "), MAP_SERVER.replace(":51821", ""), MAP_SERVER.replace("ms.", "10.2-b."),
                     MAP_SERVER.replace("ms.example.net", "192.0.2.9"), MAP_SERVER.replace("ms.example.net", "[2001:db8::1]"), f"  {SITE}  "):
            with self.subTest(line=line):
                self.router.write_config(xtr())
                self.assertEqual(self.router.program("join", line.strip())[0], 0)
                wanted = self.router.config()
                self.router.write_config(xtr())
                self.open("join")
                self.assertEqual(self.paste(line), "added")
                # Nothing is in use before it is applied.
                self.assertEqual(self.router.config(), configuration.parse(xtr()))
                self.apply()
                self.assertEqual(self.router.config(), wanted)
                self.assertEqual(self.paste(line), "is")
                self.no_trace()

    def test_a_line_that_is_wrong_or_there_already_says_what_to_do(self):
        for line, kind in (
            ("", "line"), ("hello", "line"), ("lispguard site", "line"), (SITE.replace("=", ""), "line"), (SITE.partition(" 10.")[0], "line"),
            (SITE.replace("10.2.0.0/24", "10.2.0.1/24"), "line"), (SITE.replace("branch", "br-anch"), "line"), (SITE + " $(reboot)", "line"),
            (MAP_SERVER.replace(":51821", ":0"), "line"), (MAP_SERVER.replace("10.0.0.0/8", "10"), "line"), ("x" * 100_000, "line"),
            (SITE.replace("branch", "main"), "edit"), (SITE.replace("branch", "own_site"), "edit"), (SITE.replace(KEYS[2], KEYS[1]), "edit"),
        ):
            with self.subTest(line=line[:80]):
                self.router.write_config(xtr())
                self.assertNotEqual(self.router.program("join", line[:5000])[0] if line else 2, 0)
                self.open("join")
                self.assertEqual(self.paste(line), kind)
                self.apply()
                self.assertEqual(self.router.config(), configuration.parse(xtr()))
                self.no_trace()

    def test_a_line_that_the_role_has_no_use_for_is_refused(self):
        self.router.write_config(xtr().replace("\tlist role 'xtr'\n", ""))
        self.open("join")
        self.assertEqual(self.paste(MAP_SERVER), "edit")

    def test_a_name_that_is_taken_gets_a_number(self):
        self.router.write_config(xtr() + "\nconfig uplink 'ms'\n\toption device 'wan'\n")
        self.open("join")
        self.assertEqual(self.paste(MAP_SERVER), "added")
        self.assertIn("172.16.0.0/12", self.browser.run("document.querySelector('[data-answer]').innerText"))
        self.apply()
        self.assertEqual(self.router.config()["ms_2"]["endpoint"], "ms.example.net:51821")


class Codes(Pages):
    def test_codes_are_those_that_a_reader_has_read(self):
        self.open("join")
        for length, (size, digest) in READ.items():
            rows = self.browser.run(f"L.require('lispguard.qr').then(qr => qr.modules({json.dumps(text(length))}))")
            self.assertEqual((len(rows), len(rows[0])), (size, size))
            octets = bytes(module for row in rows for module in row)
            self.assertEqual(hashlib.sha256(octets).hexdigest()[:16], digest, length)

    def test_a_text_that_is_too_long_has_none(self):
        self.open("join")
        self.assertIsNone(self.browser.run(f"L.require('lispguard.qr').then(qr => qr.modules({json.dumps(text(859))}))"))


class Protocol(Pages):
    def test_the_handler_registers_itself_with_its_options(self):
        self.open("overview")
        found = self.browser.run("""L.require('protocol.lispguard').then(() => L.require('network')).then(network => L.require('form').then(form => {
            const protocol = new network.protocols.lispguard('overlay');
            const map = new form.Map('network');
            const section = map.section(form.NamedSection, 'overlay', 'interface');

            section.tab('general', 'General');
            section.tab('advanced', 'Advanced');
            protocol.renderFormOptions(section);
            return {
                options: section.children.map(option => [ option.option, option.datatype || null ]), errors: Object.keys(network.errors),
                instance: [ '', 'main', 'other' ].map(one => section.getOption('instance').validate('overlay', one)),
                device: protocol.getIfname(), title: protocol.getI18n(), is_floating: protocol.isFloating(), devices: protocol.getDevices()
            };
        }))""")
        self.assertEqual(found["options"], [["instance", None], ["mtu", "range(1280, 9000)"], ["metric", "uinteger"]])
        self.assertEqual(found["instance"][:2], [True, True])
        self.assertIn("main", found["instance"][2])
        self.assertEqual((found["device"], found["is_floating"], found["devices"]), ("overlay", True, None))

    def test_every_error_of_the_handler_is_explained(self):
        with open(f"{ROOT}/openwrt/files/lispguard.proto.sh") as file:
            script = file.read()
        codes = set(re.findall(r"\berror=([A-Z_]+)", script)) | set(re.findall(r"proto_notify_error \S+ ([A-Z_]+)", script))
        self.open("overview")
        known = self.browser.run("L.require('protocol.lispguard').then(() => L.require('network')).then(network => Object.keys(network.errors))")
        self.assertEqual(set(known), codes)
        options = set(re.findall(r"proto_config_add_\w+ (\w+)", script))
        self.assertEqual(options, {"instance", "mtu", "metric"})


if __name__ == "__main__":
    unittest.main()

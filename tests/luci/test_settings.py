"""Every option through the forms: what they write, what they refuse, and that reference and parser agree."""

import json
import os
import re
import unittest

import configuration
from made import KEYS, Pages, reference, schema

ROLES = ["xtr", "map_server"]
VALUES = {
    "role": ROLES, "private_key_file": None, "eid_space": ["10.0.0.0/8", "fd10::/16"], "on_miss": "native", "instance_id": "7",
    "control_port": "51921", "data_port": "51920", "lisp_port": "4343", "control_address": "fd4c:4947::1", "record_ttl": "30",
    "register_interval": "20", "registration_timeout": "90", "dataplane": "userspace", "data_device": "ov0", "control_device": "ovc",
    "miss_device": "ovm", "mtu": "1380", "fwmark": "0x4d00", "table": "5000", "rule_priority": "4000", "rules": "none",
    "multipath_l4": "1", "silence": "500", "handover_hold": "2000", "ubus_socket": "/tmp/ubus.sock", "map_cache_size": "512",
    "waiting_per_eid": "8", "waiting_total": "128", "max_sites": "16", "log_level": "debug", "run_dir": "/tmp/run",
    "state_dir": "/tmp/state", "control_socket": "/tmp/run/ctl.sock",
}
"""None of them is the default; the key is a test of its own."""

SECTIONS = {
    "eid_prefix": (None, {"prefix": "10.1.0.0/24", "record_ttl": "10"}),
    "map_server": ("ms", {"public_key": KEYS[2], "endpoint": "ms.example.net:51821", "authentication_key": "it's \"secret\"", "persistent_keepalive": "20"}),
    "site": ("branch", {"public_key": KEYS[2], "eid_prefix": ["10.2.0.0/24", "10.3.0.0/24"], "endpoint": "[2001:db8::1]:51821",
                        "authentication_key": "another", "accept_more_specifics": "0"}),
    "uplink": (None, {"device": "wan", "priority": "2", "weight": "50"}),
}

WRONG = {
    "private_key": ["short", KEYS[0][:-1], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="], "private_key_file": ["key"],
    "eid_space": ["10.0.0.0", "10.1.0.0/8", "10.0.0.0/33", "x"], "control_address": ["fe80::1", "10.0.0.1", "fd00"], "mtu": ["1279", "9001", "Auto"],
    "table": ["0", "248", "255", "4294967291"], "silence": ["1", "49", "60001"], "fwmark": ["0", "4294967293", "0x"], "data_port": ["51821"],
    "control_device": ["a b", "sixteen-letters-", "lg-data0"], "run_dir": ["run"], "control_socket": ["run", "/" + "x" * 107], "waiting_total": ["15"],
    "instance_id": ["-1", "1.5", "+1", "ten"],
}


EXTRA = f"""
config map_server 'ms'
	option public_key '{KEYS[2]}'
	option endpoint 'ms.example.net'

config site 'branch'
	option public_key '{KEYS[2]}'
	list eid_prefix '10.2.0.0/24'

config uplink
	option device 'eth0'
"""
"""After `xtr`: a section of each type that examples and bounds are tried in, the last of its type."""


def bounds(kind):
    """Of options of a type of section: the smallest and the largest number, as the reference has them."""
    found = {name: re.search(r"\b(\d+) to (\d+)\b", line) for name, line in reference()[kind].items() if not line.startswith(("path", "IPv6"))}
    return {name: (int(match[1]), int(match[2])) for name, match in found.items() if match}


def with_option(kind, name, value):
    """A right configuration but for one option, which it has with this value."""
    sections = configuration.parse(xtr() + EXTRA)
    section = [one for one in sections.values() if one[".type"] == kind][-1]
    if name == "private_key_file":
        del section["private_key"]
    if name == "max_sites":
        del sections["branch"]
    section[name] = [*value, *(one for one in section.get(name, []) if one not in value)] if isinstance(value, list) else value
    return configuration.dump(sections)


def xtr(text=""):
    return f"""
config lispguard 'main'
	list role 'xtr'
	list role 'map_server'
	option private_key '{KEYS[0]}'
	list eid_space '10.0.0.0/8'
{text}
config eid_prefix
	option prefix '10.1.0.0/24'

config map_server 'own'
	option public_key '{KEYS[1]}'

config site 'own_site'
	option public_key '{KEYS[1]}'
	list eid_prefix '10.1.0.0/24'
"""


class Settings(Pages):
    def main_options(self):
        return set(self.browser.run("Array.from(document.querySelectorAll('#view [data-name]'), one => one.dataset.name).filter(name => name.charAt(0) != '_')"))

    def test_every_option_that_is_set_through_the_form_is_in_the_file(self):
        key_file = f"{self.router.folder}/key"
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(KEYS[0])
        values = {**VALUES, "private_key_file": key_file}
        self.router.write_config("\nconfig lispguard 'main'\n")
        self.open("settings")
        self.assertEqual(set(values) | {"private_key"}, set(schema()["lispguard"]))
        for name, value in values.items():
            self.fill(name, value)
        self.apply()
        self.no_trace()
        self.open("peers")
        for kind, (name, options) in SECTIONS.items():
            self.assertEqual(set(options), set(schema()[kind]))
            self.open_dialog(kind, name)
            for option, value in options.items():
                self.fill(option, value, ".modal")
            self.close_dialog("save")
        self.apply()
        wanted = [("lispguard", values), *((kind, options) for kind, (_, options) in SECTIONS.items())]
        written = [(section[".type"], configuration.options(section)) for section in self.router.config().values()]
        self.assertEqual(written, wanted)
        code, out, err = self.router.program("check")
        self.assertEqual((code, err), (0, ""), out)

    def test_form_reference_and_parser_have_the_same_options(self):
        self.router.write_config(xtr())
        self.open("settings")
        shown = {"lispguard": self.main_options()}
        self.open("peers")
        for kind in SECTIONS:
            self.open_dialog(kind, SECTIONS[kind][0])
            shown[kind] = set(self.browser.run("Array.from(document.querySelectorAll('.modal [data-name]'), one => one.dataset.name)"))
            self.close_dialog("dismiss")
        self.assertEqual(shown, {kind: set(options) for kind, options in reference().items()})
        self.assertEqual(shown, {kind: set(options) for kind, options in schema().items()})

    def open_form(self, kind):
        """The form of a type of section; what it lies in."""
        self.open("settings" if kind == "lispguard" else "peers")
        if kind == "lispguard":
            return "#view"
        self.open_dialog(kind, SECTIONS[kind][0])
        return ".modal"

    def limits(self):
        """What `max_sites` is if it is not said, and at most."""
        found = json.loads(self.router.program("check", "--json")[1])
        return found["default_max_sites"], found["largest_max_sites"]

    def test_form_and_reference_have_the_same_defaults(self):
        self.router.write_config(xtr())
        checked = set()
        for kind, lines in reference().items():
            within = self.open_form(kind)
            for name, line in lines.items():
                if default := re.search(r".*default `?([\w./-]+?)`?(?: in .*)?\.$", line):
                    wanted = str(self.limits()[0]) if name == "max_sites" else default[1]
                    shown = self.browser.run(f"""(field => field.type == 'checkbox' ? (field.checked ? '1' : '0') : field.placeholder || field.value)
                        (document.querySelector('{within} [data-name="{name}"] :is(input, select)'))""")
                    # The control socket stands in the run directory.
                    self.assertEqual(os.path.basename(shown) if name == "control_socket" else shown, wanted, name)
                    checked.add((kind, name))
        self.assertLessEqual({("lispguard", "max_sites"), ("site", "accept_more_specifics"), ("uplink", "priority"), ("uplink", "weight")}, checked)

    def test_form_and_reference_have_the_same_words(self):
        self.router.write_config(xtr())
        checked = set()
        for kind, lines in reference().items():
            within = self.open_form(kind)
            for name, line in lines.items():
                words = self.browser.run(f"""Array.from(document.querySelectorAll('{within} [data-name="{name}"] :is(select option, .cbi-dropdown input)'), one => one.value)""")
                if words:
                    self.assertEqual(set(words), set(re.findall(r"`(\w+)`", line.partition(" · ")[0])), name)
                    checked.add(name)
        self.assertEqual(checked, {"role", "on_miss", "dataplane", "rules", "log_level"})

    def test_every_option_has_an_example_that_is_right(self):
        key_file = f"{self.router.folder}/example"
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(KEYS[0])
        examples = reference(r"((?:(?!#).*\n)+?)(?=\n?#|\Z)")
        self.assertEqual({kind: list(entries) for kind, entries in examples.items()}, {kind: list(lines) for kind, lines in reference().items()})
        for kind, entries in examples.items():
            for name, entry in entries.items():
                with self.subTest(kind=kind, name=name):
                    [(how, option, value)] = re.findall(r"Example: `(option|list) (\w+) '(.+?)'`", entry)
                    self.assertEqual(option, name)
                    self.assertEqual(how == "list", "list of" in entry.partition("\n")[0])
                    if value == "KEY":
                        value = KEYS[0] if name == "private_key" else KEYS[2]
                    self.router.write_config(with_option(kind, name, key_file if name == "private_key_file" else [value] if how == "list" else value))
                    code, _, err = self.router.program("check")
                    self.assertEqual((code, err), (0, ""))

    def test_a_small_package_takes_fewer_sites(self):
        self.router.write_config(xtr())
        real = self.router.program
        self.addCleanup(delattr, self.router, "program")
        self.router.program = lambda *words: (
            (0, '{"ok": true, "problems": [], "default_max_sites": 1, "largest_max_sites": 64}', "") if words == ("check", "--json") else real(*words))
        self.open("settings")
        self.assertEqual(self.browser.run("document.querySelector('[data-name=\"max_sites\"] input').placeholder"), "1")
        for value, is_right in (("64", True), ("65", False)):
            self.fill("max_sites", value)
            self.assertEqual(self.invalid("max_sites") is None, is_right)
        self.open("peers")
        self.browser.set('[data-type="site"] .cbi-section-create-name', "a")
        self.browser.click('[data-type="site"] .cbi-section-create button')
        self.browser.wait("document.getElementById('notices').textContent.includes('There are 1 of them')")

    def test_form_reference_and_parser_have_the_same_bounds(self):
        checked = set()
        for kind in reference():
            self.router.write_config(xtr())
            within = self.open_form(kind)
            for name, (least, most) in bounds(kind).items():
                checked.add((kind, name))
                if name == "max_sites":
                    most = self.limits()[1]
                for value, is_right in ((least, True), (most, True), (least - 1, False), (most + 1, False)):
                    # Below them are words or zeros with a meaning of their own, and what other options leave room for.
                    if value < 0 or (name in ("mtu", "silence", "waiting_total") and value < least):
                        continue
                    with self.subTest(kind=kind, name=name, value=value):
                        others = {"waiting_total": ("waiting_per_eid", "1"), "waiting_per_eid": ("waiting_total", "65536")}
                        if name == "waiting_total":
                            self.fill(*others[name])
                        self.fill(name, str(value), within)
                        self.assertEqual(self.invalid(name, within) is None, is_right, self.invalid(name, within))
                        text = with_option(kind, name, str(value))
                        if name in others:
                            text = text.replace(f"\toption {name}", "\toption {} '{}'\n\toption {}".format(*others[name], name))
                        self.router.write_config(text)
                        code, _, err = self.router.program("check")
                        self.assertEqual(code == 0, is_right, err)
                self.fill(name, "", within)
        self.assertLessEqual({("eid_prefix", "record_ttl"), ("map_server", "persistent_keepalive"), ("uplink", "priority"), ("uplink", "weight")}, checked)

    def test_form_and_parser_take_the_same_prefixes(self):
        self.router.write_config(xtr())
        self.open("settings")
        for prefix in ("1:2:3:4:5:6:7::/112", "::2:3:4:5:6:7:8/128", "1::3:4:5:6:7:8/128", "1:2:3:4:5:6:7:8/128", "::/0", "::/1", "::ffff:10.0.0.0/104", "1:2:3:4:5:6:10.0.0.1/128",
                       "FD10:0::/32", "1:2:3:4:5:6:7:8::/128", "1::2::3/128", ":::/0", "1:2:3:4:5:6:7/112", ":1::/16", "1:/16", "12345::/16", "10.0.0.0::/16",
                       "::10.0.0.256/128", "::10.0.0.01/128", "1:2:3:4:5:6:7:10.0.0.1/128", "g::/16", "10.0.0/8", "010.0.0.0/8", "256.0.0.0/8", "/8", "10.0.0.0/8/8"):
            with self.subTest(prefix=prefix):
                self.browser.set('#view [data-name="eid_space"] .add-item input', prefix)
                is_right = self.invalid("eid_space") is None
                self.router.write_config(xtr(f"\tlist eid_space '{prefix}'\n"))
                self.assertEqual(self.router.program("check")[0] == 0, is_right, self.router.program("check")[2])

    def test_what_waits_in_the_field_of_a_list_is_saved_or_refused(self):
        self.router.write_config(xtr())
        self.open("settings")
        field = '#view [data-name="eid_space"] .add-item input'
        self.browser.set(field, "fd10::/999")
        self.browser.click('[data-footer="handleSaveApply"]')
        self.browser.wait("document.body.classList.contains('modal-overlay-active')", "it says that it is not saved")
        self.no_trace_but_dialog()
        self.assertEqual(self.router.config(), configuration.parse(xtr()))
        self.browser.click(".modal button")
        self.browser.set(field, "fd10::/16")
        self.apply()
        self.assertEqual(self.router.config()["main"]["eid_space"], ["10.0.0.0/8", "fd10::/16"])

    def test_a_large_number_is_told_as_it_is(self):
        self.router.write_config(xtr())
        self.open("settings")
        self.fill("table", "0")
        self.assertIn("from 1 to 4294967290", self.invalid("table"))

    def test_a_wrong_value_says_what_to_write_and_nothing_is_saved(self):
        text = xtr()
        for name, values in WRONG.items():
            for value in values:
                with self.subTest(name=name, value=value):
                    self.router.write_config(text)
                    self.open("settings")
                    if isinstance(VALUES.get(name), list):
                        self.browser.set(f'#view [data-name="{name}"] .add-item input', value)
                    else:
                        self.fill(name, value)
                    self.assertTrue(self.invalid(name))
                    self.browser.click('[data-footer="handleSaveApply"]')
                    self.browser.wait("document.body.classList.contains('modal-overlay-active')", "it says that it is not saved")
                    self.no_trace_but_dialog()
        with open(self.router.file) as file:
            self.assertEqual(file.read(), text)

    def no_trace_but_dialog(self):
        # LuCI's own dialog; the promise that is rejected beside it is LuCI's, too.
        self.browser.errors.clear()
        self.browser.run("document.querySelectorAll('pre.error').forEach(one => one.remove())")

    def test_roles_decide_which_options_there_are(self):
        self.router.write_config("\nconfig lispguard 'main'\n")
        self.open("settings")
        self.fill("role", ["map_server"])
        hidden = set(self.browser.run("""Array.from(document.querySelectorAll('#view [data-name]')).filter(one => one.style.display == 'none')
            .map(one => one.dataset.name)"""))
        xtr_only = {name for name, line in reference()["lispguard"].items() if "· xTR" in line}
        self.assertEqual(hidden, xtr_only)
        self.fill("role", ["map_server", "xtr"])
        self.assertEqual(self.browser.run("document.querySelector('#view [data-name=\"max_sites\"]').style.display"), "none")
        self.fill("role", ["mobile_node"])
        self.assertIn("choose one of the two", self.invalid("role"))

    def test_a_key_is_made_in_place(self):
        self.router.write_config("\nconfig lispguard 'main'\n")
        self.open("settings")
        self.fill("role", ["map_server"])
        self.browser.click('[data-name="_generate"] button')
        public = self.browser.wait("document.getElementById('lispguard-public-key').textContent.length == 44 && document.getElementById('lispguard-public-key').textContent")
        self.assertIn("type=\"password\"", self.browser.run("document.querySelector('[data-name=\"private_key\"] input').outerHTML"))
        self.browser.click('[data-footer="handleSave"]')
        self.browser.wait("document.querySelector('[data-footer=\"handleSave\"]').disabled == false")
        self.assertEqual(self.browser.run("document.getElementById('lispguard-public-key').textContent"), public)
        self.apply()
        main = self.router.config()["main"]
        # Whoever may only read the configuration does not see it.
        self.assertNotIn("private_key", main)
        file = self.router.key_file(main["private_key_file"])
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        self.assertEqual(self.router.program("check")[0], 0)
        self.assertEqual(self.router.program("export", "--host", "ms.example.net")[1].split()[2], public)
        # Another one does not replace it before it is applied.
        self.browser.click('[data-name="_generate"] button')
        self.browser.wait(f"(key => key.length == 44 && key != '{public}')(document.getElementById('lispguard-public-key').textContent)")
        self.assertEqual(self.router.program("export", "--host", "ms.example.net")[1].split()[2], public)


class Sections(Pages):
    def test_a_wrong_section_is_refused_with_a_remedy(self):
        wrong = [
            ("eid_prefix", None, {"prefix": ""}, "prefix"), ("eid_prefix", None, {"prefix": "192.0.2.0/24"}, "prefix"),
            ("eid_prefix", None, {"prefix": "10.1.0.1/24"}, "prefix"), ("eid_prefix", None, {"prefix": "10.1.0.0/24"}, "prefix"),
            ("map_server", "other", {"public_key": KEYS[1], "endpoint": "ms.example.net"}, "public_key"),
            ("map_server", "other", {"public_key": KEYS[2], "endpoint": "2001:db8::1"}, "endpoint"),
            ("map_server", "other", {"public_key": KEYS[2]}, "endpoint"), ("map_server", "other", {"public_key": KEYS[2], "endpoint": "ms:0"}, "endpoint"),
            ("site", "other", {"public_key": KEYS[2], "eid_prefix": ["10.1.0.128/25"]}, "eid_prefix"),
            ("site", "other", {"public_key": KEYS[2]}, "eid_prefix"), ("uplink", None, {"device": "a/b"}, "device"),
            ("uplink", None, {"device": "wan", "priority": "256"}, "priority"), ("uplink", None, {"device": "wan", "weight": "-1"}, "weight"),
        ]
        for kind, name, options, option in wrong:
            with self.subTest(kind=kind, options=options):
                self.router.write_config(xtr())
                self.open("peers")
                self.open_dialog(kind, name)
                for key, value in options.items():
                    if isinstance(value, list):
                        self.browser.set(f'.modal [data-name="{key}"] .add-item input', value[0])
                    else:
                        self.fill(key, value, ".modal")
                self.assertTrue(self.invalid(option, ".modal"))
                self.browser.click('.modal [data-modal="save"]')
                self.browser.wait("!document.querySelector('.modal [data-modal=\"save\"]').disabled")
                self.assertTrue(self.browser.run("document.body.classList.contains('modal-overlay-active')"))
                self.close_dialog("dismiss")
                self.apply()
                self.assertEqual(len(self.router.config()), 4)

    def test_a_section_that_the_role_has_no_use_for_is_refused(self):
        self.router.write_config(f"\nconfig lispguard 'main'\n\tlist role 'xtr'\n\toption private_key '{KEYS[0]}'\n\tlist eid_space '10.0.0.0/8'\n")
        self.open("peers")
        self.browser.set('[data-type="site"] .cbi-section-create-name', "a")
        self.browser.click('[data-type="site"] .cbi-section-create button')
        self.browser.wait("document.getElementById('notices').textContent.includes('Give this node the role')")

    def test_what_waits_in_the_field_of_a_list_is_not_lost(self):
        self.router.write_config(xtr())
        self.open("peers")
        self.browser.click('[data-type="site"] .cbi-button-edit')
        self.browser.wait("!!document.querySelector('.modal .cbi-value')")
        self.browser.set('.modal [data-name="eid_prefix"] .add-item input', "10.2.0.1/24")
        self.browser.click('.modal [data-modal="save"]')
        self.browser.wait("!document.querySelector('.modal [data-modal=\"save\"]').disabled")
        self.assertTrue(self.browser.run("document.body.classList.contains('modal-overlay-active')"))
        self.assertIn("bits after the length", self.invalid("eid_prefix", ".modal"))

    def test_a_section_is_changed_and_deleted_and_nothing_else_is(self):
        self.router.write_config(xtr())
        self.open("peers")
        self.browser.click('[data-type="site"] .cbi-button-edit')
        self.browser.wait("!!document.querySelector('.modal .cbi-value')")
        self.fill("eid_prefix", ["10.9.0.0/24"], ".modal")
        self.close_dialog("save")
        self.browser.click('[data-type="eid_prefix"] .cbi-button-remove')
        self.browser.wait("!document.querySelector('[data-type=\"eid_prefix\"] .cbi-button-remove')")
        self.apply()
        wanted = configuration.parse(xtr())
        wanted["own_site"]["eid_prefix"].append("10.9.0.0/24")
        del wanted[next(name for name, section in wanted.items() if section[".type"] == "eid_prefix")]
        self.assertEqual(self.router.config(), wanted)


if __name__ == "__main__":
    unittest.main()

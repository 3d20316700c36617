"""The pages before a router: one that runs, and each way in which one does not."""

import json
import os
import unittest

from made import KEYS, Pages
from router import DENIED, NOT_FOUND, ROOT, TIMEOUT
from test_settings import xtr

PAGES = ("overview", "settings", "peers", "join")


def captured(name):
    with open(f"{ROOT}/tests/fixtures/luci/{name}.json") as file:
        return json.load(file)


class Overview(Pages):
    def parts(self):
        return self.browser.run("Array.from(document.querySelectorAll('[data-part]'), part => part.dataset.part)")

    def part(self, name):
        return self.browser.run(f"document.querySelector('[data-part=\"{name}\"]').innerText")

    def test_a_running_daemon_is_shown(self):
        self.router.write_config(xtr("\toption dataplane 'userspace'\n\toption rules 'none'\n" + self.folders()))
        self.router.start()
        self.assertTrue(self.router.is_running)
        self.open("overview")
        self.browser.wait("document.querySelector('[data-part=\"database\"] tr:last-child td:last-child').innerText == 'registered'")
        self.assertEqual(self.parts(), ["node", "database", "registrations", "control_tunnels", "data_tunnels", "map_cache", "handovers", "resolve"])
        self.assertIn(KEYS[1], self.part("node"))
        self.assertIn("xTR, Map-Server", self.part("node"))
        self.assertIn("own_site", self.part("registrations"))
        # It follows by itself what happens.
        self.router.stop()
        self.browser.wait("!!document.querySelector('[data-problem=\"stopped\"]')", "it sees that the daemon ended")
        self.assertEqual(self.parts(), ["resolve"])
        self.browser.click('[data-action="start"]')
        self.browser.wait("!!document.querySelector('[data-part=\"node\"]')", "it starts the daemon")

    def folders(self):
        return f"\toption run_dir '{self.router.folder}/run'\n\toption state_dir '{self.router.folder}/state'\n"

    def test_a_configuration_that_a_running_daemon_does_not_use_is_told(self):
        self.router.captured = captured("mobile_node")
        self.router.write_config(xtr("\toption data_port '0'\n"))
        self.open("overview")
        self.assertEqual(self.problem()[0], "not_used")
        self.assertIn("data_port", self.browser.text())
        self.assertIn("node", self.parts())
        self.router.write_config(xtr())
        self.open("overview")
        self.assertFalse(self.browser.run("!!document.querySelector('[data-problem]')"))

    def test_a_network_that_was_not_restarted_since_the_installation_is_told(self):
        self.router.captured = captured("mobile_node")
        self.router.write_config(xtr())
        self.router.protocols.remove("lispguard")
        self.open("overview")
        self.assertEqual(self.problem()[0], "protocol")
        self.assertIn("service network restart", self.browser.text())
        self.assertIn("node", self.parts())

    def test_a_daemon_that_is_not_on_the_bus_is_asked_by_command(self):
        self.router.write_config(xtr("\toption dataplane 'userspace'\n\toption rules 'none'\n" + self.folders()))
        self.router.start()
        self.router.is_on_bus = False
        self.open("overview")
        kind, _, remedy = self.problem()
        self.assertEqual(kind, "no_bus")
        self.assertIn("ubus socket", remedy)
        self.assertIn("node", self.parts())

    def test_handovers_are_a_plot(self):
        for name, steps in (("mobile_node", {"moved_us", "sent_us", "answered_us", "registered_us"}), ("map_server", {"published_us"})):
            with self.subTest(name=name):
                self.router.captured = captured(name)
                self.open("overview")
                self.assertEqual(self.browser.run("document.querySelectorAll('svg[data-plot] [data-handover]').length"), 6)
                self.assertEqual(set(self.browser.run("Array.from(document.querySelectorAll('svg[data-plot] [data-step]'), step => step.dataset.step)")), steps)
                # A later step is never left of an earlier one, and all are inside of the plot.
                places = self.browser.run("""Array.from(document.querySelectorAll('svg[data-plot] [data-handover]'), row =>
                    Array.from(row.querySelectorAll('[data-step]'), step => +step.getAttribute('transform').match(/[0-9.]+/)[0]))""")
                for row in places:
                    self.assertEqual(row, sorted(row))
                    self.assertTrue(30 <= row[0] and row[-1] <= 900)
                self.assertIn("198.51.100.7 → 203.0.113.7", self.part("handovers"))
                self.browser.click("summary")
                if name == "mobile_node":
                    self.assertIn("2.18 ms", self.part("handovers"))
                self.no_trace()

    def test_a_handover_that_got_no_answer_is_shown_without(self):
        state = captured("mobile_node")
        for step in ("answered_us", "registered_us"):
            state["handovers"]["handovers"][-1][step] = None
        state["handovers"]["handovers"][-1]["to"] = None
        state["handovers"]["handovers"][0]["answered_us"] = 12345678
        self.router.captured = state
        self.open("overview")
        self.assertEqual(self.browser.run("document.querySelector('[data-handover]').querySelectorAll('[data-step]').length"), 2)

    def test_words_from_the_network_are_no_markup(self):
        state = captured("map_server")
        evil = "<img src=x onerror=\"document.title='evil'\">"
        state["status"]["registrations"][0].update(name=evil, rlocs=[evil], eid_prefixes=[evil])
        state["status"].update(remarks=[evil], reasons=[evil], ok=False)
        state["handovers"]["handovers"][0].update(site=evil, cause=evil)
        self.router.captured = state
        self.open("overview")
        self.assertEqual(self.browser.run("document.querySelectorAll('img').length"), 0)
        self.assertNotEqual(self.browser.run("document.title"), "evil")

    def test_where_an_eid_is(self):
        state = captured("mobile_node")
        for answer, text in ((state["resolve"], "198.51.100.7"), ((NOT_FOUND,), "Nobody has registered"), ((TIMEOUT,), "No Map-Server answered"),
                             ((2,), "not an EID"), ((DENIED,), "may not")):
            self.router.captured = {**state, "resolve": answer}
            self.open("overview")
            self.browser.set('[data-resolve="eid"]', "10.1.0.7")
            self.browser.click('[data-resolve="ask"]')
            self.browser.wait(f"document.querySelector('[data-resolve=\"answer\"]').innerText.includes({json.dumps(text)})")


class FirstSetUp(Pages):
    def test_a_home_router_is_set_up_from_nothing(self):
        with open(f"{ROOT}/uci/lispguard") as file:
            self.router.write_config(file.read())
        self.open("overview")
        self.assertEqual(self.problem()[0], "new")
        self.open("settings")
        for name, value in (("role", ["xtr", "map_server"]), ("eid_space", ["10.0.0.0/8"]), ("dataplane", "userspace"), ("rules", "none"),
                            ("run_dir", f"{self.router.folder}/run"), ("state_dir", f"{self.router.folder}/state"),
                            ("control_socket", f"{self.router.folder}/run/control.sock")):
            self.fill(name, value)
        self.browser.click('[data-name="_generate"] button')
        key = self.browser.wait("(key => key.length == 44 && key)(document.getElementById('lispguard-public-key').textContent)")
        self.apply()
        # What is still missing is said, with where it belongs.
        self.open("overview")
        self.assertEqual(self.problem()[0], "wrong")
        self.assertIn("eid_prefix", self.browser.text())
        self.open("peers")
        for kind, name, options in (("eid_prefix", None, {"prefix": "10.1.0.0/24"}), ("map_server", "own", {"public_key": key}),
                                    ("site", "home", {"public_key": key, "eid_prefix": ["10.1.0.0/24"]})):
            self.open_dialog(kind, name)
            for option, value in options.items():
                self.fill(option, value, ".modal")
            self.close_dialog("save")
        self.apply()
        self.open("overview")
        self.assertEqual(self.problem()[0], "stopped")
        self.browser.click('[data-action="start"]')
        self.browser.wait("(cell => cell && cell.innerText == 'registered')(document.querySelector('[data-part=\"database\"] tr:last-child td:last-child'))")
        self.open("join")
        self.browser.set("[data-paste]", f"lispguard site branch {KEYS[2]} 10.2.0.0/24")
        self.browser.click("[data-add]")
        self.browser.wait("!!document.querySelector('[data-problem=\"added\"]')")
        self.apply()
        self.open("overview")
        self.browser.wait("document.querySelector('[data-part=\"registrations\"]').innerText.includes('branch')", "the daemon has the site")


class Problems(Pages):
    def every_page(self):
        for page in PAGES:
            self.open(page)
            yield page
            self.no_trace()

    def test_nothing_is_set_up(self):
        self.router.write_config("\nconfig lispguard 'main'\n")
        for page in self.every_page():
            if page in ("overview", "join"):
                self.assertEqual(self.problem()[0], "new")

    def test_the_daemon_is_stopped(self):
        self.router.write_config(xtr())
        for page in self.every_page():
            if page == "overview":
                kind, _, remedy = self.problem()
                self.assertEqual(kind, "stopped")
                self.assertIn("system log", remedy)
                self.assertTrue(self.browser.run("!!document.querySelector('[data-action=\"start\"]')"))

    def test_the_configuration_is_wrong(self):
        self.router.write_config(xtr("\toption data_port '0'\n"))
        for page in self.every_page():
            if page == "overview":
                self.assertEqual(self.problem()[0], "wrong")
                self.assertRegex(self.browser.text(), r"main, data_port: .*0.*\(line 7\)")
            if page == "join":
                self.assertEqual(self.problem()[0], "command")

    def test_a_value_that_somebody_else_wrote_is_shown_as_wrong(self):
        self.router.write_config(xtr("\toption data_port '0'\n"))
        self.open("settings")
        self.assertIn("65535", self.invalid("data_port"))

    def test_there_is_no_configuration(self):
        os.remove(self.router.file)
        for page in self.every_page():
            kind, _, remedy = self.problem()
            self.assertEqual(kind, "new" if page == "overview" else "no_file")
            self.assertTrue(remedy)
        self.router.write_config(xtr())

    def test_ubus_is_missing(self):
        # Without rpcd the daemon is on the bus, and may be not asked.
        for broken, state, wanted, word in (("gone", None, "unreachable", "connected"), ("http", None, "no_ubus", "uhttpd"),
                                            ("rpcd", None, "no_ubus", "rpcd"), ("rpcd", captured("mobile_node"), "no_ubus", "rpcd")):
            self.router.ubus, self.router.captured = broken, state
            for _ in self.every_page():
                kind, _, remedy = self.problem()
                self.assertEqual(kind, wanted)
                self.assertIn(word, remedy)

    def test_the_account_has_no_rights(self):
        self.router.write_config(xtr())
        self.router.account = "nobody"
        for _ in self.every_page():
            kind, _, remedy = self.problem()
            self.assertEqual(kind, "denied")
            self.assertIn("root", remedy)

    def test_an_account_that_may_only_read_changes_nothing(self):
        self.router.write_config(xtr())
        self.router.account = "reader"
        for page in self.every_page():
            buttons = self.browser.run("Array.from(document.querySelectorAll('[data-footer], [data-action], [data-add]'), one => one.disabled)")
            self.assertTrue(buttons and all(buttons), page)
        self.open("settings")
        self.browser.click('[data-name="_generate"] button')
        self.browser.wait("!!document.querySelector('#notices [data-problem=\"denied\"]')")

    def test_the_router_goes_away_while_a_page_is_open(self):
        self.router.captured = captured("mobile_node")
        self.router.write_config(xtr())
        self.open("overview")
        self.router.ubus = "gone"
        self.browser.wait("!!document.querySelector('[data-problem=\"unreachable\"]')")
        self.router.ubus = "there"
        self.browser.wait("!!document.querySelector('[data-part=\"node\"]')", "it comes back by itself")

    def test_the_daemon_that_may_not_be_asked_is_a_question_for_rpcd(self):
        self.router.captured = captured("mobile_node")
        self.router.write_config(xtr())
        self.open("overview")
        self.router.ubus = "rpcd"
        self.browser.set('[data-resolve="eid"]', "10.1.0.7")
        self.browser.click('[data-resolve="ask"]')
        self.browser.wait("!!document.querySelector('[data-resolve=\"answer\"] [data-problem=\"no_ubus\"]')")

    def test_a_form_that_is_not_saved_says_why(self):
        self.router.write_config(xtr())
        with open(self.router.file) as file:
            text = file.read()
        for account, ubus, wanted in (("reader", "there", "denied"), ("root", "rpcd", "no_ubus"), ("root", "http", "no_ubus"), ("root", "gone", "unreachable")):
            with self.subTest(account=account, ubus=ubus):
                self.break_router("root", "there")
                self.open("settings")
                self.fill("log_level", "debug")
                self.break_router(account, ubus)
                self.browser.click('[data-footer="handleSaveApply"]')
                self.assertEqual(self.not_saved(".modal"), wanted)
                self.browser.click(".modal button")
                self.assertEqual(self.browser.run("document.querySelector('[data-name=\"log_level\"] select').value"), "debug")

                self.break_router("root", "there")
                self.open("peers")
                self.browser.click('[data-type="site"] .cbi-button-edit')
                self.browser.wait("!!document.querySelector('.modal .cbi-value')")
                self.fill("endpoint", "192.0.2.7:7", ".modal")
                self.break_router(account, ubus)
                for _ in range(2):
                    self.browser.click('.modal [data-modal="save"]')
                    self.assertEqual(self.not_saved(".modal .cbi-map"), wanted)
                self.assertEqual(self.browser.run("document.querySelectorAll('.modal [data-problem]').length"), 1)
                self.assertEqual(self.browser.run("document.querySelector('.modal [data-name=\"endpoint\"] input').value"), "192.0.2.7:7")
                self.close_dialog("dismiss")

                self.break_router("root", "there")
                self.open("peers")
                self.break_router(account, ubus)
                self.browser.click('[data-type="site"] .cbi-button-remove')
                self.assertEqual(self.not_saved(".modal"), wanted)
        self.break_router("root", "there")
        with open(self.router.file) as file:
            self.assertEqual(file.read(), text)

    def test_a_line_that_was_not_saved_may_be_pasted_again(self):
        self.router.write_config(xtr())
        self.open("join")
        for account, ubus, wanted in (("reader", "there", "denied"), ("root", "rpcd", "no_ubus"), ("reader", "there", "denied"), ("root", "there", "added")):
            self.break_router(account, ubus)
            self.browser.run("document.querySelector('[data-answer]').textContent = ''")
            self.browser.set("[data-paste]", f"lispguard site b {KEYS[2]} 10.2.0.0/24")
            self.browser.click("[data-add]")
            self.browser.wait(f"!!document.querySelector('[data-answer] [data-problem=\"{wanted}\"]')")


if __name__ == "__main__":
    unittest.main()

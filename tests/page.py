#!/usr/bin/env python3
"""The page of `motet map --report` in a browser: what it shows, what it does, and that no item is taken
for a part of it. Called by `make test-page`.

    python3 tests/page.py MOTET [SCREENSHOT.png]

Drives a headless Chromium through chromedriver. Exit status 0, or 1; the last line is "N passed, N failed".
"""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE = 120


class Browser:
    """As much of the WebDriver protocol as is needed here."""

    def __init__(self, folder):
        self.driver = subprocess.Popen([shutil.which("chromedriver"), "--port=0"], stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)
        for line in self.driver.stdout:
            found = re.search(r"on port (\d+)", line)
            if found and found[1] != "0":
                self.base = "http://127.0.0.1:" + found[1]
                break
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--window-size=1300,1200", "--force-device-scale-factor=1",
                            f"--user-data-dir={folder}/profile"]}
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "ignore"}}})
        self.base += "/session/" + answer["sessionId"]

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def open(self, path):
        self.call("POST", "/url", {"url": path.as_uri()})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def log(self):
        return self.call("POST", "/se/log", {"type": "browser"})

    def pointer(self, *steps):
        """Each step: (x, y), "down" or "up", in the window."""
        actions = []
        for step in steps:
            if step == "down" or step == "up":
                actions.append({"type": "pointer" + step.capitalize(), "button": 0})
            else:
                actions.append({"type": "pointerMove", "duration": 0, "x": round(step[0]), "y": round(step[1])})
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def type(self, selector, text):
        element = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{next(iter(element.values()))}/value", {"text": text})

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


passed = failed = 0


def check(label, got, expected=True):
    global passed, failed
    if got == expected:
        passed += 1
        return
    failed += 1
    print(f"FAIL {label}\n  got:      {got!r}\n  expected: {expected!r}", flush=True)


def until(browser, label, script):
    deadline = time.monotonic() + PATIENCE
    while not browser.run(script):
        if time.monotonic() > deadline:
            check(label, False)
            return
        time.sleep(0.05)
    check(label, True)


def motet_map(motet, *arguments, items=None):
    data = b"".join(item.encode(errors="surrogateescape") + b"\0" for item in items or [])
    return subprocess.run([motet, "map", "-0", *arguments], input=data, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode


NASTY = [
    "</script><script>document.title = 'pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "<!-- <script>", "]]>", "';document.title='pwned';'", "&lt;b&gt;", "\"", "\\", "\\u003c", "a\nb\tc", "\x01\x7f",
    "\udcff\udc80 bytes", "\u2028\u2029", "中文 \U0001f600", "@COMMAND@ @JOBS@ @COUNTS@", "%s%n", "", "x" * 5000,
    "ä" * 2000, "__proto__", "1e999",
]

ROWS = "return [...document.querySelectorAll('#rows tr[data-job]')]"
SEEN = ROWS + ".map(tr => [+tr.dataset.job, tr.className, ...[...tr.cells].map(td => td.textContent)])"


def nasty_items(browser, motet, folder):
    page = folder / "nasty.html"
    code = motet_map(motet, "-k", "-j", "2", "--report", str(page), "true", "<b>&\"'</b><script>document.title='pwned'</script>",
                     "{}", items=NASTY)
    check("nasty: the exit status", code, 0)
    browser.open(page)
    check("nasty: the title", browser.run("return document.title"), "motet map")
    check("nasty: no script of theirs", browser.run("return document.scripts.length"), 2)
    check("nasty: nothing is fetched", browser.run("return performance.getEntriesByType('resource').length"), 0)
    check("nasty: no element of theirs", browser.run("return document.querySelectorAll('img, b:not(#facts b)').length"), 0)
    check("nasty: the command", browser.run("return document.getElementById('command').textContent"),
          "true '<b>&\"'\\''</b><script>document.title='\\''pwned'\\''</script>' '{}'")
    items = browser.run("return jobs.map(job => job.item.toWellFormed())")
    for item, seen in zip(NASTY, items):
        if len(item.encode(errors="surrogateescape")) > 500:
            check("nasty: a long item is cut", item.startswith(seen[:-1]) and seen.endswith("…") and len(seen) > 200)
        else: # lone surrogates stand for bytes; the driver cannot pass them on
            check(f"nasty: {item!r}", seen, item.encode(errors="replace").decode().replace("?", "\ufffd")
                  if "\udcff" in item else item)
    check("nasty: all rows are there", len(browser.run(ROWS)), len(NASTY))
    return browser.log()


def no_jobs(browser, motet, folder):
    page = folder / "empty.html"
    check("empty: the exit status", motet_map(motet, "--report", str(page), "true"), 0)
    browser.open(page)
    check("empty: the facts", browser.run("return document.querySelector('#facts b').textContent"), "0")
    check("empty: no rows", len(browser.run(ROWS)), 0)
    return browser.log()


def ten_thousand(browser, motet, folder, screenshot):
    page = folder / "many.html"
    script = """
        case $1 in *77) exit 3 ;; *500) kill -9 $$ ;; 1234) sleep 100 ;; 4321) exec head -c 3000000 /dev/zero ;; esac"""
    code = motet_map(motet, "-j", "4", "--timeout", "2", "--retry", "1", "--retry-delay", "0.01", "--report",
                     str(page), "sh", "-c", script, "sh", items=[str(n) for n in range(1, 10001)])
    check("many: the exit status", code, 124)
    check("many: nothing is left beside it", sorted(p.name for p in folder.glob("many*")), ["many.html"])
    began = time.monotonic()
    browser.open(page)
    print(f"     a page of 10,000 jobs, {page.stat().st_size >> 10} KiB, is there after {time.monotonic() - began:.1f} s")
    facts = dict(browser.run("return [...document.querySelectorAll('#facts li')].map(li => "
                             "[li.querySelector('span').textContent, li.querySelector('b').textContent])"))
    check("many: the jobs", facts.get("jobs"), "10,000")
    check("many: those that failed", facts.get("failed"), "111")  # 100 exits, 10 kills, 1 time-out
    check("many: no more rows than can be seen", 20 < len(browser.run(ROWS)) < 80)

    # The attempts before the last are there, too, and not counted.
    check("many: attempts", browser.run("return jobs.length"), 10111)
    check("many: kinds", browser.run("""const n = {}; for (const job of jobs) n[job.kind] = (n[job.kind] || 0) + 1;
        return [n.well, n.failed, n.late, n.again]"""), [9889, 110, 1, 111])
    check("many: no two jobs of a slot at the same time", browser.run("""
        for (let slot = 1; slot <= 4; slot++) {
            const mine = jobs.filter(job => job.slot === slot).sort((a, b) => a.start - b.start);
            for (let i = 1; i < mine.length; i++)
                if (mine[i].start < mine[i - 1].start + mine[i - 1].seconds - 1e-5)
                    return [mine[i - 1].job, mine[i].job];
        }
        return true"""))

    # Sorting, by a click on a head, and back.
    def click_head(key):
        browser.run("document.querySelector(`th[data-key=${arguments[0]}] button`).click()", key)
        return browser.run("return document.querySelector(`th[data-key=${arguments[0]}]`).ariaSort", key)

    check("many: sorted by job at first", [row[0] for row in browser.run(SEEN)[:3]], [1, 2, 3])
    check("many: by output", click_head("output"), "ascending")
    check("many: by output, down", click_head("output"), "descending")
    check("many: the largest output", browser.run(SEEN)[0][0], 4321)
    click_head("seconds")
    click_head("seconds")
    check("many: the longest", browser.run(SEEN)[0][0], 1234)
    check("many: all in order", browser.run("return list.every((job, i) => !i || job.seconds <= list[i - 1].seconds)"))
    click_head("item")
    check("many: by item", browser.run("return list.every((job, i) => !i || job.item >= list[i - 1].item)"))

    # The end of the list.
    click_head("job")
    browser.run("const l = document.getElementById('list'); l.scrollTop = l.scrollHeight")
    until(browser, "many: scrolled to the end", "return document.querySelector('#rows tr[data-job=\"10000\"]') !== null")
    browser.run("document.getElementById('list').scrollTop = 0")

    # Failures, and a search.
    browser.run("document.getElementById('failures').click()")
    check("many: the failures", browser.run("return list.length"), 222)
    check("many: how many are shown", browser.run("return document.getElementById('shown').textContent"), "222 of 10,111")
    rows = browser.run(SEEN)
    check("many: a failure in words", [row[4] for row in rows if row[0] == 77], ["exit 3 (attempt 1)", "exit 3 (attempt 2)"])
    check("many: a kill in words", [row[4] for row in rows if row[0] == 500], ["signal 9 (attempt 1)", "signal 9 (attempt 2)"])
    browser.run("document.getElementById('failures').click()")
    browser.type("#search", "4321")
    check("many: a search", [row[0] for row in browser.run(SEEN)][:1], [4321]) if browser.run("return list.length") == 1 \
        else check("many: a search finds commands, too", browser.run("return list.every(job => (job.item + job.command).includes('4321'))"))
    browser.run("const s = document.getElementById('search'); s.value = 'no such'; s.dispatchEvent(new Event('input'))")
    check("many: a search in vain", len(browser.run(ROWS)), 0)
    browser.run("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))")

    # The timeline: all colours of the legend are in it.
    browser.run("scrollTo(0, 0)")
    colors = browser.run("""
        const c = document.getElementById("chart"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        const rgb = kind => color(kind).match(/\\w\\w/g).map(x => parseInt(x, 16));
        return ["well", "failed", "late", "again"].map(kind => {
            const [r, g, b] = rgb(kind);
            let n = 0;
            for (let i = 0; i < d.length; i += 4)
                n += d[i] === r && d[i + 1] === g && d[i + 2] === b;
            return n > 0;
        })""")
    check("many: the colours of the timeline", colors, [True] * 4)
    place = browser.run("""
        const box = document.getElementById("chart").getBoundingClientRect();
        const job = jobs.find(job => job.kind === "late");
        return [box.left + xOf(job.start + job.seconds / 2, box.width), box.top + 4 + (job.slot - 0.5) * rowHeight,
                box.left + xOf(job.start, box.width), box.left + xOf(job.start + job.seconds, box.width)]""")
    x, y, left, right = place
    browser.pointer((x, y))
    until(browser, "many: a tip", "return !document.getElementById('tip').hidden")
    check("many: the tip", browser.run("return document.getElementById('tip').textContent").startswith("job 1234: timed out"))
    browser.pointer((x, y), "down", "up")
    until(browser, "many: chosen in the timeline, it is in the list",
          "return document.querySelector('#rows tr.chosen')?.dataset.job === '1234'")
    # Closer, by dragging over it; and back.
    browser.pointer((left - 2, y), "down", (x, y), (right + 2, y), "up")
    until(browser, "many: closer", "return from > 0 && to < span && to - from < 3 && to > from")
    check("many: a way back", browser.run("return !document.getElementById('whole').hidden"))
    if screenshot:
        browser.screenshot(screenshot)
    browser.run("document.getElementById('whole').click()")
    check("many: back", browser.run("return from === 0 && to === span"))
    check("many: nothing is fetched", browser.run("return performance.getEntriesByType('resource').length"), 0)
    return browser.log()


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    motet = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="page.") as name:
        folder = pathlib.Path(name)
        browser = Browser(folder)
        try:
            log = nasty_items(browser, motet, folder)
            log += no_jobs(browser, motet, folder)
            log += ten_thousand(browser, motet, folder, sys.argv[2] if len(sys.argv) > 2 else None)
            check("the console is empty", [entry["message"] for entry in log], [])
        finally:
            browser.close()
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

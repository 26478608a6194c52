#!/usr/bin/env python3
"""Opens a page in headless Chromium and prints what happened, as JSON.

    inspect_page.py CHROMIUM PAGE [AXE]

Prints console messages, exceptions, requests other than for the page itself, blocked loads, and the results of checks in the
page. AXE is the file axe.min.js of axe-core; without it those checks are left out.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

CHECKS = """(() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const ids = all('[id]').map(element => element.id);
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const background = element => {
    for (; element; element = element.parentElement) {
      const color = rgb(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const contrast = element => {
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(background(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const texts = all('body *').filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return {
    scripts: all('script, iframe, object, embed, link, img, base, form, meta[http-equiv=refresh]').length,
    handlers: all('*').filter(element => [...element.attributes].some(attribute => /^on/i.test(attribute.name))).length,
    ran: Boolean(window.ran),
    landmarks: ['header', 'nav', 'main', 'footer'].filter(name => all(name).length === 1),
    headings: all('h1').length,
    tables: all('table').length,
    tables_without_caption: all('table').filter(table => !table.caption).length,
    headers_without_scope: all('th').filter(cell => !cell.scope).length,
    sections_without_name: all('section').filter(section => !document.getElementById(section.getAttribute('aria-labelledby'))).length,
    duplicate_ids: ids.filter((id, at) => ids.indexOf(id) !== at),
    broken_links: all('a[href^="#"]').map(link => link.getAttribute('href').slice(1)).filter(id => !document.getElementById(id)),
    other_links: all('a[href]').map(link => link.getAttribute('href')).filter(href => !/^(#|https:)/.test(href)),
    low_contrast: texts.filter(element => !element.closest('svg') && contrast(element) < 4.5).map(element => element.outerHTML.slice(0, 80)),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    text: document.body.innerText,
  };
})()"""


class Browser:
    """Speaks the Chrome DevTools Protocol over the pipes of --remote-debugging-pipe (descriptors 3 and 4 of the browser)."""

    def __init__(self, chromium, profile):
        from_us, self.to_browser = os.pipe()
        self.from_browser, to_us = os.pipe()
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        # A shell moves the pipes to the descriptors that the browser expects.
        redirect = f'exec "$@" 3<&{from_us} 4>&{to_us}'
        self.process = subprocess.Popen(["sh", "-c", redirect, "sh", *command], pass_fds=[from_us, to_us],
                                        stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.buffer, self.number, self.events = b"", 0, []

    def receive(self):
        while b"\0" not in self.buffer:
            piece = os.read(self.from_browser, 1 << 16)
            if not piece:
                raise SystemExit("the browser ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive())


def main():
    chromium, page = sys.argv[1], pathlib.Path(sys.argv[2]).resolve().as_uri()
    axe = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(chromium, profile)
        try:
            print(json.dumps(inspect(browser, page, axe)))
        finally:
            browser.process.terminate()
            browser.process.wait()


def inspect(browser, page, axe):
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ["Page", "Runtime", "Log", "Network"]:
        browser.call(f"{domain}.enable", session)
    evaluate = lambda text, **more: browser.call("Runtime.evaluate", session, expression=text, returnByValue=True, **more)["result"].get("value")
    results = {"console": [], "requests": []}
    for scheme in ["light", "dark"]:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", session, features=features)
        browser.events.clear()
        browser.call("Page.navigate", session, url=page)
        browser.wait_for("Page.loadEventFired")
        results[scheme] = evaluate(CHECKS)
        for event in browser.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method in ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"]:
                results["console"].append(json.dumps(parameters))
            if method == "Network.requestWillBeSent" and parameters["request"]["url"] != page:
                results["requests"].append(parameters["request"]["url"])
        if axe:
            evaluate(pathlib.Path(axe).read_text())
            found = evaluate("axe.run().then(found => found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 120)).slice(0, 3).join(' | ')))", awaitPromise=True)
            results[scheme]["axe"] = found
    return results


main()

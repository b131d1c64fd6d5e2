#!/usr/bin/env python
"""Pictures of the live page for the documentation: `tools/photograph_page.py [--out DIR]`.

Simulates a site, tracks its people, serves the page and photographs each view on a desk and on a
phone with Debian's Chromium.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

SIZES = {"desktop": (1280, 800), "phone": (390, 800)}
COMMAND = [sys.executable, "-m", "stgal_stream.cli"]


def views(browser: Browser, address: str) -> dict[str, str]:
    """The address of each view: that of the camera pair and of the person who were seen most."""
    page = browser.new_page()

    def ask(path: str) -> Any:
        return page.request.get(f"{address}api/v1/{path}").json()

    site = "site=default"
    linked = [p for p in ask(f"site?{site}")["pairs"] if p["verdict"] == "linked"]
    first, second = max(linked, key=lambda pair: (pair["medianSeconds"] > 1, pair["associations"]))[
        "sensorIds"
    ]
    people = ask(f"identities?{site}&limit=500")["items"]
    person = max(people, key=lambda one: len(one["sensorIds"]))["id"]
    sighting = ask(f"identity?{site}&id={person}")["sightings"][0]["id"]
    page.close()
    return {
        "site": f"#/site?{site}",
        "pair": f"#/pair?{site}&first={first}&second={second}",
        "identities": f"#/identities?{site}",
        "identity": f"#/identity?{site}&id={person}",
        "search": f"#/search?{site}&sighting={sighting}",
        "check": f"#/check?{site}",
    }


def photograph(address: str, out: Path) -> None:
    """One file a view and size."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for view, where in views(browser, address).items():
            for size, (width, height) in SIZES.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(f"{address}{where}")
                page.locator(".chart canvas, img.crop").first.wait_for()
                page.wait_for_load_state("load")
                page.wait_for_timeout(1500)
                path = out / f"page-{view}-{size}.png"
                page.screenshot(path=path)
                Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
                page.close()
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        env = os.environ | {"STGAL_DAEMON_STATE_DIR": scratch, "STGAL_DAEMON_HTTP_PORT": "0"}
        log = ("--embedded", f"{scratch}/log")
        people = ("replay", "site", "--people", "60", "--minutes", "20")
        subprocess.run([*COMMAND, *people, *log], env=env, check=True)
        subprocess.run([*COMMAND, "run", *log, "--until-end"], env=env, check=True)
        served = subprocess.Popen(
            [*COMMAND, "web", *log, "--port", "0"], env=env, stdout=subprocess.PIPE, text=True
        )
        assert served.stdout is not None
        found = re.match(r"(\S+)", served.stdout.readline())
        assert found is not None
        try:
            photograph(found[1], out)
        finally:
            served.terminate()
            served.wait()


if __name__ == "__main__":
    main()

"""The page in a real browser: every view, live, on a desk and on a phone; what a screen reader
needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.streams import publish, rendered, run_to_end
from tests.web.conftest import SITE, Seen

pytestmark = pytest.mark.slow

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        message = "no Chromium: run `make test`, or apt-get install chromium"
        if os.environ.get("KAFKA_TEST_REQUIRED") or os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The command as a user starts it."""
    folder = tmp_path_factory.mktemp("served")
    command = [
        sys.executable, "-m", "stgal_stream.cli", "web", "--embedded", str(seen.folder / "log"),
        "--port", "0", "--state-dir", str(folder / "web"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"(http://127\.0\.0\.1:\d+/)", line)
    assert found, process.communicate()
    yield found[1]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "stopped cleanly" in errors


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page in which nothing may go wrong, on the console neither."""
    width, height = SIZES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=False)
    made = context.new_page()
    made.set_default_timeout(60_000)
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            faults.append(message.text)

    made.on("console", heard)
    made.on("pageerror", lambda error: faults.append(str(error)))
    yield made
    context.close()
    # Of a picture or person that is not there the browser tells by itself.
    assert not [fault for fault in faults if "status of 404" not in fault]


def look(page: Page) -> None:
    """Nobody is shut out, and nothing is wider than the screen."""
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= screen
    found = Axe().run(page)
    serious = [each["id"] for each in found.response["violations"]]
    assert not serious, found.generate_report()


def test_every_view(address: str, page: Page, tmp_path: Path) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Site {SITE}")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(page.locator(".chart canvas").first).to_be_visible()
    look(page)
    page.get_by_role("link", name=re.compile("cam-.. – cam-..")).first.click()
    expect(page.get_by_role("heading", level=2, name="Travel times")).to_be_visible()
    expect(page.locator(".cards img.crop").first).to_be_visible()
    look(page)
    page.get_by_role("link", name="Identities").click()
    cards = page.locator(".cards > li")
    expect(cards.first).to_be_visible()
    n = cards.count()
    look(page)
    page.get_by_label("Camera").select_option("cam-01")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("camera=cam-01"))
    expect(cards.nth(n - 1)).not_to_be_visible()
    page.get_by_role("link", name="Identities").click()
    expect(cards.nth(n - 1)).to_be_visible()
    page.locator(".cards > li", has_text=re.compile(r"[3-9] sightings")).first.locator("a").click()
    expect(page.get_by_text("First seen").first).to_be_visible()
    expect(page.get_by_text("looks alike").first).to_be_visible()
    look(page)
    page.get_by_role("link", name="who looks like that?").first.click()
    expect(page.get_by_text("sightings compared in")).to_be_visible()
    expect(page.locator("ol.cards > li").first).to_contain_text("away")
    look(page)
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_text("No release is in use")).to_be_visible()
    look(page)
    page.go_back()
    crop = page.locator("ol.cards img.crop").first
    picture = page.request.get(f"{address}{crop.get_attribute('src')}").body()
    file = tmp_path / "person.jpg"
    file.write_bytes(picture)
    page.get_by_role("link", name="Search").click()
    page.get_by_label("Picture").set_input_files(file)
    expect(page.get_by_alt_text("Your picture")).to_be_visible()
    expect(page.locator("ol.cards > li").first).to_be_visible()
    look(page)


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_an_operator_corrects(address: str, page: Page, seen: Seen) -> None:
    """Marks a sighting of somebody else, and says of a match that it is the same person."""
    page.goto(f"{address}#/identities?site={SITE}")
    page.locator(".cards > li", has_text=re.compile(r"[3-9] sightings")).first.locator("a").click()
    page.get_by_text("Correct this").click()
    page.get_by_label("somebody else").last.check()
    look(page)
    page.get_by_role("button", name="The one marked is somebody else").click()
    expect(page.get_by_text("Said; waiting for the tracker")).to_be_visible()
    run_to_end(seen.log, seen.config, "associate")
    expect(page.get_by_text("Done.")).to_be_visible()
    page.get_by_role("link", name="who looks like that?").first.click()
    stranger = page.locator("ol.cards > li", has=page.get_by_role("button", name="same person"))
    # Not the first: that is the one that was parted just now.
    stranger.nth(1).get_by_role("button", name="same person").click()
    run_to_end(seen.log, seen.config, "associate")
    expect(page.get_by_text("Done.")).to_be_visible()
    look(page)
    page.go_back()
    expect(page.get_by_text("an operator said so").first).to_be_visible()


def test_pairs_are_checked_by_eye(address: str, page: Page, seen: Seen) -> None:
    page.goto(f"{address}#/check?site={SITE}")
    expect(page.locator(".large img.crop").first).to_be_visible()
    page.get_by_role("button", name="One person").click()
    page.get_by_role("button", name="One person").click()
    page.get_by_role("button", name="Two people").click()
    page.get_by_role("button", name="I cannot tell").click()
    expect(page.get_by_text("2 of 3")).to_be_visible()
    expect(page.get_by_text(".21 – .94")).to_be_visible()
    look(page)
    page.get_by_role("button", name="Take the last answer back").click()
    page.get_by_role("button", name="Tell the tracker").click()
    run_to_end(seen.log, seen.config, "associate")
    expect(page.get_by_text("Done.")).to_be_visible()


def test_what_is_wrong_is_said(address: str, page: Page) -> None:
    page.goto(f"{address}#/identity?site={SITE}&id=nobody")
    expect(page.get_by_role("alert")).to_contain_text("has no identity 'nobody'")


@pytest.mark.parametrize("page", ["desktop"], indirect=True)
def test_it_is_live(address: str, page: Page, seen: Seen) -> None:
    """New people come onto the page by themselves."""
    page.goto(address)
    expect(page.get_by_text("Nothing has happened since this page was opened.")).to_be_visible()
    detections = page.get_by_role("row", name=re.compile("cam-01")).first.locator("td").nth(1)
    before = detections.inner_text()
    later = [json.loads(value) for value in rendered(11, 4, 60.0, start_s=1.7e9 + 600.0)]
    fresh = [json.dumps({**body, "id": f"new-{body['id']}"}).encode() for body in later]
    publish(seen.log, seen.config, fresh)
    run_to_end(seen.log, seen.config)
    expect(page.get_by_text(re.compile("is new|was seen again")).first).to_be_visible()
    expect(detections).not_to_have_text(before)

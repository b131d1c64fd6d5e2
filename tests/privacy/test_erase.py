"""After an erasure nothing of the person is in any file, and everybody else is who they were."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stgal_stream.cli import cli
from stgal_stream.configuration import load_config
from stgal_stream.daemon import Daemon
from stgal_stream.errors import DataError, LogError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.reading import records, values
from stgal_stream.log.topics import topic_specs
from stgal_stream.privacy import forgetting
from stgal_stream.privacy.person import IdentityHistory, Person, find_person
from stgal_stream.privacy.scrubbing import scrub_log
from stgal_stream.settings import Config
from stgal_stream.web.access import AuditLog
from stgal_stream.wire.embedding import EmbeddingRecord, decode
from tests.support.identity_events import told_of_a_person
from tests.support.read_model import follow
from tests.support.streams import publish, rendered, run_to_end, schema
from tests.support.traces import found_in
from tests.support.waiting import wait_for

SITE = "rendered"


class Place:
    """A folder with a log, its daemon's state and a page's read model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = load_config(None, {})
        self.config.input.max_future_s = float("inf")
        self.config.daemon.state_dir = str(folder / "state")

    def log(self) -> EmbeddedLog:
        return EmbeddedLog(self.folder / "log")

    def command(self, *arguments: str, typed: str = "") -> Result:
        where = ("--embedded", str(self.folder / "log"))
        env = {
            "STGAL_DAEMON_STATE_DIR": self.config.daemon.state_dir,
            "STGAL_INPUT_MAX_FUTURE_S": "inf",
        }
        return CliRunner().invoke(cli, [*arguments, *where], input=typed, env=env)

    def found(self, traces: Iterable[bytes]) -> dict[bytes, set[str]]:
        return found_in(self.folder, traces)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People were seen, and looked at on the page."""
    folder = tmp_path_factory.mktemp("watched")
    made = Place(folder)
    log = made.log()
    publish(log, made.config, rendered(5, n_people=14, duration_s=420.0))
    run_to_end(log, made.config)
    run_to_end(log, made.config)  # another snapshot: the one before is kept
    page = Path(made.config.daemon.state_dir) / "web"
    follow(log, made.config, page)
    audit = AuditLog(page / "audit.jsonl")
    for identity in {e["globalId"] for e in identities(log, made.config)}:
        audit.note("127.0.0.1", "identity", SITE, identity)
    audit.close()
    log.close()
    return folder


@pytest.fixture
def place(watched: Path, tmp_path: Path) -> Place:
    """A copy of that."""
    shutil.copytree(watched, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


def identities(log: Log, config: Config) -> list[dict[str, Any]]:
    return [json.loads(value) for value in values(log, config.topics.identities)]


def somebody(log: Log, config: Config, at_least: int = 3) -> Person:
    """A person of several sightings."""
    for event in identities(log, config):
        person = find_person(log, config.topics, SITE, event["globalId"])
        if len(person.sightings) >= at_least:
            return person
    raise AssertionError("everybody was seen once")


def looks(log: Log, config: Config, person: Person) -> list[bytes]:
    """All that shows a person, as bytes: pictures as they were sent, and vectors."""
    found = []
    for at in person.places:
        body = json.loads(log.read(at.topic, at.partition, at.offset, 1)[0].value)
        found.append(body["crop"]["data"].encode())
    for value in values(log, config.topics.embeddings):
        content = decode(value)
        if isinstance(content, EmbeddingRecord) and content.id in person.detections:
            found.append(content.vector)
    return found


def of_others(log: Log, config: Config, person: Person) -> dict[str, list[bytes]]:
    """What the log says of others, by topic."""
    names = ("detections", "embeddings", "identities", "associations", "calibrations")
    found = {}
    for name in names:
        topic = getattr(config.topics, name)
        theirs = {at.offset for at in person.places} if name == "detections" else set()
        found[name] = [
            record.value
            for record in records(log, topic, 0)
            if record.offset not in theirs
            and not any(n.encode() in record.value for n in person.names)
        ]
    return found


def test_nothing_is_left_and_others_are_who_they_were(place: Place) -> None:
    log = place.log()
    person = somebody(log, place.config)
    traces = [name.encode() for name in person.names] + looks(log, place.config, person)
    others = of_others(log, place.config, person)
    assert len(traces) > 60
    assert len(place.found(traces)) == len(traces)
    log.close()
    done = place.command("erase", person.identities[0], "--yes")
    assert done.exit_code == 0, done.output
    assert "Erased. Records taken out or rewritten" in done.output
    assert not place.found(traces)
    log = place.log()
    now = of_others(log, place.config, person)
    for name, before in others.items():
        assert [value for value in now[name] if b"erased" not in value] == before, name
    (noted,) = [json.loads(value) for value in values(log, place.config.topics.erasures)]
    schema("erasure.v1").validate(noted)
    assert (noted["tracker"], noted["gone"]) == (True, None)
    with pytest.raises(DataError, match="nobody in the log"):
        find_person(log, place.config.topics, SITE, person.identities[0])
    audit = (Path(place.config.daemon.state_dir) / "web" / "audit.jsonl").read_text()
    assert sum('"erased"' in line for line in audit.splitlines()) == len(person.identities)
    log.close()


def test_the_stream_goes_on_and_nobody_comes_back(place: Place) -> None:
    log = place.log()
    person = somebody(log, place.config)
    log.close()
    assert place.command("erase", person.identities[0], "--yes").exit_code == 0
    log = place.log()
    before = len(identities(log, place.config))
    later = [json.loads(value) for value in rendered(11, 6, 120.0, start_s=1.7e9 + 500.0)]
    fresh = [json.dumps({**body, "id": f"new-{body['id']}"}).encode() for body in later]
    publish(log, place.config, fresh)
    run_to_end(log, place.config)
    said = identities(log, place.config)
    assert len(said) > before
    assert not [event for event in said if person.is_event(event)]
    for path in Path(place.config.daemon.state_dir).glob("*.snapshot"):  # and without them
        path.unlink()
    run_to_end(log, place.config)
    assert identities(log, place.config) == said
    log.close()


@pytest.mark.fault
def test_it_can_be_interrupted_and_begun_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = place.log()
    person = somebody(log, place.config)
    traces = [name.encode() for name in person.names] + looks(log, place.config, person)
    log.close()
    original, left = EmbeddedLog.replace, [3]

    def broken(self: EmbeddedLog, *what: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise LogError("the disk is full")
        original(self, *what)

    monkeypatch.setattr(EmbeddedLog, "replace", broken)
    assert isinstance(place.command("erase", person.identities[0], "--yes").exception, LogError)
    monkeypatch.undo()
    assert place.command("erase", person.identities[0], "--yes").exit_code == 0
    assert not place.found(traces)


def test_a_dry_run_and_a_no_change_nothing(place: Place) -> None:
    log = place.log()
    person = somebody(log, place.config)
    log.close()

    def digest() -> str:
        log = place.log()
        names = [name for (name,) in log.select("SELECT name FROM topics ORDER BY name", ())]
        found = [list(records(log, name, 0)) for name in names]
        log.close()
        return hashlib.sha256(repr(found).encode()).hexdigest()

    before = digest()
    tried = place.command("erase", person.identities[0], "--dry-run")
    assert f"{len(person.sightings)} sightings" in tried.output
    assert "Nothing was changed." in tried.output
    assert place.command("erase", person.identities[0], typed="n\n").exit_code == 1
    assert digest() == before


def test_a_working_daemon_is_not_disturbed(place: Place) -> None:
    log = place.log()
    person = somebody(log, place.config)
    daemon = Daemon(log, place.config, "associate")
    runner = threading.Thread(target=daemon.run, kwargs={"serve": False})
    runner.start()
    wait_for(lambda: daemon.associate is not None and daemon.associate.caught_up, "the daemon")
    done = place.command("erase", person.identities[0], "--yes")
    assert "is held by process" in str(done.exception)
    daemon.stop.set()
    runner.join()
    assert person.identities[0] in {e["globalId"] for e in identities(log, place.config)}
    log.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "nobody in the log is 'nobody'"),
        ((), "name one identity, or --picture FILE"),
        (("x", "--picture", "y"), "name one identity, or --picture FILE"),
        (("--picture", "/nowhere.jpg"), "/nowhere.jpg cannot be used"),
    ],
)
def test_who_is_not_named_rightly(place: Place, arguments: tuple[str, ...], said: str) -> None:
    assert said in str(place.command("erase", *arguments).exception)


def test_other_people_in_the_same_record_stay(tmp_path: Path) -> None:
    """Of a record of several people one is taken out; the others' pictures stay as they are."""
    place = Place(tmp_path)
    log = place.log()
    sent = [json.loads(value) for value in rendered(5, n_people=14, duration_s=420.0)]
    pairs = [json.dumps(sent[at : at + 2]).encode() for at in range(0, len(sent), 2)]
    publish(log, place.config, pairs)
    run_to_end(log, place.config)
    person = somebody(log, place.config)
    assert person.shared
    theirs = set(person.detections)
    pictures = {body["id"]: body["crop"]["data"].encode() for body in sent}
    log.close()
    done = place.command("erase", person.identities[0], "--yes")
    assert done.exit_code == 0, done.output
    assert f"{len(person.shared)} of these records hold other people" in done.output
    found = place.found(pictures.values())
    assert {name for name, picture in pictures.items() if picture not in found} == theirs


def test_they_are_found_by_a_picture(place: Place, tmp_path: Path) -> None:
    log = place.log()
    person = somebody(log, place.config)
    at = min(person.places, key=lambda at: at.offset)
    body = json.loads(log.read(at.topic, at.partition, at.offset, 1)[0].value)
    log.close()
    picture = tmp_path / "person.jpg"
    picture.write_bytes(base64.b64decode(body["crop"]["data"]))
    done = place.command("erase", "--picture", str(picture), "--dry-run", typed="1\n")
    assert done.exit_code == 0, done.output
    assert f"1  {person.identities[0]} of site {SITE}" in done.output


def test_a_person_gets_all_that_there_is(place: Place, tmp_path: Path) -> None:
    log = place.log()
    person = somebody(log, place.config)
    folder = tmp_path / "answer"
    done = place.command("export-person", person.identities[0], "--to", str(folder))
    assert done.exit_code == 0, done.output
    content = json.loads((folder / "person.json").read_text())
    assert content["identities"] == list(person.identities)
    assert {each["id"] for each in content["detections"]} == person.detections
    assert {each["detection"] for each in content["embeddings"]} == person.detections
    assert {each["id"] for each in content["sightings"]} == set(person.sightings)
    assert all(person.is_event(event) for event in content["associations"])
    assert len(content["associations"]) > 1
    shown = {(folder / each["picture"]).read_bytes() for each in content["detections"]}
    assert {base64.b64encode(one) for one in shown} <= set(looks(log, place.config, person))
    assert not folder.stat().st_mode & 0o077
    log.close()


def test_a_page_that_follows_forgets_too(place: Place) -> None:
    """As on Kafka: the log keeps its records for a time, whoever follows it does not."""
    log = place.log()
    person = somebody(log, place.config)
    forgetting.tell(log, place.config, person)
    run_to_end(log, place.config, "associate")
    page = place.folder / "another"
    for model in (follow(log, place.config, page), follow(log, place.config, place.folder / "new")):
        for path in model.directory.iterdir():
            content = path.read_bytes()
            left = [n for n in person.sightings if f'"{n}"' in content.decode(errors="ignore")]
            assert not left, path.name
        assert not model.select("SELECT 1 FROM sighting WHERE identity = ?", person.identities[0])
        assert not model.select("SELECT 1 FROM identity WHERE id = ?", person.identities[0])
        marks = ",".join("?" * len(person.sightings))
        query = f"SELECT 1 FROM pair WHERE query IN ({marks}) OR gallery IN ({marks})"
        assert not model.select(query, *person.sightings, *person.sightings)
        assert len(model.select("SELECT 1 FROM sighting")) > 30
    log.close()


def test_who_was_parted_from_them_stays_where_they_are(tmp_path: Path) -> None:
    place = Place(tmp_path)
    log, topics = place.log(), place.config.topics
    log.ensure_topics(topic_specs(place.config))
    log.append([NewRecord(topics.identities, b"s", v) for v in told_of_a_person("s")])
    person = find_person(log, topics, "s", "a" * 16)
    before = IdentityHistory.of(log, topics.identities).detections
    scrub_log(log, place.config, person)
    now = IdentityHistory.of(log, topics.identities).detections
    assert now == {at: who for at, who in before.items() if at[1] not in person.detections}
    assert len(now) == 10
    for value in values(log, topics.identities):
        assert b"person" not in value
        schema("identity.v1").validate(json.loads(value))
    log.close()

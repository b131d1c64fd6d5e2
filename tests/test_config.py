"""Configuration: what is wrong is named, with the nearest right thing."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from stgal_stream.configuration import RENAMED, load_config
from stgal_stream.errors import ConfigError
from stgal_stream.settings import Config, InputSettings

EXAMPLE = Path(__file__).resolve().parents[1] / "deploy" / "stgal.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def test_the_example_is_good() -> None:
    assert load_config(EXAMPLE, {}).kafka.brokers == ("localhost:9092",)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[embed]\nbatch_size = 4\n")
    environ = {
        "STGAL_EMBED_BATCH_SIZE": "8",
        "STGAL_KAFKA_BROKERS": "a:1, b:2",
        "STGAL_KAFKA_SECURITY": '{"security_protocol": "SSL"}',
        "HOME": "/",
    }
    config = load_config(path, environ)
    assert config.embed.batch_size == 8
    assert config.kafka.brokers == ("a:1", "b:2")
    assert config.kafka.security == {"security_protocol": "SSL"}


@pytest.mark.parametrize(
    ("text", "environ", "message", "hint"),
    [
        ("[embed]\nbatchsize = 4", {}, "unknown key embed.batchsize", "batch_size"),
        ("[asociate]\n", {}, "unknown section", "associate"),
        ("embed = 4", {}, "is a section", None),
        ("[embed]\nbatch_size = 0", {}, "batch_size", None),
        ("[embed]\nbatch_size = 'x'", {}, "batch_size", None),
        ("[associate]\nmethod = 'best'", {}, "not one of calibrated", None),
        ("[associate]\nwindow_s = inf", {}, "not a finite number", None),
        ("[associate]\nstep_s = 1e-300", {}, "at least 0.01", None),
        ("[associate]\nmethod = 'paper'\nsetting = 'paper'", {}, "earlier name", None),
        ("[daemon]\nhttp_port = 70000", {}, "at most 65,535", None),
        (
            "[embed]\nproviders = ['CudaExecutionProvider']",
            {},
            "did you mean 'CUDAExecutionProvider'",
            None,
        ),
        ("[embed", {}, "not TOML", None),
        ("", {"STGAL_EMBED_BATCHSIZE": "1"}, "STGAL_EMBED_BATCHSIZE", "STGAL_EMBED_BATCH_SIZE"),
        ("", {"STGAL_EMBED_BATCH_SIZE": "many"}, "STGAL_EMBED_BATCH_SIZE='many'", None),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, text: str, environ: dict[str, str], message: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(written(tmp_path, text), environ)
    if hint is not None:
        assert hint in str(caught.value.hint)


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.toml", {})


def test_an_earlier_name_still_works_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(
        tmp_path,
        "[associate]\nsetting = 'paper'\nvisit_gap_s = 2.0\n"
        "[embed]\nmax_record_bytes = 9\nmax_future_s = 8.0\nperson_types = ['0']\n",
    )
    environment = {
        "STGAL_ASSOCIATE_LEAST_LOG_ODDS": "2",
        "STGAL_EMBED_TIMESTAMP_ZONE": "Europe/Berlin",
        "STGAL_EMBED_UPSTREAM_MODEL": "osnet",
    }
    config = load_config(path, environment)
    found, inputs = config.associate, config.input
    assert (found.method, found.box_track_gap_s, found.min_log_odds) == ("paper", 2.0, 2.0)
    assert (inputs.max_record_bytes, inputs.max_future_s) == (9, 8.0)
    assert (inputs.person_types, inputs.timestamp_zone) == (("0",), "Europe/Berlin")
    assert inputs.upstream_model == "osnet"
    for (section, old), (_, new) in RENAMED.items():
        assert new in caplog.text.lower()
        assert not hasattr(getattr(config, section), old)


def test_a_password_is_never_in_a_message() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {"STGAL_KAFKA_SECURITY": "{'sasl_plain_password': 'hunter2'}"})
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


def test_every_key_refuses_what_is_out_of_its_range() -> None:
    """The kind of the value is checked by its type, its range by what the key says of itself."""
    n_checked = 0
    for section in fields(Config):
        made = getattr(Config(), section.name)
        for key in fields(made):
            about = key.metadata
            limits = [(about["minimum"], -1), (about["above"], 0), (about["maximum"], 1)]
            for limit, beyond in [pair for pair in limits if pair[0] is not None]:
                value = limit + beyond
                with pytest.raises(ValueError, match=key.name):
                    replace(made, **{key.name: value})
                n_checked += 1
            assert about["meaning"].endswith(".")
    assert n_checked > 30


@pytest.mark.parametrize("name", ["Nowhere/At_All", "../etc/passwd", "/etc/localtime", "Berlin"])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="timestamp_zone"):
        InputSettings(timestamp_zone=name)
    assert InputSettings(timestamp_zone="Europe/Berlin").timestamp_zone

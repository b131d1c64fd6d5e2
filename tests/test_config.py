"""Configuration: what is wrong is named, with the nearest right thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from stgal_stream.config import load_config
from stgal_stream.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[1] / "deploy" / "stgal.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def test_the_example_is_good() -> None:
    assert load_config(EXAMPLE, {}).kafka.brokers == ["localhost:9092"]


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
    assert config.kafka.brokers == ["a:1", "b:2"]
    assert config.kafka.security == {"security_protocol": "SSL"}


@pytest.mark.parametrize(
    ("text", "environ", "message", "hint"),
    [
        ("[embed]\nbatchsize = 4", {}, "unknown key embed.batchsize", "batch_size"),
        ("[asociate]\n", {}, "unknown section", "associate"),
        ("embed = 4", {}, "is a section", None),
        ("[embed]\nbatch_size = 0", {}, "batch_size", None),
        ("[embed]\nbatch_size = 'x'", {}, "batch_size", None),
        ("[associate]\nsetting = 'best'", {}, "not one of calibrated", None),
        ("[embed]\nproviders = ['CudaExecutionProvider']", {}, "unknown provider", "CUDA"),
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

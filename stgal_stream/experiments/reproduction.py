"""The paper's tables: baselines before and after association learning, on a data set's own split.

The training split goes through the daemon as a stream without a label; what it says is trained on,
and the test split measures each model by the standard protocol. Labels are read to measure, after
the training. Laws: a row that is done is never computed again; a row that was stopped goes on
from its checkpoint.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stgal_stream.configuration import simulated_config
from stgal_stream.daemon import Daemon
from stgal_stream.errors import ConfigError, DataError, ModelError
from stgal_stream.evaluation.datasets import DatasetImage
from stgal_stream.evaluation.labelled_set import embed_dataset
from stgal_stream.exclusive import exclusive
from stgal_stream.experiments.benchmark import benchmark
from stgal_stream.experiments.pair_choice import choose_pairs, random_negatives
from stgal_stream.experiments.replay import DatasetSource, replay
from stgal_stream.experiments.sending import LogSink
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.topics import topic_specs
from stgal_stream.replacing import replacing
from stgal_stream.retraining.baseline import embed_tracklets, export_like, make_trainable
from stgal_stream.retraining.data.pseudo_pairs import StreamData
from stgal_stream.retraining.data.sources import LogSource
from stgal_stream.retraining.intra_camera import IntraCameraSampler
from stgal_stream.retraining.negatives import hard_negatives
from stgal_stream.settings import TrackerSettings
from stgal_stream.training.batches import PseudoPair, Sampler
from stgal_stream.training.from_onnx import network_of
from stgal_stream.training.loader import Draws, Loader
from stgal_stream.training.peers import Peers
from stgal_stream.training.trainer import Progress, Training, TrainingSettings, read_checkpoint

logger = logging.getLogger(__name__)

Say = Callable[[str, int, int, str], None]
Row = dict[str, Any]

_ALL = tuple(f"baseline_{b}{way}" for b in "ab" for way in ("", "_bbp", "_st_gal"))
ROWS = {
    "table1": _ALL,
    "table2": _ALL,
    "table3": (*_ALL, "baseline_a_random", "baseline_b_random"),
}
_START_S = 1_600_000_000.0
_MIN_PAIRS = 20
_ANEW = "give --out a new directory"


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint=_ANEW) from error
    if not isinstance(found, dict):
        raise DataError(f"{path} holds something else", hint=_ANEW)
    return found


class Stopped(Exception):
    """The run was stopped; what is done is kept."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be reproduced: a data set's images in order of time, the extractor that is
    Baseline A, how to train on pairs and how within cameras, and what says all this in the
    results."""

    images: list[DatasetImage]
    baseline: Path
    training: TrainingSettings
    within_cameras: TrainingSettings
    about: dict[str, Any]

    def settings(self, row: str) -> TrainingSettings:
        """How a row's own model is trained."""
        return self.within_cameras if row == "baseline_b" else self.training


class Reproduction:
    """One run in one folder."""

    def __init__(
        self,
        asked: Asked,
        folder: Path,
        stop: threading.Event,
        say: Say = lambda what, done, total, note: None,
    ) -> None:
        self._asked = asked
        self._folder = folder
        self._stop = stop
        self._say = say
        self._train = [image for image in asked.images if image.split == "train"]
        self._data: StreamData | None = None
        if not self._train:
            raise DataError("the data set has no training split: nothing to learn from")
        self.rows: dict[str, Row] = {}

    def run(self, rows: tuple[str, ...]) -> dict[str, Row]:
        """These rows and those that are there already, each with ``p_v``, ``p_a``, ``fusions``,
        ``cmc``, ``pairs``, ``losses``, ``n_broken`` and ``seconds``; figures are fractions.

        Raises:
            Stopped: somebody asked for it.
            DataError: there is nothing to train on, the folder cannot be written, or another
                reproduction works there.
            ConfigError: the folder holds another run, or something else.
        """
        with exclusive(self._folder, "reproduction"):
            self.rows = self._read_rows()
            for name in rows:
                if name not in self.rows:
                    began_s = time.monotonic()
                    row = self._row(name)
                    row["seconds"] = round(time.monotonic() - began_s, 1)
                    self.rows[name] = row
                    self._write_rows()
            # Crops live as long as they serve.
            shutil.rmtree(self._stream_folder, ignore_errors=True)
            return self.rows

    @property
    def _stream_folder(self) -> Path:
        return self._folder / "stream"

    def _row(self, name: str) -> Row:
        if name == "baseline_a":
            return self._measured(name, self._asked.baseline, {})
        parent = name[: len("baseline_a")]
        model, what = self._model(name, self._model_of(parent))
        return self._measured(name, model, what)

    def _model_of(self, baseline: str) -> Path:
        """The model of a baseline, trained before if need be."""
        if baseline == "baseline_a":
            return self._asked.baseline
        return self._model(baseline, self._asked.baseline)[0]

    def _model(self, name: str, parent: Path) -> tuple[Path, Row]:
        """A row's model, trained unless it is there, and what there is to say about it."""
        path, about = self._folder / f"{name}.onnx", self._folder / f"{name}.json"
        if path.is_file() and about.is_file():
            found: Row = _json(about)
            return path, found
        extractor = OnnxExtractor(parent, eight_bit=False)
        data = self._stream()
        draws, what = self._draws(name, extractor, data)
        if draws is None:
            return parent, what
        training = self._training(name, extractor, data)
        if not training.run(
            Loader(draws, data.crops, extractor.form), self._stop, self._heard(name)
        ):
            raise Stopped
        what["losses"] = [round(loss, 4) for loss in training.losses]
        export_like(extractor, training.network, path, name.replace("_", "-"), extractor.form)
        self._write(about, what)
        (self._folder / f"{name}.pt").unlink(missing_ok=True)
        return path, what

    def _draws(
        self, name: str, extractor: OnnxExtractor, data: StreamData
    ) -> tuple[Draws | None, Row]:
        settings = self._asked.settings(name)
        if name == "baseline_b":
            tracks = IntraCameraSampler.like(settings, data.sightings, data.crops.counts)
            return tracks, {"tracks": tracks.n_tracks}
        vectors = embed_tracklets(
            extractor,
            data.crops,
            on_progress=lambda d, t: self._say("stream", d, t, "embedding"),
        )
        pairs = choose_pairs(data.sightings, vectors, iterated=not name.endswith("_bbp"))
        what = {"pairs": self._right(pairs, data)}
        if len(pairs) < _MIN_PAIRS:
            return None, {**what, "note": f"{len(pairs)} pseudo-pairs are too few to train on"}
        queries = sorted({row for p in pairs for row in (p.first, p.second)})
        if name.endswith("_random"):
            negatives = random_negatives(data.sightings, queries, settings.seed)
        else:
            negatives = hard_negatives(data.sightings, vectors, queries, settings.seed)
        return Sampler(
            pairs,
            negatives,
            settings.seed,
            settings.n_pairs,
            data.crops.counts,
            settings.n_views,
            weighted=settings.weighted,
        ), what

    def _training(self, name: str, extractor: OnnxExtractor, data: StreamData) -> Training:
        settings, path = self._asked.settings(name), self._folder / f"{name}.pt"
        network = make_trainable(network_of(extractor.path), data.crops, extractor.form)
        training = Training(network, settings, path, {"row": name}, Peers.alone())
        try:
            state = read_checkpoint(path)
        except ModelError as error:
            logger.warning("%s: this training starts again", error)
            state = None
        if state is not None:
            training.resume(state)
        return training

    def _heard(self, name: str) -> Callable[[Progress], None]:
        total = self._asked.settings(name).iterations
        return lambda progress: self._say(
            name, progress.iteration, total, f"training, loss {progress.loss:.3f}"
        )

    def _stream(self) -> StreamData:
        """The training split as Baseline A's daemon saw it: tracks with their crops."""
        if self._data is not None:
            return self._data
        config = simulated_config(self._stream_folder / "state", self._asked.baseline)
        config.embed.eight_bit = False  # models differ by their training alone
        done = self._stream_folder / "done"
        if not done.is_file():
            shutil.rmtree(self._stream_folder, ignore_errors=True)
        log = EmbeddedLog(self._stream_folder / "log")
        try:
            log.ensure_topics(topic_specs(config))
            if not done.is_file():
                sink = LogSink(log, config.topics.detections)
                source = DatasetSource(self._train)
                replay(source, sink, start_s=_START_S, stopped=self._stop.is_set)
                if self._stop.is_set():  # a part of the stream must not pass for the whole
                    raise Stopped
                self._track(Daemon(log, config))
                done.touch()
            source_of = LogSource(log, config.topics)
            self._data = source_of.read(
                source_of.until(),
                OnnxExtractor(self._asked.baseline, eight_bit=False),
                len(self._train),
                lambda d, t: self._say("stream", d, t, "reading crops"),
            )
        finally:
            log.close()
        return self._data

    def _track(self, daemon: Daemon) -> None:
        sent = threading.Event()
        sent.set()
        total = len(self._train)

        def heard() -> None:
            if self._stop.is_set():
                daemon.stop.set()
            if daemon.embed is not None:
                self._say("stream", min(daemon.embed.progress, total), total, "daemon")

        daemon.run(end=sent, serve=False, on_progress=heard)
        if not daemon.finished:
            raise Stopped

    def _right(self, pairs: list[PseudoPair], data: StreamData) -> dict[str, float]:
        """How many pairs, and the share that is one person: labels, to measure by."""
        person = {label.detection_id: label.person for label in DatasetSource(self._train).truth()}
        who = [person[s.id] for s in data.sightings]
        right = sum(who[p.first] == who[p.second] > 0 for p in pairs)
        return {"n": len(pairs), "precision": right / len(pairs) if pairs else 0.0}

    def _measured(self, name: str, model: Path, what: Row) -> Row:
        if self._stop.is_set():
            raise Stopped
        extractor = OnnxExtractor(model, eight_bit=False)
        n = sum(image.split != "train" for image in self._asked.images)
        labelled = embed_dataset(
            self._asked.images,
            extractor,
            lambda d: self._say(name, d, n, "embedding the test split"),
        )
        settings = TrackerSettings()
        settings = replace(settings, calibration_tracklets=len(labelled.person))
        found = benchmark(labelled, settings, lambda step, d, t: self._say(name, d, t, step))
        figures = {k: {"rank1": r.rank(1), "mAP": r.mAP} for k, r in found.retrieval.items()}
        return {
            "p_v": figures["p_v"],
            "p_a": figures["p_a_calibrated"],
            "fusions": figures,
            "cmc": list(found.retrieval["p_v"].cmc[:20]),
            "n_broken": labelled.n_broken,
            **what,
        }

    def _read_rows(self) -> dict[str, Row]:
        """What an earlier run in this folder found.

        Raises:
            ConfigError: it was another run, or the folder is somebody else's.
            DataError: it cannot be read or written.
        """
        path = self._folder / "rows.json"
        try:
            if not path.is_file():
                if {at.name for at in self._folder.iterdir()} - {".lock"}:
                    raise ConfigError(f"{self._folder} holds something else", hint=_ANEW)
                self._write(path, {"about": self._about, "rows": {}})
        except OSError as error:
            raise DataError(f"{self._folder} cannot be used: {error.strerror}") from error
        found = _json(path)
        if found.get("about") != self._about:
            raise ConfigError(f"{self._folder} holds a run with other settings", hint=_ANEW)
        rows = found.get("rows")
        if not isinstance(rows, dict):
            raise DataError(f"{path} holds no rows", hint=_ANEW)
        return rows

    @property
    def _about(self) -> dict[str, Any]:
        asked = self._asked
        how = {"training": asdict(asked.training), "within_cameras": asdict(asked.within_cameras)}
        return {**asked.about, **how}

    def _write_rows(self) -> None:
        self._write(self._folder / "rows.json", {"about": self._about, "rows": self.rows})

    @staticmethod
    def _write(path: Path, content: object) -> None:
        with replacing(path) as made:
            made.write_text(json.dumps(content, indent=1) + "\n")

"""One retraining: read what the stream said, train, judge at times that training did not see,
release. Two at a time are excluded; what was stopped can be resumed."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream import __version__
from stgal_stream.errors import DataError, ModelError
from stgal_stream.exclusive import exclusive
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.releases import Release, Releases, sha256_of
from stgal_stream.retraining.baseline import embed, export_like, make_trainable
from stgal_stream.retraining.data.pseudo_pairs import StreamData
from stgal_stream.retraining.data.sources import Source, Until
from stgal_stream.retraining.gate import GateResult, judge
from stgal_stream.retraining.job_settings import JobSettings
from stgal_stream.retraining.preparation import Said, pairs_before, prepare
from stgal_stream.retraining.variant import Variant, make_variant
from stgal_stream.training.export import stamp
from stgal_stream.training.from_onnx import network_of
from stgal_stream.training.loader import Loader
from stgal_stream.training.network import ResNet50
from stgal_stream.training.peers import Peers
from stgal_stream.training.trainer import Progress, Training, read_checkpoint
from stgal_stream.wire.rollout import Retrained, RolloutRecord

logger = logging.getLogger(__name__)

_CPU = ("CPUExecutionProvider",)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: the release (None if stopped before the end) and the gate's result."""

    release: Release | None
    result: GateResult | None
    promoted: bool


class _Stopped(Exception):
    """Somebody asked for it."""


class Job:
    """A retraining of one extractor on what one source has, into one folder of releases."""

    def __init__(
        self,
        source: Source,
        baseline: OnnxExtractor,
        releases: Releases,
        peers: Peers | None = None,
    ) -> None:
        self._source = source
        self._baseline = baseline
        self._releases = releases
        self._peers = peers or Peers()
        self._scratch = releases.folder / ".training"

    def run(
        self,
        settings: JobSettings,
        stop: threading.Event,
        say: Said = lambda what, done, total, note: None,
    ) -> Outcome:
        """The whole job; of several processes one reads the baseline's judgement and releases.
        ``say`` hears the step, how far it is of how much, and a note. Stopped in training or later,
        it can be resumed; before, there is nothing to go on from yet.

        Raises:
            DataError: too few pairs, or another retraining runs.
            ModelError: the baseline cannot be trained, or the loss is no number.
        """

        def heard(what: str, done: int, total: int, note: str) -> None:
            say(what, done, total, note)
            if stop.is_set() and what != "training":  # which stops by itself, and saves
                raise _Stopped

        with self._peers.agree_on(exclusive(self._releases.folder, "retraining")):
            try:
                return self._run(settings, stop, heard)
            except _Stopped:
                return Outcome(None, None, False)

    def _run(self, settings: JobSettings, stop: threading.Event, say: Said) -> Outcome:
        began_s = time.monotonic()
        network = network_of(self._baseline.path)  # before minutes of reading: it may be none
        state, until, data = self._read(settings, say)
        split = int(len(data.sightings) * (1 - settings.held_out))
        before, draws = self._peers.agree(
            lambda: prepare(self._baseline, data, split, settings, say)
        )
        form = self._form(settings)
        make_trainable(network, data.crops[:split], form)
        about = {"until": until, "data": data.digest, **self._kind(settings)}
        training = Training(network, settings.training, self._checkpoint, about, self._peers)
        if state is not None:
            training.resume(state)

        def heard(progress: Progress) -> None:
            total = settings.training.iterations
            say("training", progress.iteration, total, f"loss {progress.loss:.3f}")

        loader = Loader(draws, data.crops, form)
        try:
            if not training.run(loader, stop, heard) or not self._peers.leads:
                return Outcome(None, None, False)
            outcome = self._release(settings, data, split, before, training, say)
        except ModelError:  # gone on with, it would end so every night
            self._forget()
            raise
        outcome = self._tell(outcome, time.monotonic() - began_s)
        self._forget()
        return outcome

    def _read(
        self, settings: JobSettings, say: Said
    ) -> tuple[dict[str, Any] | None, Until, StreamData]:
        """The checkpoint to go on from, if there is one that still fits what the source holds; how
        far to read; and what is there."""
        state = self._peers.agree(lambda: self._state(settings))
        until: Until = state["about"]["until"] if state else self._peers.agree(self._source.until)

        def read() -> StreamData:
            return self._source.read(
                until,
                self._baseline,
                settings.max_tracklets,
                lambda done, total: say("reading crops", done, total, ""),
            )

        data = self._peers.each(read)
        digest = data.digest
        if self._peers.any(state is not None and state["about"]["data"] != digest):
            logger.warning("what the checkpoint was made of is gone by now: starting again")
            state, until = None, self._peers.agree(self._source.until)
            data = self._peers.each(read)
            digest = data.digest
        if self._peers.any(digest != self._peers.agree(lambda: digest)):
            raise DataError(
                "the processes have read different crops: retention took some meanwhile",
                hint="the same command again",
            )
        return state, until, data

    def _form(self, settings: JobSettings) -> CropFormat:
        """The crops that the release will take."""
        form = self._baseline.form
        height_px, width_px = settings.crop_size or (form.height_px, form.width_px)
        return replace(form, height_px=height_px, width_px=width_px)

    def _tell(self, outcome: Outcome, seconds: float) -> Outcome:
        """What came of it: daemons promote and publish from there. A release that came of the same
        data before is not promoted again: somebody may have taken it back."""
        release, result = outcome.release, outcome.result
        assert release is not None
        assert result is not None
        if self._source.knows(release.version):
            logger.warning("release %s is there already: nothing new came in", release.version)
            outcome = replace(outcome, promoted=False)
        n_pairs, passed = release.data["pairs"], result.passed
        said: list[RolloutRecord] = [
            Retrained(release.version, time.time(), seconds, n_pairs, passed, release.gate)
        ]
        if outcome.promoted:
            said.append(self._releases.promotion(release.version))
        self._source.tell(said)
        return outcome

    def _state(self, settings: JobSettings) -> dict[str, Any] | None:
        """The checkpoint to go on from; one that nobody resumes, or that fits no more, is removed,
        so that a scheduled run is never blocked by an old one."""
        for left in self._releases.folder.glob(".new-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        if not settings.resume:
            self._forget()
            return None
        try:
            state = read_checkpoint(self._checkpoint)
        except ModelError as error:
            logger.warning("%s: starting again", error)
            state = None
        else:
            if state is None:
                return None
            about = state["about"]
            same_settings = state["settings"] == asdict(settings.training)
            if same_settings and self._kind(settings).items() <= about.items():
                return state
            what = "another baseline or source" if same_settings else "a run with other settings"
            logger.warning("the checkpoint is of %s: starting again", what)
        self._forget()
        return None

    @property
    def can_go_on(self) -> bool:
        """Whether a stopped run left something to be resumed."""
        return self._checkpoint.is_file()

    @property
    def _checkpoint(self) -> Path:
        return self._scratch / "checkpoint.pt"

    def _forget(self) -> None:
        """Nothing of a run is kept, so that the next one starts from nothing."""
        if self._peers.leads:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _kind(self, settings: JobSettings) -> dict[str, Any]:
        """What a checkpoint has to share with a run that goes on from it: among others what is held
        out, since nothing may be judged by what it was trained on."""
        form = self._form(settings)
        return {
            "source": self._source.identity,
            "baseline": self._baseline.version,
            "within_cameras": settings.within_cameras,
            "held_out": settings.held_out,
            "max_tracklets": settings.max_tracklets,
            "crop_size": [form.height_px, form.width_px],
        }

    def _release(
        self,
        settings: JobSettings,
        data: StreamData,
        split: int,
        before: NDArray[np.float32],
        training: Training,
        say: Said,
    ) -> Outcome:
        name = f"retrained-{_digest(training.network.cpu())}"
        form = self._form(settings)
        self._scratch.mkdir(exist_ok=True)  # the next run clears it, should this one be killed
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            model = Path(scratch) / "model.onnx"
            export_like(self._baseline, training.network, model, name, form)
            candidate = OnnxExtractor(model, providers=_CPU, eight_bit=False)
            after = embed(candidate, data.crops, lambda d, t: say("judging", d, t, ""))
            result = judge(data.sightings, split, before, after)
            found = result.candidate
            stamp(model, {"stgal.alpha": repr(found.alpha), "stgal.sigma": repr(found.sigma)})
            candidate = OnnxExtractor(model, providers=_CPU, eight_bit=False)
            variant = self._variant(settings, candidate, data, split, after, say)
            release = Release(
                name,
                sha256_of(model),
                self._baseline.version,
                datetime.now(UTC).isoformat(timespec="seconds"),
                data=self._lineage(settings, data, split, training),
                gate=result.as_json(),
                settings={
                    **asdict(settings.training),
                    "held_out": settings.held_out,
                    "within_cameras": settings.within_cameras,
                    "crop_size": [form.height_px, form.width_px],
                    "first_losses": training.losses[:5],
                    "last_losses": training.losses[-5:],
                    "code": __version__,
                },
                variant=variant.as_json(),
            )
            if self._releases.has(name):  # the same weights: of the same data, or of a killed run
                release = self._releases.get(name)
            else:
                self._releases.add(release, model)
        return Outcome(release, result, result.passed and settings.promote)

    def _lineage(
        self, settings: JobSettings, data: StreamData, split: int, training: Training
    ) -> dict[str, Any]:
        """What a release was made of."""
        return {
            "source": self._source.identity,
            "until": training.about["until"],
            "from_s": data.sightings[0].start_s,
            "to_s": max(s.end_s for s in data.sightings),
            "held_out_from_s": data.sightings[split].start_s,
            "sightings": len(data.sightings),
            "pairs": 0 if settings.within_cameras else len(pairs_before(data, split)),
            "left_out": dict(data.left_out),
        }

    def _variant(
        self,
        settings: JobSettings,
        model: OnnxExtractor,
        data: StreamData,
        split: int,
        vectors: NDArray[np.float32],
        say: Said,
    ) -> Variant:
        """A release does without a variant where none can be made."""
        if not settings.eight_bit:
            return Variant(False, "embed.eight_bit forbids it")
        try:
            return make_variant(
                model,
                data,
                data.crops[:split],
                lambda what, d, t: say(what, d, t, ""),
                vectors=vectors,
            )
        except ModelError as error:
            logger.warning("no 8-bit variant: %s", error)
            return Variant(False, str(error))


def _digest(network: ResNet50) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        array = tensor.numpy()
        if not np.isfinite(array).all():
            raise ModelError(f"{name} holds NaN or infinite weights after training")
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()[:12]

"""What TensorBoard shows of a run: scalars, pictures, machine, config and HParams. Written without TensorFlow."""

import contextlib
import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from nam.command import quiet
from nam.config import Config
from nam.configs import studies
from nam.errors import UserError, first_line
from nam.runs import Run

# Metrics of the HParams dashboard: (group, tag) of the scalar, and its column's name.
METRICS = {
    ("validation", "accuracy"): "validation accuracy",
    ("validation", "sampled_accuracy"): "validation sampled",
    ("validation", "vote_accuracy"): "validation vote",
    ("", "test/deterministic"): "test deterministic",
    ("", "test/sampled"): "test sampled",
    ("", "test/vote"): "test vote",
    ("train", "images_per_second"): "images/s",
}


def history(run: Run) -> dict[str, list[float]]:
    """A run's numbers by name, a value per epoch, as its event files hold them; those of validation are `val_…`."""
    found = {}
    for group, prefix in (("train", ""), ("validation", "val_")):
        if not (run.path / group).is_dir():
            continue
        try:
            if not all(path.is_file() for path in (run.path / group).glob("*tfevents*")):  # a pipe would be waited for
                raise ValueError("one of them is no file")
            with quiet():  # TensorBoard reads with TensorFlow where that is installed
                accumulator = EventAccumulator(str(run.path / group), {"scalars": 0}).Reload()
        except Exception as error:  # of a file that was changed: of two libraries
            what = first_line(error)
            raise UserError(f"cannot read the event files of {run.path / group} ({what}): remove them.") from None
        for tag in accumulator.Tags()["scalars"]:
            found[prefix + tag] = [event.value for event in accumulator.Scalars(tag)]
    return found


class EventFile:
    """An event file of TensorBoard's; what cannot be written is told to whoever writes it, and not to a thread.

    Args:
        folder: Where it lies; made if it is not there.
        first_epoch: TensorBoard drops what earlier files of the folder hold of this epoch and later ones. `None`: it
            keeps them.

    Raises:
        OSError: If it cannot be written, then or in any later call.
    """

    def __init__(self, folder: Path, first_epoch: int | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard knows such files by `tfevents`, and takes them in the order of their names.
        # The newest comes last, also where the clock was set back.
        before = re.findall(r"tfevents\.(\d+\.\d+)", " ".join(path.name for path in folder.iterdir()))
        begun = max([time.time(), *(float(then) + 2e-6 for then in before)])
        self._file = (folder / f"events.out.tfevents.{begun:.6f}.nam").open("xb")
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if first_epoch is not None:
            self._write(step=first_epoch, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
        self.flush()

    def scalar(self, tag: str, value: float, epoch: int) -> None:
        self.summary(summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)]), epoch)

    def text(self, tag: str, markdown: str, epoch: int = 0) -> None:
        self.summary(text_pb(tag, markdown), epoch)

    def image(self, tag: str, pixels, epoch: int = 0) -> None:
        """Adds a picture, `(height, width, 3)` uint8."""
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG")
        height, width, colours = pixels.shape
        picture = summary_pb2.Summary.Image(
            height=height, width=width, colorspace=colours, encoded_image_string=encoded.getvalue()
        )
        self.summary(summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=picture)]), epoch)

    def summary(self, summary: summary_pb2.Summary, epoch: int = 0) -> None:
        self._write(step=epoch, summary=summary)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _write(self, **event) -> None:
        self._records.write(event_pb2.Event(wall_time=time.time(), **event).SerializeToString())


class Events:
    """A run's event files: `train/`, `validation/`, and its own folder for HParams and the final accuracies.

    Every file begins with the machine's card and the config as text. What an interrupted run wrote of the epochs from
    `first_epoch` on is dropped by TensorBoard.
    """

    def __init__(self, run: Run, first_epoch: int = 0, groups: Sequence[str] = ("", "train", "validation")):
        config, card = run.read("config.json"), run.read("hardware.json")
        self.files = {group: EventFile(run.path / group, first_epoch) for group in groups}
        for file in self.files.values():
            file.text("machine", _table(card), first_epoch)
            file.text("config", _table(config), first_epoch)
        study = run.path.parent.name
        self.files[""].summary(_session(metadata.EXPERIMENT_TAG, experiment=_columns(study, config)))
        values = {key: _hparam(value) for key, value in {"study": study, **config}.items()}
        self.files[""].summary(hparams.hparams_pb(values, trial_id=f"{study}/{run.path.name}"))
        self.flush()

    def scalars(self, group: str, values: dict[str, float], epoch: int) -> None:
        for tag, value in values.items():
            self.files[group].scalar(tag, float(value), epoch)

    def final(self, found: dict[str, dict[str, float] | None], epoch: int) -> None:
        """Adds the accuracies of the best model on each split, see `tell`: the run is done."""
        tell(self.files[""], found, epoch)
        # Without an end the dashboard calls the run unfinished.
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
        self.files[""].summary(_session(metadata.SESSION_END_INFO_TAG, session_end_info=end))

    def image(self, group: str, tag: str, pixels, epoch: int) -> None:
        """Adds a picture, `(height, width, 3)` uint8."""
        self.files[group].image(tag, pixels, epoch)

    def flush(self) -> None:
        for file in self.files.values():
            file.flush()

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # so that each is closed, whatever becomes of the others
            for file in self.files.values():
                stack.callback(file.close)


def tell(file: EventFile, found: dict[str, dict[str, float] | None], epoch: int) -> None:
    """Adds the accuracies on each split, as `test/deterministic` and so on."""
    for split, shares in found.items():
        for kind, share in (shares or {}).items():
            if kind != "votes":
                file.scalar(f"{split}/{kind}", share, epoch)


def of_copy(run: Run) -> None:
    """Lets a copied run tell the study whose folder it is in now."""
    result = run.read("result.json")
    for path in run.path.glob("events.out.*"):
        path.unlink()
    events = Events(run, groups=("",))
    events.final({split: result[split] for split in ("test", "validation")}, result["epochs"])
    events.close()


def _columns(study: str, config: dict[str, Any]) -> api_pb2.Experiment:
    """The columns of the dashboard: it shows those marked as differing first, and of all runs the first run's marks."""
    plan = studies().get(study)
    defaults = Config().model_dump(mode="json")
    changed = plan.varied if plan else [name for name, value in config.items() if value != defaults.get(name)]
    marked = {"study", "policy", *changed}
    columns = [api_pb2.HParamInfo(name=name, differs=name in marked) for name in ("study", *Config.model_fields)]
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(group=group, tag=tag), display_name=name)
        for (group, tag), name in METRICS.items()
    ]
    return api_pb2.Experiment(hparam_infos=columns, metric_infos=metrics)


def _session(tag: str, **data) -> summary_pb2.Summary:
    """What `summary_v2` does not make: columns that are marked, and the end of a run."""
    content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**data))
    value = summary_pb2.Summary.Value(tag=tag, metadata=content, tensor=metadata.NULL_TENSOR)
    return summary_pb2.Summary(value=[value])


def _hparam(value):
    """HParams takes text, numbers and truth only."""
    if value is None:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _table(values: dict[str, Any]) -> str:
    """A table in Markdown, as TensorBoard's text dashboard shows it."""
    rows = [f"| {key} | {value} |" for key, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])

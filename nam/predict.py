"""Looks at image files with a trained model: `python -m nam.predict logs/runs/NAME image.png`."""

import contextlib
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from nam import command, weights
from nam.config import Values
from nam.errors import UserError
from nam.files import user_path

DESCRIPTION = (
    "Classifies image files with the deterministic gaze. Images are brought to the size that the model was trained "
    "on: larger ones are shrunk, smaller ones lie in the middle of a black canvas. They must look like those that it "
    "learned from: digits are bright on black (--invert)."
)
SHOWN = 16  # images of a figure

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic's own `json` is deprecated

    class Options(Values):
        run: command.ModelName
        images: command.ImageNames = Field(description="PNG or JPEG files, grey or colour, or folders of them")
        exit_confidence: float = Field(
            1.0, gt=0, le=1, description="answer with the first look whose class is more probable than this"
        )
        json: bool = Field(
            False, description="print a JSON object per line; `gaze` holds the centres of the looks, pixels of the file"
        )
        invert: bool = Field(False, description="the images are dark on bright, as ink on paper: invert them")
        figure: str | None = Field(
            None,
            description="picture to write (.png, .pdf, .svg): every look at one image, or the gaze on the first 16",
        )
        gif: str | None = Field(None, description="film to write: the gaze at the first image")


class Looked(NamedTuple):
    """An image file as it was looked at."""

    image: np.ndarray  # (height, width, channels) uint8, on the model's canvas
    seen: Any  # what the view's `look` says of it
    bright: bool  # whether the greater part of the file is


def predict(view, path: Path, exit_confidence: float = 1.0, invert: bool = False) -> tuple[dict[str, Any], Looked]:
    """What a model makes of an image file: as `--json` prints it, and the image with what was seen of it.

    Args:
        view: The model's `nam.pictures.view`.
        path: A PNG or JPEG file.
        exit_confidence: The looks after the first answer more probable than this are left out of what is told.
        invert: The image is dark on bright, and the model learned the reverse.

    Raises:
        UserError: If the file is not a whole image.
    """
    from nam import numbers
    from nam.data.images import place
    from nam.gaze import Seen, looks_taken

    shape = height, width, _ = view.model.images_shape
    placed = place(path, shape, invert)
    seen = view.look(placed.pixels[None])
    if not isinstance(seen, Seen):
        return _answer(path, view, seen.probabilities[0]), Looked(placed.pixels, seen, placed.bright)
    targets = view.model.targets
    looks = int(looks_taken(seen.probabilities, exit_confidence)[0]) if targets == 1 else seen.locations.shape[1]
    seen = Seen(*(part[:, :looks] for part in seen))
    gaze = ((seen.locations[0] + 1) / 2 * (width, height) - placed.corner) / placed.zoom
    probabilities = numbers.answers(seen.probabilities[0], targets)
    answer = _answer(path, view, probabilities[0] if targets == 1 else probabilities)
    return {**answer, "looks": looks, "gaze": np.round(gaze, 1).tolist()}, Looked(placed.pixels, seen, placed.bright)


def _answer(path: Path, view, probabilities) -> dict[str, Any]:
    from nam import numbers
    from nam.accuracy import read

    best = read(probabilities[None])[0]
    places = zip(np.atleast_2d(probabilities), np.atleast_1d(best), strict=True)
    share = float(np.prod([p[label] for p, label in places if label >= 0]))
    return {"image": str(path), "class": numbers.text(best, view.classes, view.reading), "probability": share}


class Opened(NamedTuple):
    """A model that was named."""

    model: Any  # a `Classifier`
    classes: list[str]  # their names
    path: Path  # of its file
    reading: str  # the way in which it reads numbers


def open_model(name: str) -> Opened:
    """The model of a run's folder, of a `.keras` file or of that name."""
    with command.quiet():
        from nam import models
        from nam.runs import MODEL, Run

    path = user_path(name)
    if not path.exists():
        if name not in weights.names():
            *others, last = "a run's folder, as logs/runs/NAME", "a .keras file", *weights.names()
            raise UserError(f"there is no {path}: name {', '.join(others)} or {last}.")
        path = weights.find(name)
    if path.suffix != ".keras":
        path = Run.open(path).path / MODEL
    model, run = models.load(path), Run(path.parent)
    config = run.config() if path.name == MODEL else None
    told = run.read("dataset.json") if config else None
    count, names = model.config["classes"], (told or {}).get("classes", ())
    names = names if len(names) == count else [str(i) for i in range(count)]
    return Opened(model, names, path, config.reading if config else "forward")


def find(names: Sequence[str]) -> list[Path]:
    """The image files that the names stand for; a folder stands for all that lie in it, at any depth."""
    from nam.data.images import is_image

    if "" in names:
        raise UserError("an image has an empty name: name a PNG or JPEG file, or a folder of them.")
    found = []
    for path in map(user_path, names):
        if path.is_dir():
            try:
                inside = sorted(filter(is_image, path.rglob("*")))
            except RecursionError:
                raise UserError(f"the folders in {path} lie too deep in each other: name one of them.") from None
            if not inside:
                raise UserError(f"{path} holds no PNG or JPEG image: name a folder or a file that does.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"there is no {path}: name a PNG or JPEG file, or a folder of them.")
    return found


def main(argv: Sequence[str]) -> int:
    options = command.options(Options, argv, "python -m nam.predict", DESCRIPTION)
    with command.quiet():
        from nam import pictures, plots
        from nam.data.sources import DIGITS

    for picture, endings in ((options.figure, (".png", ".jpg", ".pdf", ".svg")), (options.gif, (".gif",))):
        if picture is not None and Path(picture).suffix.lower() not in endings:
            raise UserError(f"the name of a picture ends in {' or '.join(endings)}. Received: '{picture}'")
        if picture is not None and not Path(picture).parent.is_dir():
            raise UserError(f"cannot write {picture}: there is no folder {Path(picture).parent}.")
    paths = find(options.images)
    model, classes, _, reading = open_model(options.run)
    view = pictures.view(model, classes, reading)
    looks = isinstance(view, pictures.GazeView)
    if not looks and (options.gif or options.exit_confidence < 1):
        raise UserError(f"a {type(model).__name__} samples no gaze: leave --gif and --exit-confidence out.")
    if options.figure and not view.name:
        raise UserError(f"a {type(model).__name__} has no gaze and no attention to show: leave --figure out.")
    if options.exit_confidence < 1 and model.targets > 1:
        raise UserError("a number is read to its end: leave --exit-confidence out.")
    answers, shown, bright = [], [], 0
    width = max(len(str(path)) for path in paths)
    for path in paths:
        try:
            answer, looked = predict(view, path, options.exit_confidence, options.invert)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            continue
        answers.append(answer)
        shown += [looked] if len(shown) < SHOWN else []
        bright += looked.bright
        text = f"{path!s:<{width}}  {answer['class']}  {answer['probability']:.2%}"
        if looks:
            text += f"  {answer['looks']} look" + "s" * (answer["looks"] > 1)
        print(json.dumps(answer) if options.json else text, flush=True)
    if bright and tuple(classes) == DIGITS:
        which = "the image is" if len(paths) == 1 else f"{bright:,} of {len(paths):,} images are"
        told = f"{which} bright for the greater part, and digits are bright on black"
        print(f"warning: {told}: {'leave --invert out' if options.invert else 'add --invert'}", file=sys.stderr)
    if shown and options.figure:
        names = [Path(a["image"]).name.encode(errors="replace").decode() for a in answers]
        titles = [f"{n}: {a['class']}, {a['probability']:.0%}" for n, a in zip(names, answers, strict=True)]
        if looks and len(shown) == 1:
            figure = plots.retina(**view.story(shown[0].image, shown[0].seen))
        else:
            images, seen, _ = zip(*shown, strict=True)
            figure = view.figure(np.stack(images), seen, titles)
        with _writing(options.figure):
            figure.savefig(options.figure, dpi=120)
    if shown and options.gif:
        with _writing(options.gif):
            plots.animate(plots.frames(**view.story(shown[0].image, shown[0].seen)), Path(options.gif))
    return 0 if len(answers) == len(paths) else 2


@contextlib.contextmanager
def _writing(path: str):
    """Tells that a picture was written, or what kept it from that."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): name another file.") from None
    print(f"picture: {path}", file=sys.stderr)


if __name__ == "__main__":
    command.run(main)

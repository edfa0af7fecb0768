"""Every hyper-parameter of a run: its default, unit, limits and meaning, once."""

import json
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from nam.errors import UserError, did_you_mean

DIGIT = 28  # side of the digit box of MNIST, Fashion-MNIST and the enlarged bundled digits, pixels

# What `None` stands for. Clutter is published for some canvases; on another one that of the largest is scaled with the
# area.
CANVAS = {"translated": 60, "cluttered": 60, "augmented": 100, "belaid": 100, "sequence": 54}
CLUTTER = {
    "cluttered": {40: (5, 5), 60: (4, 8), 100: (8, 8)},
    "augmented": {100: (8, 9)},
    "belaid": {100: (8, 9)},
}
# The fields that only some models have; another model has them at their defaults.
_GAZE = (
    "glimpses scales scale_factors bandwidth padding retina std policy core samples advantage reward loss_steps "
    "first_location policy_gradient exploration std_end reinforce_weight baseline_weight initializer votes"
)
_TRANSFORMER = "first_transformation theta_gradient what_weight where_weight theta_weights"
OWNERS = {
    **dict.fromkeys(_GAZE.split(), ("ram",)),
    **dict.fromkeys(_TRANSFORMER.split(), ("edram",)),
    **dict.fromkeys(("glimpses", "bandwidth"), ("ram", "edram")),
    "hidden": ("ram", "fc", "edram"),
    "heads": ("self-attention",),
}
VOTES = 10  # sampled gazes of a vote, as in the published study
MIN_WINDOW = 14  # pixels of which edram's convolutions leave one
MAX_FACTOR = 181  # the sum over a larger cell of 16-bit levels does not fit a signed 32-bit integer
DATASETS = ("mnist", "fashion_mnist", "digits", "svhn")
Task = Literal["original", "translated", "cluttered", "augmented", "belaid", "sequence"]
FOLDER = "folder:"
FORMAT = 2  # of config.json and result.json, the files that a later nam must be able to read
# What the defaults were in format 1: a file keeps its meaning.
FIRST_DEFAULTS = {
    "std": 0.22, "exploration": "fixed", "samples": 4, "first_location": "random", "learning_rate": 1e-3,
    "schedule": "exponential", "batch_size": 128,
}  # fmt: skip


class Values(BaseModel):
    """A frozen set of named values that refuses unknown names, and says what is wrong in one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **values: Any):  # the slash: a file may hold any name
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UserError(_sentence(type(self), error)) from None


class Config(Values):
    """The scientific values of a run: together with the code they determine its result.

    `None` stands for the preset of the task; `resolved` fills it in. Raises `UserError` for an unknown name or a
    value outside its limits.
    """

    model: Literal["ram", "cnn", "simple-cnn", "keras-cnn", "self-attention", "fc", "edram"] = Field(
        "ram",
        description="what to train: the recurrent attention model (ram), one with a spatial transformer (edram), or "
        "what they are compared with: convolutional networks (cnn, simple-cnn, keras-cnn), one with self-attention, "
        "two dense layers (fc)",
    )
    dataset: str | None = Field(
        None,
        description="mnist, fashion_mnist, svhn (house numbers, of task sequence), digits (the 1,797 bundled with "
        "scikit-learn; one epoch draws each training digit once or twice, 1,920 images; a test draws each test digit "
        "ten times) or folder:PATH (one sub-folder of PNG or JPEG images per class). None: MNIST where it is at hand "
        "or can be downloaded, else digits",
    )
    task: Task | None = Field(
        None,
        description="how an image is made from a digit: as it is (original), placed at random (translated), over "
        "fragments of other digits (cluttered), also rotated by up to 15 degrees (augmented), as the study's published "
        "code drew it (belaid), one to five of them in a row, laid out as house numbers are (sequence). None: "
        "augmented; original for a folder, sequence for svhn",
    )
    reading: Literal["forward", "backward"] = Field(
        "forward", description="order in which the digits of a sequence are read, from the left or from the right"
    )
    canvas: int | None = Field(None, ge=4, le=4096, description="side of the image, pixels. None: the task's preset")
    distractors: int | None = Field(
        None, ge=0, le=20_000, description="fragments of other digits per image. None: the task's preset"
    )
    distractor_size: int | None = Field(
        None, ge=1, le=1000, description="side of a fragment, pixels. None: the task's preset"
    )
    digit_size: int | None = Field(
        None, ge=4, le=1024, description="side of the digit's box, pixels: digits are enlarged or shrunk. None: 28"
    )
    train_size: int | None = Field(
        None, ge=1, description="training examples that are used, chosen at random by the seed. None: all"
    )
    distortion: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="how far digits, or a folder's images, are turned, sheared and stretched at random in training: "
        "the largest change of an element of the map from pixels to pixels; 0.15 are about 9 degrees, or 15 %",
    )
    noise: float = Field(
        0.0, ge=0, le=1, description="standard deviation of Gaussian noise on every pixel, in units of full white"
    )
    glimpses: int = Field(4, ge=1, le=1000, description="number of looks at one image")
    scales: int = Field(4, ge=1, le=16, description="number of patches per look, each covering more than the last")
    scale_factors: tuple[int, ...] | None = Field(
        None, description="pixels of the image per pixel of the patch, one per scale. None: 1 2 4 8 ..."
    )
    bandwidth: int = Field(12, ge=1, le=512, description="side of each patch, pixels")
    padding: Literal["zero", "noise"] = Field(
        "zero",
        description="what lies beyond the image: black (zero), or noise as published, and then a coarse pixel is one "
        "of the image, not a mean (noise)",
    )
    retina: Literal["normalized", "plain"] = Field(
        "normalized",
        description="patches as the network sees them: each scale brought to similar strength (normalized), or as they "
        "are (plain)",
    )
    std: float = Field(
        0.15, gt=0, le=10, description="standard deviation of the Gaussian policy, in half-widths of the image"
    )
    exploration: Literal["fixed", "annealed", "learned"] = Field(
        "annealed",
        description="std of a learned policy stays as it is, like that of any other (fixed), falls along a line to "
        "std_end in three quarters of the epochs (annealed), or is trained like the means (learned)",
    )
    std_end: float = Field(0.05, gt=0, le=10, description="std of the last quarter of the epochs where it is annealed")
    policy: Literal["learned", "frozen", "random", "center"] = Field(
        "learned",
        description="where to look: learned by REINFORCE, an untrained network (frozen), anywhere (random), the centre",
    )
    core: Literal["lstm", "rnn"] = Field(
        "lstm", description="recurrent core: LSTM, or ReLU units that start from the identity (rnn)"
    )
    hidden: int = Field(
        256,
        ge=1,
        le=8192,
        description="units of the recurrent core and of the glimpse vector; of each layer of fc; of edram's LSTMs",
    )
    heads: Literal[1, 2, 4, 8, 16, 32, 64] = Field(4, description="attention heads of self-attention")
    samples: int = Field(
        2, ge=1, le=256, description="Monte-Carlo copies of each image in training, each with its gaze"
    )
    advantage: Literal["learned", "leave-one-out"] = Field(
        "leave-one-out",
        description="what a reward is compared with: a baseline that is trained (learned), or the mean of the other "
        "copies (leave-one-out)",
    )
    reward: Literal["correct", "probability", "log-likelihood"] = Field(
        "probability",
        description="reward of a gaze: 1 if its answer is right (correct), the probability of the right class "
        "(probability), or the logarithm of that (log-likelihood)",
    )
    loss_steps: Literal["last", "all"] = Field(
        "last", description="looks whose answer is trained: the last, or all, so that a gaze may end early"
    )
    first_location: Literal["random", "shared", "center"] = Field(
        "center",
        description="first look of a sampled gaze, in training and in votes: anywhere (random); in training at one "
        "place for all copies of an image, in votes anywhere (shared); the centre, where the deterministic gaze begins",
    )
    policy_gradient: Literal["flowing", "stopped"] = Field(
        "flowing",
        description="REINFORCE trains all that led to a location (flowing), or the location network only (stopped)",
    )
    reinforce_weight: float = Field(1.0, ge=0, le=1000, description="weight of the REINFORCE part of the loss")
    baseline_weight: float = Field(1.0, ge=0, le=1000, description="weight of the baseline part of the loss")
    initializer: Literal["glorot", "small"] = Field(
        "glorot", description="first weights of the dense layers: Glorot's uniform, or normal with deviation 0.01"
    )
    first_transformation: Literal["identity", "context"] = Field(
        "context", description="edram's first look: at the whole image, or where its coarse view of that says"
    )
    theta_gradient: Literal["flowing", "stopped"] = Field(
        "flowing",
        description="what trains where edram looks: localisation and classification (flowing), or localisation only, "
        "which finds the target much sooner (stopped)",
    )
    what_weight: float = Field(1.0, ge=0, le=1000, description="weight of the classification in edram's loss")
    where_weight: float = Field(1.0, ge=0, le=1000, description="weight of the localisation in edram's loss")
    theta_weights: tuple[float, float, float, float, float, float] = Field(
        (1.0, 0.5, 1.0, 0.5, 1.0, 1.0), description="weights of the six elements of edram's transformation"
    )
    optimizer: Literal["adam", "rmsprop", "adagrad", "adadelta", "sgd"] = Field("adam", description="optimizer")
    momentum: float = Field(0.0, ge=0, lt=1, description="Nesterov's momentum of the optimizer sgd")
    learning_rate: float = Field(5e-4, gt=0, le=100, description="learning rate of the first epoch")
    learning_rate_min: float = Field(1e-5, ge=0, le=100, description="the schedule never goes below this rate")
    schedule: Literal["exponential", "cosine", "constant", "plateau"] = Field(
        "cosine",
        description="learning rate: times decay every epoch, half a cosine over all epochs, unchanged, or times decay "
        "once validation has not got better for `plateau` epochs",
    )
    warmup: int = Field(0, ge=0, le=1000, description="first epochs whose learning rate rises to the schedule's")
    decay: float = Field(0.97, gt=0, le=1, description="factor of the exponential and the plateau schedule")
    plateau: int = Field(
        1, ge=1, le=1000, description="epochs without a better validation accuracy that make a plateau"
    )
    patience: int | None = Field(
        None, ge=1, le=100_000, description="epochs without a better validation accuracy that end training. None: never"
    )
    clip_norm: float | None = Field(5.0, gt=0, description="the gradient is scaled down to this norm. None: never")
    averaging: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="momentum, per step, of an exponential moving average of the weights, which is validated and saved "
        "instead of the last weights. None: no average",
    )
    curriculum: Literal["clutter", "canvas"] | None = Field(
        None,
        description="what grows to the task's size over the first epochs of training: the number of fragments "
        "(clutter), or the canvas, and they with its area. None: nothing",
    )
    curriculum_epochs: int = Field(5, ge=1, le=100_000, description="epochs before a curriculum has its full size")
    votes: int = Field(
        VOTES,
        ge=1,
        le=100,
        description="sampled gazes at each validation image after an epoch, fewer of which take less time; the "
        f"accuracies of the finished run are of {VOTES}",
    )
    batch_size: int = Field(64, ge=1, le=65536, description="images per training step")
    epochs: int = Field(100, ge=1, le=100_000, description="passes over the training images (see dataset for digits)")
    seed: int = Field(
        0, ge=0, lt=2**31, description="seed of the weights, the draws, the gaze and the validation split"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        for name, owners in OWNERS.items():
            if self.model not in owners and getattr(self, name) != type(self).model_fields[name].default:
                raise UserError(
                    f"{name} belongs to model {' and '.join(owners)}: leave it out, or choose that model. "
                    f"Received: model={self.model}, {name}={getattr(self, name)}"
                )
        if self.dataset is not None and self.dataset not in DATASETS and not self.dataset.startswith(FOLDER):
            raise UserError(
                f"unknown dataset '{self.dataset}'.{did_you_mean(self.dataset, (*DATASETS, FOLDER + 'PATH'))}"
            )
        factors = self.scale_factors
        if factors is not None:
            if len(factors) != self.scales:
                raise UserError(
                    f"scale_factors must hold one factor per scale: give {self.scales}, or set scales={len(factors)}. "
                    f"Received: scale_factors={factors}"
                )
            if factors[0] < 1 or factors[-1] > MAX_FACTOR or any(b <= a for a, b in pairwise(factors)):
                raise UserError(
                    f"scale_factors must be increasing, as 1 2 4 8, from 1 to {MAX_FACTOR}. "
                    f"Received: scale_factors={factors}"
                )
        elif 2 ** (self.scales - 1) > MAX_FACTOR:
            raise UserError(
                f"more than 8 scales need --scale-factors of at most {MAX_FACTOR}. Received: scales={self.scales}"
            )
        if self.model == "edram" and (self.bandwidth < MIN_WINDOW or self.hidden % 32):
            raise UserError(
                f"edram reads windows of at least {MIN_WINDOW} pixels, and its hidden units are a multiple of 32: "
                "start from --config edram or edram-small, or set --bandwidth 26 and --hidden 256. "
                f"Received: bandwidth={self.bandwidth}, hidden={self.hidden}"
            )
        if self.theta_gradient == "stopped" and not self.where_weight:
            raise UserError(
                "with where_weight=0 and theta_gradient=stopped nothing trains where edram looks: change one of them."
            )
        if self.model == "edram" and self.averaging is not None:
            raise UserError("edram's statistics of batches are not averaged with its weights: leave --averaging out.")
        if self.momentum and self.optimizer != "sgd":
            raise UserError(
                "momentum belongs to the optimizer sgd: leave it out, or set --optimizer sgd. "
                f"Received: optimizer={self.optimizer}, momentum={self.momentum}"
            )
        if self.advantage == "leave-one-out" and self.samples < 2 and self.policy == "learned":
            raise UserError(
                "advantage=leave-one-out compares the copies of an image: set samples to 2 or more, or "
                f"advantage=learned. Received: samples={self.samples}"
            )
        return self

    def check_new(self) -> None:
        """Raises `UserError` for values that contradict each other, but that runs of former versions may have."""
        if self.learning_rate_min > self.learning_rate:
            raise UserError(
                "learning_rate_min must be at most learning_rate: set --learning-rate-min too. Received: "
                f"learning_rate={self.learning_rate}, learning_rate_min={self.learning_rate_min}"
            )
        if self.anneals and self.std_end > self.std:
            raise UserError(
                "std_end must be at most std, which falls to it: set --std-end too, or --exploration fixed. "
                f"Received: std={self.std}, std_end={self.std_end}"
            )

    @property
    def anneals(self) -> bool:
        """Whether the deviation of the policy falls to `std_end`."""
        return self.std_changes and self.exploration == "annealed"

    @property
    def std_changes(self) -> bool:
        """Whether training changes the deviation of the policy; only a learned one lets it."""
        return self.model == "ram" and self.policy == "learned" and self.exploration != "fixed"

    def resolved(self, dataset: str) -> "Config":
        """The same run with nothing left open: the dataset named, the task's presets filled in.

        Only the canvas of task `original` on a folder stays `None`: that is the size of its images.
        """
        folder = dataset.startswith(FOLDER)
        task = self.task or ("original" if folder else "sequence" if dataset == "svhn" else "augmented")
        if self.curriculum and task in ("original", "sequence", "belaid"):
            raise UserError(f"the images of task '{task}' do not grow: leave --curriculum out.")
        if self.curriculum == "clutter" and task not in CLUTTER:
            raise UserError(f"task '{task}' has no distractors to grow: leave --curriculum out, or take canvas.")
        if task == "sequence":
            return self._sequence(dataset)
        if dataset == "svhn" or self.reading != "forward":
            raise UserError(
                f"numbers are read in task sequence: set --task sequence. Received: task={task}, dataset={dataset}, "
                f"reading={self.reading}"
            )
        digit = self.digit_size or DIGIT
        if folder and self.theta_gradient == "stopped":
            raise UserError(
                "a folder does not say where in its images to look, so only the classification can train that: set "
                "--theta-gradient flowing."
            )
        if folder and self.digit_size:
            raise UserError("digit_size is for digits, and the images of a folder keep their size: leave it out.")
        canvas = self.canvas or CANVAS.get(task) or (None if folder else digit)
        if not folder and canvas < digit:
            raise UserError(
                f"canvas must hold the digit of {digit} pixels: set it to {digit} or more. Received: canvas={canvas}"
            )
        if self.batch_size * (canvas or 0) ** 2 > 2**30:
            raise UserError(
                f"batch_size times the canvas's pixels must be at most 2^30. Received: batch_size={self.batch_size}, "
                f"canvas={canvas}"
            )
        if task in CLUTTER:
            presets = CLUTTER[task]
            largest = max(presets)
            count, size = presets.get(
                canvas, (round(presets[largest][0] * (canvas / largest) ** 2), presets[largest][1])
            )
            count = count if self.distractors is None else self.distractors
            size = self.distractor_size or size
            if not folder and size > (most := min(DIGIT, canvas) - (task == "belaid")):
                raise UserError(
                    f"distractor_size must be at most {most} pixels here: set --distractor-size. Received: "
                    f"distractor_size={size}, canvas={canvas}"
                )
        else:
            if self.distractors or self.distractor_size:
                raise UserError(
                    f"task '{task}' has no distractors: set --distractors None --distractor-size None, "
                    "or use --task cluttered."
                )
            count, size = 0, None
        return self.model_copy(
            update={
                "dataset": dataset,
                "task": task,
                "canvas": canvas,
                "distractors": count,
                "distractor_size": size,
                "scale_factors": self._factors(),
            }
        )

    def _sequence(self, dataset: str) -> "Config":
        """The run of task `sequence` with nothing left open."""
        if dataset.startswith(FOLDER) or dataset == "fashion_mnist":
            raise UserError("task sequence makes numbers of digits: use --dataset mnist, digits or svhn.")
        if self.canvas not in (None, CANVAS["sequence"]) or self.digit_size or self.distractors or self.distractor_size:
            raise UserError(
                f"task sequence shows numbers on {CANVAS['sequence']} pixels without fragments: leave --canvas, "
                "--digit-size, --distractors and --distractor-size out."
            )
        if self.distortion:
            raise UserError("the digits of a number stay as they are: leave --distortion out.")
        values = {"dataset": dataset, "task": "sequence", "canvas": CANVAS["sequence"], "distractors": 0}
        return self.model_copy(update={**values, "scale_factors": self._factors()})

    def _factors(self) -> tuple[int, ...] | None:
        """The scale factors, those of the preset filled in where the model has scales."""
        if self.model not in OWNERS["scale_factors"]:
            return self.scale_factors
        return self.scale_factors or tuple(2**s for s in range(self.scales))

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **self.model_dump(mode="json")}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "the configuration") -> "Config":
        """The config that `text` describes. `source` is what an error calls it."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{source} is not JSON ({error}): repair or replace it.") from None
        if not isinstance(values, dict):
            raise UserError(f"{source} must be a JSON object of names and values.")
        return cls(**of_file(values, source))


def without_format(values: dict[str, Any], source: str) -> dict[str, Any]:
    """What a file holds but for the `format` that it was written in; the first one had no number.

    Raises `UserError` for one that is newer than this nam.
    """
    found = values.get("format", FORMAT)
    if found not in range(1, FORMAT + 1):
        raise UserError(f"{source} has format {found}, and this nam reads up to {FORMAT}: install a newer nam.")
    return {name: value for name, value in values.items() if name != "format"}


def of_file(values: dict[str, Any], source: str) -> dict[str, Any]:
    """The values of a config that a file holds, of any format; what it leaves open is as it was in that format."""
    first, model = values.get("format", 1) == 1, values.get("model", "ram")
    values = without_format(values, source)
    if not first:
        return values
    foreign = {name for name in FIRST_DEFAULTS if model not in OWNERS.get(name, (model,))}
    kept = {name: v for name, v in values.items() if name not in foreign or v != FIRST_DEFAULTS[name]}
    return {name: v for name, v in FIRST_DEFAULTS.items() if name not in foreign} | kept


class Execution(Values):
    """Where and how a run is computed: not part of what it is."""

    name: str | None = Field(None, description="folder of the run under LOGS/STUDY. None: made from what differs")
    logs: str = Field("logs", description="folder of all runs")
    study: str = Field("runs", description="folder of the run's study under LOGS")
    data_dir: str | None = Field(
        None,
        description="folder of prepared datasets: TensorFlow Datasets' own, or mnist.npz and the like as Keras keeps "
        "them. None: TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )
    jit: Literal["auto", "on", "off"] = Field("auto", description="compile with XLA; auto: where it is faster")
    mixed_precision: bool = Field(
        False,
        description="compute in 16 bits where it is safe: in float16 on GPUs, in bfloat16 on processors, which is "
        "faster on those with AVX512_BF16 or AMX, and on TensorFlow only",
    )
    no_pictures: bool = Field(False, description="leave the pictures of what is looked at out of the event files")
    no_test: bool = Field(False, description="leave the test split alone, as one should while choosing values")


def check_choices(**values: str) -> None:
    """Raises `ValueError` for a value that the `Config`'s field of its name does not offer."""
    for name, value in values.items():
        options = get_args(Config.model_fields[name].annotation)
        if value not in options:
            raise ValueError(f"{name} must be one of {', '.join(options)}. Received: {name}={value!r}")


def check_value(model: type[Values], name: str, value: Any) -> None:
    """Raises `UserError` if `value` alone cannot be the field `name` of `model`."""
    field = model.model_fields[name]
    try:
        TypeAdapter(Annotated[field.annotation, field]).validate_python(value)
    except ValidationError as error:
        raise UserError(_sentence(model, error, name)) from None


def _sentence(model: type[Values], error: ValidationError, name: str | None = None) -> str:
    """The first fault that pydantic found, as one sentence in our words."""
    fault = error.errors()[0]
    name = name or str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{name}'.{did_you_mean(name, model.model_fields)}"
    rule = fault["msg"].replace("Input", name, 1)
    return f"{rule[0].lower()}{rule[1:]}. Received: {name}={fault['input']}"

import json

import pytest

from nam.config import FIRST_DEFAULTS, Config, Execution
from nam.configs import load_config, named_configs
from nam.errors import UserError
from nam.runs import Run


def test_the_config_baseline_is_table_1_of_the_study():
    config = load_config("baseline").resolved("mnist")
    table = dict(
        glimpses=4,
        scales=4,
        bandwidth=12,
        std=0.22,
        batch_size=128,
        epochs=100,
        optimizer="adam",
        learning_rate=1e-3,
        decay=0.97,
    )
    assert {name: getattr(config, name) for name in table} == table
    assert (config.task, config.canvas, config.distractors, config.distractor_size) == ("augmented", 100, 8, 9)
    assert config.scale_factors == (1, 2, 4, 8)


def test_the_default_is_the_recipe_of_the_config_ram():
    chosen = named_configs()["ram"]
    assert Config(**{**chosen, "votes": 10, "epochs": 100}) == Config()
    assert FIRST_DEFAULTS.keys() <= chosen.keys()  # it says what it is, whatever becomes the default later


def test_a_file_of_the_first_format_keeps_its_meaning():
    older = Config.from_json('{"glimpses": 7}')
    assert older == Config(**FIRST_DEFAULTS, glimpses=7) == Config.from_json('{"format": 1, "glimpses": 7}')
    assert Config().model_dump().items() & FIRST_DEFAULTS.items() == set()  # they are what has changed since
    assert Config.from_json('{"format": 2, "glimpses": 7}') == Config(glimpses=7)
    cnn = Config.from_json('{"format": 1, "model": "cnn", "samples": 4, "std": 0.22, "batch_size": 128}')
    assert cnn == Config(model="cnn", batch_size=128, learning_rate=1e-3, schedule="exponential")
    with pytest.raises(UserError, match="samples belongs to model ram"):
        Config.from_json('{"format": 1, "model": "cnn", "samples": 8}')


def test_json_round_trip():
    config = Config(glimpses=7, scales=2, scale_factors=(1, 3), clip_norm=None)
    assert Config.from_json(config.to_json()) == config


def test_is_frozen():
    with pytest.raises(Exception, match="frozen"):
        Config().glimpses = 5


@pytest.mark.parametrize(
    ("task", "canvas", "distractors", "size", "side"),
    [("cluttered", None, 4, 8, 60), ("cluttered", 100, 8, 8, 100), ("cluttered", 40, 5, 5, 40),
     ("cluttered", 200, 32, 8, 200),
     ("augmented", None, 8, 9, 100), ("augmented", 50, 2, 9, 50), ("belaid", None, 8, 9, 100),
     ("translated", None, 0, None, 60),
     ("original", None, 0, None, 28)],
)  # fmt: skip
def test_presets_fill_what_is_open(task, canvas, distractors, size, side):
    config = Config(task=task, canvas=canvas).resolved("mnist")
    assert (config.canvas, config.distractors, config.distractor_size) == (side, distractors, size)
    assert config.resolved("mnist") == config


def test_a_folder_shows_its_images_as_they_are():
    config = Config().resolved("folder:pets")
    assert (config.task, config.canvas) == ("original", None)


def test_values_given_win_over_presets():
    config = Config(task="cluttered", canvas=60, distractors=0, distractor_size=3).resolved("mnist")
    assert (config.distractors, config.distractor_size) == (0, 3)


def test_the_named_starting_points_are_whole_and_never_move():
    for name in ("baseline", "published"):
        values, config = named_configs()[name], load_config(name)
        assert set(values) == set(Config.model_fields), name
        assert config.resolved(config.dataset) == config
    published = load_config("published")
    assert (published.task, published.glimpses, published.scale_factors) == ("belaid", 5, (1, 2, 3, 4))
    assert (published.padding, published.policy, published.samples) == ("noise", "frozen", 10)
    assert (published.reward, published.advantage) == ("correct", "learned")
    baseline = load_config("baseline")
    assert (baseline.glimpses, baseline.scales, baseline.bandwidth, baseline.std) == (4, 4, 12, 0.22)
    assert (baseline.batch_size, baseline.epochs, baseline.optimizer, baseline.learning_rate, baseline.decay) == (
        128,
        100,
        "adam",
        1e-3,
        0.97,
    )


@pytest.mark.parametrize(("values", "name"), [(dict(learning_rate=1e-6), "learning_rate"), (dict(std=0.03), "std")])
def test_a_new_run_does_not_rise_to_where_it_should_fall(tmp_path, values, name):
    config, execution = Config(**values).resolved("digits"), Execution(logs=str(tmp_path), name="run")
    with pytest.raises(UserError, match=f"{name}(_min|_end) must be at most {name}"):
        Run.of(config, execution)
    Run(tmp_path / "runs" / "run").create(config, {})  # as a former version did
    assert Run.of(config, execution).config() == config


def test_a_file_without_a_format_says_what_it_leaves_to_the_first(tmp_path, capsys):
    path = tmp_path / "mine.json"
    path.write_text('{"glimpses": 2, "std": 0.3}')
    assert load_config(str(path)).samples == FIRST_DEFAULTS["samples"]
    told = capsys.readouterr().err
    assert 'has no "format": 2' in told and "samples" in told and ", std" not in told
    path.write_text('{"format": 2, "glimpses": 2}')
    assert load_config(str(path)).samples == Config().samples and not capsys.readouterr().err
    path.write_text('{"model": "cnn"}')  # to which most of them do not belong
    assert load_config(str(path)).std == Config().std and "std" not in capsys.readouterr().err


def test_a_runs_own_config_is_a_starting_point(tmp_path):
    (tmp_path / "config.json").write_text(Config(glimpses=9).to_json())
    assert load_config(str(tmp_path / "config.json")).glimpses == load_config(str(tmp_path)).glimpses == 9


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (dict(glimpse=3), "unknown key 'glimpse'. Did you mean 'glimpses'?"),
        (dict(glimpses=0), "glimpses should be greater than or equal to 1. Received: glimpses=0"),
        (dict(std=0), "std should be greater than 0. Received: std=0"),
        (dict(std=float("nan")), "std should be a finite number. Received: std=nan"),
        (dict(batch_size="many"), "batch_size should be a valid integer"),
        (dict(task="cluter"), "task should be 'original', 'translated'"),
        (dict(dataset="mnits"), "unknown dataset 'mnits'. Did you mean 'mnist'?"),
        (dict(scale_factors=(1, 2)), "scale_factors must hold one factor per scale: give 4, or set scales=2"),
        (dict(scales=2, scale_factors=(2, 2)), "scale_factors must be increasing, as 1 2 4 8, from 1 to 181"),
        (dict(scales=2, scale_factors=(0, 2)), "scale_factors must be increasing, as 1 2 4 8, from 1 to 181"),
        (dict(samples=1), "set samples to 2 or more"),
        (dict(scales=9), "more than 8 scales need --scale-factors of at most 181"),
        (dict(scales=2, scale_factors=(1, 200)), "from 1 to 181"),
        (dict(model="edram", bandwidth=26, averaging=0.9), "edram's statistics of batches are not averaged"),
        (dict(model="edram", bandwidth=26, theta_gradient="stopped", where_weight=0), "trains where edram looks"),
    ],
)
def test_a_bad_value_is_one_sentence(values, sentence):
    with pytest.raises(UserError) as error:
        Config(**values)
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (dict(task="translated", canvas=27), "canvas must hold the digit of 28 pixels"),
        (dict(task="translated", distractors=3), "task 'translated' has no distractors"),
        (dict(task="cluttered", distractor_size=29), "distractor_size must be at most"),
        (dict(task="belaid", distractor_size=28), "distractor_size must be at most 27 pixels"),
        (dict(task="belaid", canvas=27, digit_size=27, distractor_size=27), "distractor_size must be at most 26"),
        (dict(task="cluttered", canvas=20, digit_size=16, distractor_size=24), "distractor_size must be at most 20"),
        (dict(task="translated", canvas=4096, batch_size=128), "must be at most 2.30"),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(values, sentence):
    with pytest.raises(UserError, match=sentence):
        Config(**values).resolved("mnist")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "is not JSON"), ("[]", "must be a JSON object"), (json.dumps({"speed": 1}), "unknown key 'speed'")],
)
def test_a_bad_config_file_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        load_config(str(path))


def test_unknown_config_names_its_neighbour(tmp_path):
    with pytest.raises(UserError, match="unknown config 'publishd'. Did you mean 'published'"):
        load_config("publishd")
    with pytest.raises(UserError, match="cannot read the config"):
        load_config(str(tmp_path / "none.json"))

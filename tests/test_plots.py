import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from nam import plots

LOCATIONS = np.array([[0.0, 0.0], [1.0, -1.0]])


def boxes(axis):
    return [(p.get_xy(), p.get_width()) for p in axis.patches if isinstance(p, Rectangle)]


@pytest.mark.parametrize(("n", "channels"), [(1, 1), (5, 3)])
def test_the_gaze_is_drawn_where_the_sensor_looked(n, channels):
    images = np.zeros((n, 20, 40, channels), "uint8")
    figure = plots.gaze(images, np.tile(LOCATIONS, (n, 1, 1)), 6, [f"{i}$_a_$" for i in range(n)])  # as a file may be
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == n and drawn[-1].get_title() == f"{n - 1}$_a_$"
    assert boxes(drawn[0]) == [((17, 7), 6), ((37, -3), 6)]
    assert [text.get_text() for text in drawn[0].texts] == ["1", "2"]
    axis, *_ = plots.gaze(np.zeros((1, 60, 60, 1), "uint8"), np.zeros((1, 40, 2)), 6).axes
    left = np.array([text.get_position()[0] for text in axis.texts])
    np.testing.assert_allclose(left[:10], 27 + 2.7 * np.arange(10))
    assert left.max() < 60
    pixels = plots.pixels(figure)
    assert pixels.dtype == np.uint8 and pixels.shape[-1] == 3 and pixels.std() > 0


@pytest.fixture
def story():
    """Two looks of two scales, 2 × 2 pixels, at a grey image."""
    patches = np.zeros((2, 2, 2, 2, 1))
    patches[:, 0], patches[:, 1] = 1.0, 0.2
    image = np.full((8, 8, 1), 100, "uint8")
    return dict(image=image, locations=LOCATIONS, patches=patches, factors=[1, 2], titles=["one", "two"])


def test_the_retina_shows_every_look_and_scale(story):
    figure = plots.retina(**story)
    assert len(figure.axes) == 2 * 4 and all(axis.images for axis in figure.axes)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["one", "two"]
    assert boxes(figure.axes[0]) == [((3, 3), 2), ((2, 2), 4)]
    fine, coarse = (figure.axes[i].images[0].get_array() for i in (4, 6))
    assert (fine == 255).all() and (coarse == 51).all()


def test_sensors_are_compared_row_by_row(story):
    image, patches = story["image"], story["patches"][0]
    figure = plots.sensors(image, (0, 0), {"both": (patches, [1, 2]), "one": (patches[1:], [2])})
    assert len(figure.axes) == 2 * 4
    windows, told, *read = figure.axes[4:]
    assert boxes(windows) == [((2, 2), 4)] and [axis.get_title() for axis in read] == ["2:1", ""]
    assert (told.images[0].get_array()[2:6, 2:6] == 51).all() and (read[0].images[0].get_array() == 51).all()


def test_what_is_known_by_hand(story):
    parts = story["locations"], story["patches"], story["factors"]
    one = plots.known((8, 8, 1), *(part[:1] for part in parts[:2]), parts[2])[..., 0]
    expected = np.zeros((8, 8))
    expected[2:6, 2:6], expected[3:5, 3:5] = 51, 255  # the fine patch lies over the coarse one
    np.testing.assert_array_equal(one, expected)
    both = plots.known((8, 8, 1), *parts)[..., 0]
    expected[:2, 6:], expected[0, 7] = 51, 255  # what lies beyond the image is cut off
    np.testing.assert_array_equal(both, expected)


def test_a_film_has_a_picture_for_each_look(story, tmp_path):
    film = plots.frames(**story)
    assert [figure.axes[0].get_title() for figure in film] == ["look 1 of 2", "look 2 of 2"]
    assert [len(boxes(figure.axes[0])) for figure in film] == [1, 2]
    plots.animate(film, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as image:
        assert image.n_frames == 2 and image.info["loop"] == 0


def test_heat_maps_keep_their_values_and_names():
    maps = {str(i): np.eye(3) * i for i in range(1, 13)}
    figure = plots.heat([{"all": np.ones((3, 3))}, maps], "where")
    shown = {axis.get_title(): axis.images[0].get_array() for axis in figure.axes if axis.images}
    assert len(shown) == 13
    np.testing.assert_array_equal(shown["12"], maps["12"])


def test_accuracies_are_drawn_as_they_are():
    found = {
        "votes": 3,
        "vote_curve": [0.5, 0.6, 0.7],
        "looks": {"trained": 1, "deterministic": [0.5, 0.6], "sampled": [0.4, 0.5], "vote": [0.7, 0.8]},
        "early_exit": [{"confidence": 0.5, "looks": 1.0, "accuracy": 0.5}],
    }
    by_look, by_votes, by_exit = plots.accuracy(found).axes
    np.testing.assert_allclose(by_look.lines[2].get_xydata(), [[1, 70], [2, 80]])
    np.testing.assert_allclose(by_votes.lines[0].get_ydata(), [50, 60, 70])
    assert by_exit.texts[0].get_text() == "0.5"


def test_long_titles_keep_to_their_picture():
    title = "a photograph with quite a long file name.png: cat, 98%"
    figure = plots.gaze(np.zeros((1, 9, 9, 1), "uint8"), np.zeros((1, 1, 2)), 3, [title])
    shown = figure.axes[0].get_title()
    assert shown == "a photograph with … me.png: cat, 98%" and len(shown) == 36


def test_curves_run_over_epochs_and_over_minutes():
    history = {"seconds": [60, 30], "accuracy": [0.5, 0.6], "val_loss": [2.0, 1.0]}
    axes = plots.curves(history).axes
    np.testing.assert_allclose(axes[0].lines[0].get_xydata(), [[1, 50], [2, 60]])
    np.testing.assert_allclose(axes[1].lines[0].get_xydata(), [[1, 50], [1.5, 60]])
    np.testing.assert_allclose(axes[3].lines[0].get_ydata(), [2, 1])
    assert axes[0].lines[0].get_label() == "training"
    sampled = plots.curves({**history, "val_sampled_accuracy": [0.5, 0.6]}).axes[0]
    assert [line.get_label() for line in sampled.lines] == ["training, sampled", "validation, sampled"]

import numpy as np
import pytest

from nam.config import Config
from nam.data import tasks
from nam.data.pipeline import TEST, TRAIN, VALIDATION, Batch, Batches
from nam.data.sources import Examples
from nam.errors import UserError


def config(task, **values):
    return Config(task=task, **values).resolved("digits")


@pytest.fixture
def digits(rng):
    """Digits that are never black inside, so that their place shows."""
    return rng.integers(1, 256, (40, 28, 28, 1)).astype("uint8")


def batches(digits, split=TRAIN, draws=1, clutter=None, **values):
    labels = np.arange(len(digits)) % 10
    clutter = digits if clutter is None else clutter
    return Batches(config(values.pop("task", "cluttered"), **values), Examples(digits, labels, clutter), split, draws)


def no_fragments(n, size, inclusive=True):
    return np.zeros((n, size, size, 1), "uint8")


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_box_frames_the_digit(task, digits, rng):
    images, boxes = tasks.draw(config(task), digits, no_fragments, rng)
    assert images.dtype == np.uint8 and images.shape[0] == len(digits) and boxes.shape == (40, 4)
    for image, digit, (x, y, width, height) in zip(images, digits, boxes, strict=True):
        inside = image[y : y + height, x : x + width]
        assert inside.shape == (28, 28, 1)
        assert image.sum() == inside.sum()
        if task in ("original", "translated", "cluttered"):
            np.testing.assert_array_equal(inside, digit)
        if task == "belaid":
            np.testing.assert_array_equal(inside, 255)


@pytest.mark.parametrize(
    ("task", "side"), [("translated", 60), ("cluttered", 60), ("cluttered", 40), ("augmented", 100)]
)
def test_every_placement_is_drawn_both_ends_included(task, side, rng):
    digits = np.full((20000, 28, 28, 1), 1, "uint8")
    drawn = tasks.placements(rng, side, digits)
    assert drawn.min() == 0 and drawn.max() == side - 28
    counts = np.bincount(drawn.ravel(), minlength=side - 27)
    assert counts.min() > 0.7 * counts.mean()


def test_what_overlaps_saturates():
    images = np.full((1, 4, 4, 1), 200, "uint8")
    tasks.add(images, np.full((1, 2, 2, 1), 100, "uint8"), np.array([[1, 2]]))
    assert images[0, 2:4, 1:3].min() == 255 and images.sum() == 12 * 200 + 4 * 255


def test_clutter_lies_under_the_digit_and_adds_to_it(digits, rng):
    def white(n, size, inclusive=True):
        return np.full((n, size, size, 1), 255, "uint8")

    images, boxes = tasks.draw(config("cluttered"), digits, white, rng)
    for image, digit, (x, y, _, _) in zip(images, digits, boxes, strict=True):
        assert (image[y : y + 28, x : x + 28] >= digit).all()
    assert ((images == 255).mean(axis=(1, 2, 3)) > 0.02).all()


def test_rotation_turns_anticlockwise_about_the_centre():
    digit = np.zeros((1, 28, 28, 1), "uint8")
    digit[0, 13:15, 20:26] = 255  # a bar on the right
    up = tasks.rotate(digit, np.array([np.pi / 2]))
    np.testing.assert_array_equal(np.nonzero(up[0, ..., 0].max(axis=1) > 128)[0], np.arange(2, 8))
    np.testing.assert_array_equal(tasks.rotate(digit, np.array([0.0])), digit)
    assert abs(int(tasks.rotate(digit, np.array([0.2])).sum()) - int(digit.sum())) < 0.03 * digit.sum()


def test_a_map_says_where_a_pixel_comes_from():
    digit = np.zeros((1, 28, 28, 1), "uint8")
    digit[0, 12:16, 10:18] = 255  # 8 pixels wide, 4 high, in the middle
    wider = tasks.affine(digit, np.array([[[0.5, 0], [0, 1]]]))[0, ..., 0] > 127
    np.testing.assert_array_equal(np.nonzero(wider.any(axis=0))[0], np.arange(6, 22))
    np.testing.assert_array_equal(np.nonzero(wider.any(axis=1))[0], np.arange(12, 16))
    slanted = tasks.affine(digit, np.array([[[1.0, 2.0], [0, 1]]]))[0, ..., 0] > 127  # x from x + 2 y
    assert [np.nonzero(row)[0].min() for row in slanted[12:16]] == [13, 11, 9, 7]


def test_digits_are_distorted_in_training_only(digits):
    plain, distorted = batches(digits, task="translated"), batches(digits, task="translated", distortion=0.2)
    one, other = plain.batch(0), distorted.batch(0)
    assert (one.labels == other.labels).all() and (one.images.sum((1, 2, 3)) != other.images.sum((1, 2, 3))).all()
    np.testing.assert_array_equal(distorted.batch(0).images, other.images)
    for split in (VALIDATION, TEST):
        whole = [batches(digits, split, task="translated", distortion=d).batch(0).images for d in (0, 0.2)]
        np.testing.assert_array_equal(*whole)
    with pytest.raises(UserError, match="digits of a number stay as they are"):
        config("sequence", distortion=0.1)


def test_augmented_digits_turn_by_at_most_fifteen_degrees(rng):
    digit = np.zeros((300, 28, 28, 1), "uint8")
    digit[:, 13:15, 4:24] = 255
    images, boxes = tasks.draw(config("augmented"), digit, no_fragments, rng)
    angles = []
    for image, (x, y, _, _) in zip(images, boxes, strict=True):
        rows, columns = np.nonzero(image[y : y + 28, x : x + 28, 0] > 100)
        angles.append(np.rad2deg(np.arctan(-np.polyfit(columns, rows, 1)[0])))
    assert -16 < min(angles) < -13 and 13 < max(angles) < 16


def test_belaid_glues_digits_to_the_lower_edge_and_is_binary(rng):
    digits = np.full((20000, 28, 28, 1), 1, "uint8")
    images, boxes = tasks.belaid(config("belaid"), digits[:100], no_fragments, rng)
    assert set(np.unique(images)) == {0, 255}
    _, boxes = tasks.belaid(config("belaid", canvas=100, distractors=0), digits, no_fragments, rng)
    assert abs(np.mean(boxes[:, 1] == 72) - 0.28) < 0.01
    assert boxes[:, 0].min() == 0 and boxes[:, 0].max() == 71 and boxes[:, 1].min() == 0


def test_belaid_fragments_replace_each_other_and_keep_off_the_last_edge(rng):
    kinds = []

    def fragments(n, size, inclusive=True):
        kinds.append(inclusive)
        return np.full((n, size, size, 1), 9, "uint8")

    images, _ = tasks.belaid(config("belaid", distractors=200), np.zeros((20, 28, 28, 1), "uint8"), fragments, rng)
    assert set(kinds) == {False}
    assert not images[:, 99].any() and not images[:, :, 99].any() and images[:, 98].any()


def test_noise_is_gaussian_and_stays_in_range(digits, rng):
    images, _ = tasks.draw(config("translated", noise=0.1), np.full((40, 28, 28, 1), 128, "uint8"), no_fragments, rng)
    inside = images[images > 60].astype(float)
    assert abs(inside.std() - 25.5) < 2
    assert images.min() == 0


def test_a_curriculum_lets_clutter_grow(digits):
    clutter = np.full((5, 28, 28, 1), 1, "uint8")  # each fragment adds 1
    fields = dict(task="cluttered", distractors=12, curriculum="clutter", curriculum_epochs=3, batch_size=40)
    data = batches(np.zeros_like(digits), clutter=clutter, **fields)
    of_one = config("cluttered").distractor_size ** 2
    for epoch, count in ((0, 3), (1, 6), (3, 12), (9, 12)):
        data.epoch = epoch
        np.testing.assert_array_equal(data.batch(0).images.sum((1, 2, 3)), count * of_one)
    fixed = batches(np.zeros_like(digits), VALIDATION, clutter=clutter, **fields)
    np.testing.assert_array_equal(fixed.batch(0).images.sum((1, 2, 3)), 12 * of_one)


def test_a_curriculum_lets_the_canvas_grow_around_its_middle(digits):
    data = batches(digits, task="translated", curriculum="canvas", curriculum_epochs=3, batch_size=40)
    for epoch, margin in ((0, 12), (1, 8), (2, 4), (3, 0)):  # of 16 pixels around the digit on each side
        data.epoch = epoch
        images, _, boxes, chosen = data.batch(0)
        assert images.shape == (40, 60, 60, 1) and boxes[:, :2].min() >= margin
        assert (boxes[:, :2] + 28).max() <= 60 - margin and (boxes[:, 0].min(), boxes[:, 0].max()) != (16, 16)
        for image, (x, y, _, _), digit in zip(images, boxes, digits[chosen], strict=True):
            np.testing.assert_array_equal(image[y : y + 28, x : x + 28], digit)
    clutter = np.full((5, 28, 28, 1), 1, "uint8")
    fields = dict(task="cluttered", distractors=30, curriculum="canvas", curriculum_epochs=3, batch_size=40)
    data = batches(np.zeros_like(digits), clutter=clutter, **fields)
    for epoch, side in ((0, 36), (1, 44), (3, 60)):  # no denser on the smaller canvas
        data.epoch = epoch
        fragments = data.batch(0).images.sum((1, 2, 3)) / config("cluttered").distractor_size ** 2
        np.testing.assert_array_equal(fragments, round(30 * (side / 60) ** 2))
    with pytest.raises(UserError, match="no distractors to grow"):
        config("translated", curriculum="clutter")
    with pytest.raises(UserError, match="do not grow"):
        config("original", curriculum="canvas")


def test_training_draws_are_fresh_each_epoch_and_the_same_again(digits):
    data, again = batches(digits, batch_size=8), batches(digits, batch_size=8)
    first = data.batch(2)
    data.epoch = again.epoch = 1
    second = data.batch(2)
    assert not np.array_equal(first.images, second.images)
    for a, b in zip(second, again.batch(2), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(second.images, batches(digits, batch_size=8, seed=1).batch(2).images)


def test_an_epoch_holds_every_digit_as_often_as_it_draws_it(digits):
    labels = np.arange(40)
    data = Batches(config("translated", batch_size=16), Examples(digits, labels, digits), TRAIN, 2)
    assert len(data) == 5 and data.size == 80
    seen = np.concatenate([data.batch(i).labels for i in range(len(data))])
    np.testing.assert_array_equal(np.bincount(seen), 2)
    assert not np.array_equal(seen[:40], labels)
    data = Batches(config("translated", batch_size=10), Examples(digits, labels, digits), TRAIN, 1.5)
    counts = []
    for data.epoch in range(20):
        counts.append(np.bincount(np.concatenate([data.batch(i).labels for i in range(len(data))])))
    assert all(set(each) == {1, 2} for each in counts) and (np.mean(counts, axis=0) < 1.9).all()


def test_training_drops_the_short_last_batch_and_tests_keep_it(digits):
    assert [len(batches(digits, split, batch_size=16)) for split in (TRAIN, VALIDATION, TEST)] == [2, 3, 3]
    assert len(batches(digits, TRAIN, batch_size=64)) == 1


@pytest.mark.parametrize("split", [VALIDATION, TEST])
def test_validation_and_test_are_fixed_whatever_the_seed(digits, split):
    data, other = batches(digits, split), batches(digits, split, seed=5)
    other.epoch = 3
    np.testing.assert_array_equal(data.batch(0).images, other.batch(0).images)
    np.testing.assert_array_equal(data.batch(0).labels, np.arange(40) % 10)
    np.testing.assert_array_equal(data.labels(0), data.batch(0).labels)


@pytest.mark.parametrize(("task", "split"), [("cluttered", TEST), ("belaid", TRAIN), ("belaid", VALIDATION)])
def test_a_fixed_set_does_not_depend_on_the_batch_size(rng, task, split):
    digits = rng.integers(1, 256, (300, 28, 28, 1)).astype("uint8")
    small, large = (batches(digits, split, task=task, batch_size=size) for size in (50, 290))
    parts = [small.batch(i) for i in range(5)]
    for field, whole in zip(Batch._fields, large.batch(0), strict=True):
        np.testing.assert_array_equal(np.concatenate([getattr(part, field) for part in parts]), whole[:250])


def test_belaid_is_one_fixed_set(digits):
    data = batches(digits, task="belaid", batch_size=16)
    first = data.batch(1)
    data.epoch = 7
    np.testing.assert_array_equal(first.images, data.batch(1).images)
    np.testing.assert_array_equal(first.labels, data.labels(1))


def test_clutter_comes_from_the_clutter_alone(digits):
    clutter = np.full((5, 28, 28, 1), 77, "uint8")
    data = batches(np.zeros_like(digits), clutter=clutter, task="cluttered", distractors=1)
    assert set(np.unique(data.batch(0).images)) == {0, 77}


def test_draws_do_not_depend_on_the_order_of_asking(digits):
    data = batches(digits, batch_size=8)
    forward = [data.batch(i).images for i in range(3)]
    backward = [data.batch(i).images for i in (2, 1, 0)][::-1]
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(a, b)

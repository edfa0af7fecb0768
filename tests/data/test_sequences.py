import numpy as np
import pytest

from nam import data
from nam.config import Config
from nam.data import sequences
from nam.data.sequences import END, NONE, TARGETS
from nam.errors import UserError


def load(**values):
    return data.load(Config(dataset="digits", task="sequence", **values).resolved("digits"))


def test_layouts_are_those_of_real_house_numbers():
    layouts = sequences.layouts()
    lengths = np.bincount([len(layout) for layout in layouts], minlength=6)
    assert len(layouts) == 1000 and lengths[0] == 0 and lengths[1:].min() >= 60 and lengths.argmax() == 2
    assert lengths[1:].tolist() == [120, 400, 300, 120, 60]
    different = [len({tuple(one.ravel()) for one in layouts if len(one) == length}) for length in range(1, 6)]
    assert different[4] == 9 and min(different[:4]) > 75, different  # all that there are of five digits
    every = np.concatenate(layouts)
    assert (every > 0).all() and (every[:, :2] + every[:, 2:]).max() < 64
    for layout in layouts:  # from left to right, in the middle, and 30 % larger than the number
        assert (np.diff(layout[:, 0]) > 0).all()
        low, high = layout[:, :2].min(0), (layout[:, :2] + layout[:, 2:]).max(0)
        np.testing.assert_allclose((low + high) / 2, 32, atol=0.2)
        assert (high - low).max() * 1.3 == pytest.approx(64, abs=0.4)


def test_a_number_is_drawn_in_its_boxes():
    chosen = np.array([next(i for i, one in enumerate(sequences.layouts()) if len(one) == n) for n in (1, 3)])
    digits = np.zeros((2, 5, 28, 28, 1), "uint8")
    digits[:, :, 4:24, 8:20] = 200  # ink 20 high and 12 wide
    images, boxes = sequences.compose(chosen, digits)
    assert images.shape == (2, 64, 64, 1) and boxes.shape == (2, TARGETS, 4)
    for image, own, index in zip(images, boxes, chosen, strict=True):
        layout = sequences.layouts()[index]
        assert not own[len(layout) :].any()
        inked = np.zeros((64, 64), bool)
        for (x, y, w, h), real in zip(own[: len(layout)].astype(int), layout, strict=True):
            inked[y : y + h, x : x + w] = True
            assert abs(h - real[3]) <= 0.5 and w <= np.ceil(real[2]) and abs(w - min(h * 0.6, real[2])) <= 1
            assert abs((x + w / 2) - (real[0] + real[2] / 2)) <= 1
        np.testing.assert_array_equal(image[..., 0] > 0, inked)


def test_labels_end_and_boxes_move_with_the_crop():
    splits = load(batch_size=64)
    assert splits.spec[:3] == (54, 54, 1) and splits.spec.targets == TARGETS and splits.spec.classes[END] == "end"
    for split, jitters in ((splits.train, True), (splits.validation, False)):
        batch = split.batch(0)
        assert batch.images.shape == (64, 54, 54, 1) and batch.labels.shape == (64, TARGETS)
        lengths = (batch.labels == END).argmax(1)
        assert (batch.labels == END).sum(1).max() == 1 and lengths.min() >= 1
        there = np.arange(TARGETS) < lengths[:, None]
        assert ((batch.labels >= 0) & (batch.labels < 10) == there).all()
        assert ((batch.labels == NONE) == (np.arange(TARGETS) > lengths[:, None])).all()
        assert ((batch.boxes[..., 2] > 0) == there).all()
        low = np.where(there, batch.boxes[..., 0], 99).min(1)
        high = np.where(there, batch.boxes[..., 0] + batch.boxes[..., 2], 0).max(1)
        # Numbers are narrower than their boxes only by their outer digits.
        assert jitters or (np.abs((low + high) / 2 - 27) < 6).all()
        for image, boxes in zip(batch.images, batch.boxes, strict=True):
            for x, y, w, h in boxes[boxes[:, 2] > 0].astype(int):
                assert image[max(y, 0) : y + h, max(x, 0) : x + w].any()


def test_a_crop_is_any_part_of_the_square_or_its_middle(rng):
    places = np.arange(64 * 64).reshape(64, 64)
    images = np.stack([places // 64, places % 64], -1)[None].repeat(2000, axis=0)  # each pixel tells where it was
    boxes = np.tile([[20, 12, 5, 7], [0, 0, 0, 0]], (2000, 1, 1)).astype("float32")
    for generator, margins in ((rng, range(11)), (None, [5])):
        cut, moved = sequences.jitter(images, boxes, generator)
        corners = cut[:, 0, 0]
        assert cut.shape == (2000, 54, 54, 2) and not moved[:, 1].any()
        for axis in range(2):
            assert {*corners[:, axis]} == {*margins}
        np.testing.assert_array_equal(moved[:, 0, :2], [20, 12] - corners[:, ::-1])
        np.testing.assert_array_equal(moved[:, 0, 2:], boxes[:, 0, 2:])
        np.testing.assert_array_equal(cut[:, 53, 53], corners + 53)


def test_the_same_seed_draws_the_same_and_every_epoch_others():
    first, second = (load(batch_size=32, seed=3).train for _ in range(2))
    np.testing.assert_array_equal(first.batch(1).images, second.batch(1).images)
    np.testing.assert_array_equal(first.labels(1), second.batch(1).labels)
    second.epoch = 1
    assert not np.array_equal(first.batch(1).images, second.batch(1).images)
    small, large = (load(batch_size=size).test for size in (16, 100))
    np.testing.assert_array_equal(small.batch(1).images, large.batch(0).images[16:32])


def test_reading_backward_twice_is_reading_forward():
    forward, backward = (
        load(batch_size=32, reading=reading).validation.batch(0) for reading in ("forward", "backward")
    )
    np.testing.assert_array_equal(forward.images, backward.images)
    assert not np.array_equal(forward.labels, backward.labels)
    labels, boxes = (sequences.backward(backward.labels, part) for part in (backward.labels, backward.boxes))
    np.testing.assert_array_equal(labels, forward.labels)
    np.testing.assert_array_equal(boxes, forward.boxes)
    labels = np.array([[1, 2, 3, END, NONE, NONE]])
    assert sequences.backward(labels, labels).tolist() == [[3, 2, 1, END, NONE, NONE]]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (dict(dataset="fashion_mnist", task="sequence"), "makes numbers of digits"),
        (dict(dataset="digits", task="sequence", canvas=60), "leave --canvas"),
        (dict(dataset="svhn", task="cluttered"), "numbers are read in task sequence"),
        (dict(dataset="digits", task="cluttered", reading="backward"), "numbers are read in task sequence"),
    ],
)
def test_mistakes_are_told(values, told):
    with pytest.raises(UserError, match=told):
        Config(**values).resolved(values["dataset"])

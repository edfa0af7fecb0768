import numpy as np
import pytest
from matplotlib.patches import Rectangle

from nam import plots


@pytest.mark.parametrize(("n", "channels"), [(1, 1), (5, 3)])
def test_the_gaze_is_drawn_where_the_sensor_looked(n, channels):
    images = np.zeros((n, 20, 40, channels), "uint8")
    locations = np.tile(np.array([[0.0, 0.0], [1.0, -1.0]]), (n, 1, 1))
    figure = plots.gaze(images, locations, 6, [str(i) for i in range(n)])
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == n and drawn[-1].get_title() == str(n - 1)
    boxes = [(p.get_xy(), p.get_width()) for p in drawn[0].patches if isinstance(p, Rectangle)]
    assert boxes == [((17, 7), 6), ((37, -3), 6)]
    assert [text.get_text() for text in drawn[0].texts] == ["1", "2"]
    pixels = plots.pixels(figure)
    assert pixels.dtype == np.uint8 and pixels.shape[-1] == 3 and pixels.std() > 0

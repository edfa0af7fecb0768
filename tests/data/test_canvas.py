import gc

import numpy as np

from nam.data.canvas import Canvases


def test_memory_is_used_again_only_once_nothing_refers_to_it():
    canvases = Canvases()
    first = canvases((4, 50, 50, 1))
    address = first.ctypes.data
    first += 7
    part = first[1:, 3:]
    del first
    gc.collect()
    second = canvases((4, 50, 50, 1))
    assert not np.shares_memory(part, second) and not second.any() and (part == 7).all()
    del part
    gc.collect()
    third = canvases((4, 50, 50, 1))
    assert third.ctypes.data == address and not third.any()


def test_images_start_where_no_library_has_to_copy_them():
    canvases = Canvases()
    assert all(canvases((n, 7, 7, 3)).ctypes.data % 64 == 0 for n in range(1, 20))

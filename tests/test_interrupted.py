import gc
import signal
import time

import interrupted
import pytest
from interrupted import ctrl_c


@pytest.mark.parametrize("lost", [0, 1])
def test_an_interrupt_comes_and_one_that_is_lost_comes_again(monkeypatch, lost):
    monkeypatch.setattr(interrupted, "AGAIN_S", 0.02)
    pressed = []

    def handler(*_):
        pressed.append(gc.isenabled())
        if len(pressed) > lost:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt), ctrl_c(0.01):
            time.sleep(5)
    finally:
        signal.signal(signal.SIGINT, before)

    assert pressed == [False] * (lost + 1)
    assert gc.isenabled()

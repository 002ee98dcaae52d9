"""What looks alike and what does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenode.collect.look import Look, look_of
from edgenode.records import U8


def part(shift: int = 0, scratch: bool = False, noise: float = 0.0, light: int = 0, channels: int = 3) -> U8:
    """A plate with a hole, perhaps scratched, on an even belt, with the noise of a sensor."""
    picture = np.full((96, 128, 3), 90, np.uint8)
    cv2.rectangle(picture, (24 + shift, 16), (104 + shift, 80), (180, 170, 160), cv2.FILLED)
    cv2.circle(picture, (64 + shift, 48), 10, (40, 40, 40), cv2.FILLED)
    if scratch:
        cv2.line(picture, (34 + shift, 26), (96 + shift, 40), (250, 250, 250), 5)
    noisy = picture.astype(np.float64) + np.random.default_rng(1).normal(0.0, noise, picture.shape) + light
    whole = np.clip(noisy, 0, 255).astype(np.uint8)
    return whole if channels == 3 else whole[..., :1]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_look_is_the_same_after_it_was_written_down(channels: int) -> None:
    look = look_of(part(noise=3.0, channels=channels))
    assert Look.parse(str(look)) == look


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_and_a_pixel_of_shift_are_no_difference(channels: int) -> None:
    look = look_of(part(channels=channels))
    assert look.like_any([look_of(part(noise=6.0, channels=channels))])
    assert look.like_any([look_of(part(shift=16)), look_of(part(shift=1, channels=channels))])


def test_a_scratch_another_place_and_another_light_are() -> None:
    look = look_of(part())
    others = [part(scratch=True), part(shift=4), part(shift=16), part(light=40)]
    assert not look.like_any([look_of(other) for other in others])
    assert not look.like_any([])


def test_empty_pictures_are_alike_if_they_are_as_bright() -> None:
    dark, bright = np.full((8, 8, 3), 20, np.uint8), np.full((8, 8, 3), 200, np.uint8)
    assert look_of(dark).like_any([look_of(dark + 5)])
    assert not look_of(dark).like_any([look_of(bright)])


@pytest.mark.parametrize("text", ["", "00", "=" * 2304, "!", "AAAA" * 577])
def test_other_text_is_no_look(text: str) -> None:
    with pytest.raises(ValueError, match="thumbnail"):
        Look.parse(text)

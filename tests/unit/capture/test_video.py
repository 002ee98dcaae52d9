"""Video files through PyAV: colour, damage, loops and key frames."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.reformatter import ColorRange, Colorspace

from edgenode.capture.opening import open_source
from edgenode.capture.source import Source, SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import PictureError, SourceEndedError, SourceError
from edgenode.records import U8, CameraStatus
from tests.capture_parts import Recorder, camera_spec, read_on, running
from tests.clips import number_of, numbered, numbered_clip

CHART = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)]
CHART += [(230, 200, 20), (0, 200, 200)]


def opened(path: Path, loop: bool = False, keyframes_only: bool = False) -> Source:
    options = SourceOptions(base_dir=path.parent, loop=loop, keyframes_only=keyframes_only)
    return open_source(path.name, options, SystemClock())


def chart(width: int, height: int) -> U8:
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    for index, colour in enumerate(CHART):
        picture[:, index * width // 8 : (index + 1) * width // 8] = colour
    return picture


def write_chart(
    path: Path, size: tuple[int, int], matrix: Colorspace, colours: ColorRange, tagged: bool
) -> Path:
    container = av.open(str(path), "w")
    stream = container.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast"})
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    if tagged:
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = colours
    frame = av.VideoFrame.from_ndarray(chart(*size), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=colours)
    if not tagged:
        frame.colorspace, frame.color_range = 2, 0
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    container.mux(stream.encode(frame))
    container.mux(stream.encode())
    container.close()
    return path


@pytest.mark.parametrize(
    ("size", "matrix", "colours", "tagged"),
    [
        ((640, 360), Colorspace.ITU601, ColorRange.MPEG, True),
        ((640, 360), Colorspace.ITU709, ColorRange.MPEG, True),
        ((640, 360), Colorspace.ITU709, ColorRange.JPEG, True),
        ((1280, 720), Colorspace.ITU601, ColorRange.JPEG, True),
        ((1280, 720), Colorspace.ITU709, ColorRange.MPEG, True),
        ((640, 360), Colorspace.ITU601, ColorRange.MPEG, False),
        ((1280, 720), Colorspace.ITU709, ColorRange.MPEG, False),
    ],
)
def test_colours_come_back_for_every_matrix_and_range(
    tmp_path: Path, size: tuple[int, int], matrix: Colorspace, colours: ColorRange, tagged: bool
) -> None:
    source = opened(write_chart(tmp_path / "chart.mp4", size, matrix, colours, tagged))
    try:
        picture = source.read().rgb()
    finally:
        source.close()
    for index, colour in enumerate(CHART):
        x = (2 * index + 1) * size[0] // 16
        got = picture[size[1] // 4 : size[1] // 2, x - 5 : x + 5].reshape(-1, 3).mean(axis=0)
        assert np.abs(got - colour).max() <= 3.0, f"{colour} became {got}"


def test_media_time_is_the_file_s_own_and_runs_on_when_it_loops(tmp_path: Path) -> None:
    source = opened(numbered_clip(tmp_path / "c.mp4", 10, fps=10), loop=True)
    try:
        grabs = [source.read() for _ in range(25)]
        times = [grab.media_s for grab in grabs]
        assert times == pytest.approx([index / 10.0 for index in range(25)])
    finally:
        source.close()


def test_looped_pictures_begin_again(tmp_path: Path) -> None:
    source = opened(numbered_clip(tmp_path / "c.mp4", 5), loop=True)
    try:
        assert [number_of(source.read().rgb()) for _ in range(12)] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    finally:
        source.close()


def test_key_frames_alone_are_decoded_when_asked(tmp_path: Path) -> None:
    source = opened(numbered_clip(tmp_path / "c.mp4", 50, gop=10), keyframes_only=True)
    grabs = read_on(source)
    source.close()
    assert all(grab.keyframe for grab in grabs)
    assert [number_of(grab.rgb()) for grab in grabs] == [0, 10, 20, 30, 40]


def read_all(source: Source) -> Counter[str]:
    counts: Counter[str] = Counter()
    while True:
        try:
            grab = source.read()
        except SourceEndedError as ended:
            counts[f"ended: {'cut short' in str(ended)}"] += 1
            return counts
        counts["corrupt" if grab.corrupt else "good"] += 1
        try:
            grab.rgb()
        except PictureError:
            assert grab.corrupt


def test_a_truncated_file_gives_what_it_has_and_says_that_it_is_short(tmp_path: Path) -> None:
    whole = numbered_clip(tmp_path / "whole.mkv", 100).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    source = opened(tmp_path / "cut.mkv")
    counts = read_all(source)
    source.close()
    assert 30 < counts["good"] + counts["corrupt"] < 70


def test_a_truncated_mp4_with_its_index_in_front_is_reported_as_short(tmp_path: Path) -> None:
    path = tmp_path / "front.mp4"
    container = av.open(str(path), "w", options={"movflags": "faststart"})
    stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
    for number in range(100):
        frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
    container.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    source = opened(path)
    counts = read_all(source)
    source.close()
    assert counts["ended: True"] == 1
    assert 20 < counts["good"] < 90


def flipped_clip(folder: Path) -> Path:
    """200 frames, sixty bits of them wrong."""
    data = bytearray(numbered_clip(folder / "whole.h264", 200, gop=20).read_bytes())
    rng = random.Random(7)
    for _ in range(60):
        data[rng.randrange(1000, len(data))] ^= 1 << rng.randrange(8)
    (folder / "flipped.h264").write_bytes(bytes(data))
    return folder / "flipped.h264"


def test_bits_flipped_in_a_stream_are_flagged_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = opened(flipped_clip(tmp_path))
    counts = read_all(source)
    source.close()
    assert counts["corrupt"] >= 10
    assert counts["good"] >= 50


def test_no_flagged_frame_is_classified_and_each_is_counted(tmp_path: Path) -> None:
    source = opened(flipped_clip(tmp_path))
    flagged = {index for index, grab in enumerate(read_on(source)) if grab.corrupt}
    source.close()
    recorder = Recorder()
    with running(camera_spec("flipped.h264", tmp_path, fps=0), recorder, realtime=False):
        recorder.wait_status(CameraStatus.ENDED)
    assert len(flagged) >= 10
    assert recorder.counts["corrupt"] == len(flagged)
    assert not flagged & {sample.frame_index for sample in recorder.samples}
    assert len(recorder.samples) + len(flagged) == recorder.counts["decoded"]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"this is text\n" * 300, random.Random(3).randbytes(20_000)]
)
@pytest.mark.parametrize("suffix", ["mp4", "h264", "mkv"])
def test_a_file_that_is_no_video_is_one_source_error(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        _open_and_read(path)
    assert "\n" not in str(caught.value)


def _open_and_read(path: Path) -> None:
    """Some garbage looks like a stream until its first frame; all of it must end in one error."""
    source = opened(path)
    try:
        assert all(grab.corrupt for grab in read_on(source))
        raise SourceError("nothing but damage")
    finally:
        source.close()


def test_a_title_that_is_no_utf8_is_no_reason_not_to_play_a_file(tmp_path: Path) -> None:
    path = tmp_path / "titled.mkv"
    container = av.open(str(path), "w")
    container.metadata["title"] = "M\u00fcnchen"
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
    container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(3), format="rgb24")))
    container.mux(stream.encode())
    container.close()
    data = path.read_bytes()
    assert "M\u00fcnchen".encode() in data
    path.write_bytes(data.replace("M\u00fcnchen".encode(), b"M\xfcnchenn"))
    source = opened(path)
    assert number_of(source.read().rgb()) == 3
    source.close()


def test_a_playlist_cannot_make_the_node_open_addresses(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError, match=r"cannot be opened|is not a video"):
        opened(path)


def test_a_change_of_size_inside_a_stream_is_followed(tmp_path: Path) -> None:
    small = numbered_clip(tmp_path / "small.h264", 10).read_bytes()
    container = av.open(str(tmp_path / "large.h264"), "w")
    stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 640, 368, "yuv420p"
    for number in range(10):
        frame = av.VideoFrame.from_ndarray(numbered(number, 640, 368), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
    container.close()
    (tmp_path / "both.h264").write_bytes(small + (tmp_path / "large.h264").read_bytes())
    source = opened(tmp_path / "both.h264")
    pictures = [source.read().rgb() for _ in range(20)]
    source.close()
    assert [picture.shape for picture in pictures] == [(180, 320, 3)] * 10 + [(368, 640, 3)] * 10
    assert [number_of(picture) for picture in pictures] == [*range(10), *range(10)]


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_a_stream_that_says_it_is_turned_comes_out_upright(tmp_path: Path, degrees: int, turns: int) -> None:
    """H.264's display orientation counts anticlockwise, as numpy's `rot90` does."""
    plain = numbered_clip(tmp_path / "plain.h264", 3)
    with av.open(str(plain)) as container:
        turn = BitStreamFilterContext(
            f"h264_metadata=rotate={degrees}:display_orientation=insert", container.streams.video[0]
        )
        packets = [out for packet in container.demux(video=0) if packet.size for out in turn.filter(packet)]
    (tmp_path / "turned.h264").write_bytes(b"".join(bytes(packet) for packet in packets))
    pictures = []
    for name in ("plain.h264", "turned.h264"):
        source = opened(tmp_path / name)
        pictures.append(source.read().rgb())
        source.close()
    np.testing.assert_array_equal(pictures[1], np.rot90(pictures[0], turns))


def test_a_real_clip_with_reordered_frames_comes_out_in_order(shared_data: Path) -> None:
    clip = shared_data / "clips" / "ckuhn_street_camera.mp4"
    source = open_source(str(clip), SourceOptions(), SystemClock())
    times = [grab.media_s for grab in read_on(source)]
    with pytest.raises(SourceEndedError, match=r"734 frames$"):
        source.read()
    source.close()
    assert len(times) == 734
    assert times == sorted(set(times))

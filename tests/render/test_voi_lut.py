"""Windows and VOI LUTs, against the formulas of PS3.3 C.11.2 worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from imaging.errors import InvalidArgument
from imaging.render.voi_lut import TableVoi, Window, WindowFunction, read_voi


def _header(**attributes: object) -> Dataset:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def test_linear_has_the_values_of_the_standard() -> None:
    # c = 2048, w = 4096 (the example of C.11.2.1.2.1): 0 is black, 4095 is white.
    window = Window(2048, 4096)
    assert window.apply(np.array([0.0, 4095.0])).tolist() == [0.0, 255.0]
    # c = 0, w = 100: -50 black, 49 white, and in the middle ((x + 0.5) / 99 + 0.5) * 255.
    shown = Window(0, 100).apply(np.array([-51, -50, 0, 49, 50]))
    assert shown.tolist() == pytest.approx([0.0, 0.0, (0.5 / 99 + 0.5) * 255, 255.0, 255.0])


def test_linear_of_width_1_is_a_threshold() -> None:
    assert Window(10, 1).apply(np.array([9.0, 9.5, 9.6, 10.0])).tolist() == [0.0, 0.0, 255.0, 255.0]


def test_linear_exact_has_the_values_of_the_standard() -> None:
    window = Window(0, 100, WindowFunction.LINEAR_EXACT)
    assert window.apply(np.array([-51, -50, 0, 25, 50, 51])).tolist() == [0.0, 0.0, 127.5, 191.25, 255.0, 255.0]


def test_sigmoid_has_the_values_of_the_standard() -> None:
    window = Window(0, 4, WindowFunction.SIGMOID)
    shown = window.apply(np.array([-1e9, -1.0, 0.0, 1.0, 1e9]))
    assert shown.tolist() == pytest.approx([0.0, 255 / (1 + np.e), 127.5, 255 / (1 + 1 / np.e), 255.0])


@given(
    st.sampled_from(list(WindowFunction)),
    st.floats(-2000, 2000),
    st.floats(1, 4000),
)
def test_windows_equal_those_of_pydicom(function: WindowFunction, center: float, width: float) -> None:
    center, width = round(center, 3), round(width, 3)
    header = _header(
        WindowCenter=center,
        WindowWidth=width,
        VOILUTFunction=str(function),
        PhotometricInterpretation="MONOCHROME2",
        BitsStored=8,
        PixelRepresentation=0,
    )
    values = np.linspace(-3000, 3000, 401)
    with np.errstate(over="ignore"):  # pydicom lets exp() overflow far below a sigmoid window
        expected = apply_windowing(values, header)
    np.testing.assert_allclose(Window(center, width, function).apply(values), expected, rtol=0, atol=1e-6)


def test_several_windows_come_in_order_with_their_explanations() -> None:
    header = _header(WindowCenter=[40, -600], WindowWidth=[400, 1500], WindowCenterWidthExplanation=["SOFT", "LUNG"])
    assert read_voi(header).alternatives == (
        Window(40, 400, explanation="SOFT"),
        Window(-600, 1500, explanation="LUNG"),
    )


@pytest.mark.parametrize("width", [0, -1, 0.5])
def test_a_window_that_is_too_narrow_is_left_out_with_a_warning(width: float) -> None:
    choice = read_voi(_header(WindowCenter=1, WindowWidth=width))
    assert choice.alternatives == ()
    assert "too small" in choice.warnings[0]


def test_linear_exact_may_be_narrower_than_1() -> None:
    header = _header(WindowCenter=0.25, WindowWidth=0.5, VOILUTFunction="LINEAR_EXACT")
    (window,) = read_voi(header).alternatives
    assert window.apply(np.array([0.0, 0.125, 0.5])).tolist() == [0.0, 63.75, 255.0]


def test_a_center_without_a_width_is_left_out_with_a_warning() -> None:
    choice = read_voi(_header(WindowCenter=1))
    assert choice.alternatives == ()
    assert len(choice.warnings) == 1


def test_an_unknown_function_is_linear_with_a_warning() -> None:
    choice = read_voi(_header(WindowCenter=1, WindowWidth=2, VOILUTFunction="CUBIC"))
    assert choice.alternatives == (Window(1, 2),)
    assert "unknown" in choice.warnings[0]


def test_a_voi_lut_comes_before_windows_and_is_stretched_to_the_display() -> None:
    item = _header(LUTDescriptor=[3, 100, 12], LUTData=[0, 819, 4095], LUTExplanation="NORMAL")
    header = _header(VOILUTSequence=[item], WindowCenter=1, WindowWidth=2)
    table, window = read_voi(header).alternatives
    assert isinstance(table, TableVoi)
    assert table.explanation == "NORMAL"
    assert window == Window(1, 2)
    assert table.apply(np.array([0.0, 100.0, 100.6, 101.0, 102.0, 500.0])).tolist() == [0, 0, 51, 51, 255, 255]


def test_a_voi_lut_as_bytes_equals_one_as_numbers() -> None:
    numbers = _header(LUTDescriptor=[3, 0, 16], LUTData=[1, 300, 65535])
    packed = _header(LUTDescriptor=[3, 0, 16])
    packed.add_new("LUTData", "OW", np.array([1, 300, 65535], "<u2").tobytes())
    values = np.arange(4)
    expected = read_voi(_header(VOILUTSequence=[numbers])).alternatives[0].apply(values)
    assert read_voi(_header(VOILUTSequence=[packed])).alternatives[0].apply(values).tolist() == expected.tolist()


def test_8_bit_entries_packed_in_words_are_read() -> None:
    packed = _header(LUTDescriptor=[4, 0, 8])
    packed.add_new("LUTData", "OW", bytes([0, 51, 102, 255]))
    voi = read_voi(_header(VOILUTSequence=[packed])).alternatives[0]
    assert voi.apply(np.arange(5)).tolist() == [0, 51, 102, 255, 255]


def test_a_descriptor_of_0_entries_means_65536() -> None:
    item = _header(LUTDescriptor=[0, 0, 16], LUTData=list(range(65536)))
    voi = read_voi(_header(VOILUTSequence=[item])).alternatives[0]
    assert voi.apply(np.array([65535])).tolist() == [255.0]


def test_a_damaged_voi_lut_leaves_the_window() -> None:
    item = _header(LUTDescriptor=[300, 0, 16], LUTData=[1, 2])
    choice = read_voi(_header(VOILUTSequence=[item], WindowCenter=1, WindowWidth=2))
    assert choice.alternatives == (Window(1, 2),)
    assert "300" in choice.warnings[0]


def test_each_frame_of_an_enhanced_image_has_its_own_window() -> None:
    def group(center: int) -> Dataset:
        return _header(FrameVOILUTSequence=[_header(WindowCenter=center, WindowWidth=10)])

    header = _header(PerFrameFunctionalGroupsSequence=[group(1), group(2)])
    assert read_voi(header, 2).alternatives == (Window(2, 10),)


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.0, -5.0), (float("nan"), 5.0), (0.0, float("inf"))])
def test_a_window_asked_for_must_be_usable(window: tuple[float, float]) -> None:
    with pytest.raises(InvalidArgument, match="width at least 1"):
        Window.checked(*window)

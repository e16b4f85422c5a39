"""What real clients send as Accept, and what each of them gets. A line that changes here blacks out a viewer."""

from __future__ import annotations

import pytest

from gateway_svc.dicomweb.picture_form import picture_form
from gateway_svc.dicomweb.representation import AS_STORED, FrameForm, InstanceForm, chosen, frame_form, instance_form
from gateway_svc.http.media_type import MediaType, parse_accept, parse_media_type
from gateway_svc.http.refusals import NotAcceptable

LITTLE = ("1.2.840.10008.1.2.1",)
JPEG_LS = "1.2.840.10008.1.2.4.80"
HTJ2K = "1.2.840.10008.1.2.4.202"

FRAMES = {
    # Cornerstone3D and OHIF
    "multipart/related; type=application/octet-stream; transfer-syntax=*": (AS_STORED, True),
    'multipart/related; type="application/octet-stream"; transfer-syntax=*': (AS_STORED, True),
    'multipart/related; type="application/octet-stream; transfer-syntax=*"': (AS_STORED, True),
    "multipart/related;type=application/octet-stream;transfer-syntax=*": (AS_STORED, True),
    'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80, multipart/related;'
    ' type="application/octet-stream"; transfer-syntax=*': (AS_STORED, True),
    f'multipart/related; type="image/jphc"; transfer-syntax={HTJ2K}': ((HTJ2K,), True),
    # dicomweb-client (JavaScript and Python)
    'multipart/related; type="application/octet-stream"': (LITTLE, True),
    'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1': (LITTLE, True),
    f'multipart/related; type="image/x-jls"; transfer-syntax={JPEG_LS}': ((JPEG_LS,), True),
    # Weasis
    "multipart/related;type=application/octet-stream": (LITTLE, True),
    # 3D Slicer, curl, a browser
    "*/*": (LITTLE, True),
    "": (LITTLE, True),
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8": (LITTLE, True),
    # One frame as the whole body
    "application/octet-stream": (LITTLE, False),
    "application/octet-stream; transfer-syntax=*": (AS_STORED, False),
    "image/jls": ((JPEG_LS, "1.2.840.10008.1.2.4.81"), False),
    # What is kept in another syntax is encoded in the first of these that can be written
    'multipart/related; type="image/jphc"': (tuple(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)), True),
    'multipart/related; type="image/dicom-rle"': (("1.2.840.10008.1.2.5",), True),
}

INSTANCES = {
    # OHIF and dicomweb-client
    'multipart/related; type="application/dicom"': ((), True),
    'multipart/related; type="application/dicom"; transfer-syntax=*': ((), True),
    "multipart/related; type=application/dicom": ((), True),
    'multipart/related; type="application/dicom; transfer-syntax=*"': ((), True),
    # Weasis and 3D Slicer
    "multipart/related;type=application/dicom;transfer-syntax=*": ((), True),
    'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1': (LITTLE, True),
    # curl
    "application/dicom": ((), False),
    "application/dicom; transfer-syntax=*": ((), False),
    "*/*": ((), True),
    "": ((), True),
    "application/dicom+json, application/dicom;q=0.5": ((), False),
}

JPEG, PNG = "image/jpeg", "image/png"
PICTURES = {
    # OHIF's thumbnails: by Accept, or as the `accept` parameter of an <img>
    "image/jpeg": (JPEG, False),
    "multipart/related; type=image/jpeg": (JPEG, True),
    'multipart/related; type="image/jpeg"': (JPEG, True),
    # A browser's <img>
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8": (JPEG, False),
    "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": (PNG, False),
    # dicomweb-client
    "image/png": (PNG, False),
    'multipart/related; type="image/png"; transfer-syntax=*': (PNG, True),
    # Weasis, 3D Slicer, curl, fetch
    "image/jpeg, image/png;q=0.5": (JPEG, False),
    "image/gif, image/png": (PNG, False),
    "image/jpg": (JPEG, False),
    "multipart/related": (JPEG, True),
    "*/*": (JPEG, None),
    "": (JPEG, None),
}
"""Media type, and whether pictures come in parts; None: as many as there are."""


@pytest.mark.parametrize("accept", FRAMES)
def test_frames(accept: str) -> None:
    form = frame_form(accept)
    assert (form.accept, form.multipart) == FRAMES[accept]


@pytest.mark.parametrize("accept", INSTANCES)
def test_instances(accept: str) -> None:
    assert instance_form(accept) == InstanceForm(*INSTANCES[accept])


@pytest.mark.parametrize("accept", PICTURES)
def test_pictures(accept: str) -> None:
    form = picture_form(accept, [])
    assert (form.media_type, form.in_parts) == PICTURES[accept]


def test_frame_is_called_an_image_only_where_that_was_asked_for() -> None:
    asked = frame_form(f'multipart/related; type="image/jls"; transfer-syntax={JPEG_LS}')
    assert asked.part_type(JPEG_LS) == f"image/jls; transfer-syntax={JPEG_LS}"
    anything = frame_form("multipart/related; type=application/octet-stream; transfer-syntax=*")
    assert anything.part_type(JPEG_LS) == f"application/octet-stream; transfer-syntax={JPEG_LS}"
    assert FrameForm((), True, frozenset(("image/jls",))).part_type(LITTLE[0]).startswith("application/octet-stream")


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+json",
        "application/json, text/plain, */*",
        "application/dicom+json, multipart/related; type=application/octet-stream",
        "multipart/related; type=application/octet-stream, application/dicom+json; q=0.1",
        "*/*",
        "",
        "application/*",
        'multipart/related; type="application/dicom+json"',
    ],
)
def test_json_is_found_in_a_list_that_holds_it(accept: str) -> None:
    assert chosen(accept, "application/dicom+json", "application/json") in (
        "application/dicom+json",
        "application/json",
    )


@pytest.mark.parametrize("accept", ["text/html", "application/dicom", 'multipart/related; type="application/dicom"'])
def test_list_without_anything_that_is_offered_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"application/dicom\+json"):
        chosen(accept, "application/dicom+json")
    with pytest.raises(NotAcceptable):
        frame_form("text/html")
    with pytest.raises(NotAcceptable):
        instance_form("image/png")
    with pytest.raises(NotAcceptable):
        picture_form("image/gif, application/dicom", [])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a/b;q=0.2, c/d;q=0.9, e/f", ["e/f", "c/d", "a/b"]),
        ("A/B ; X=Y", ["a/b"]),
        (",,;; , a/b", ["a/b"]),
        ("*", ["*/*"]),
        ("a/b;q=0", ["*/*"]),
        ("a/b;q=high, c/d;q=7", ["a/b", "c/d"]),
        ('"', ["*/*"]),
        ('a/b; type="unclosed, c/d', ["a/b"]),
    ],
)
def test_odd_headers_are_read_as_far_as_they_can_be(header: str, expected: list[str]) -> None:
    assert [media_type.name for media_type in parse_accept(header)] == expected


def test_content_type_keeps_the_case_of_its_boundary() -> None:
    found = parse_media_type('multipart/related; Type="application/dicom"; boundary="AbC-=x"')
    assert found == MediaType("multipart/related", {"type": "application/dicom", "boundary": "AbC-=x"})

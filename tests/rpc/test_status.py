"""The error table works in both directions for every error class."""

from __future__ import annotations

import pytest

from imaging import errors
from imaging.errors import ImagingError
from imaging.rpc.status import RETRY_SECONDS, code_of, from_status, retry_seconds, to_status


def _all_classes(kind: type[ImagingError]) -> list[type[ImagingError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _all_classes(child))]


@pytest.mark.parametrize("kind", [kind for kind in _all_classes(ImagingError) if kind is not ImagingError])
def test_every_error_survives_the_way_over_the_wire(kind: type[ImagingError]) -> None:
    error = kind(
        "what happened",
        where="(0028,0010) at byte 340",
        hint="Do this",
        metadata={"fact": "7"},
        retry_after_seconds=2.5,
    )
    back = from_status(to_status(error))
    assert type(back) is kind
    assert (back.what, back.where, back.hint, back.metadata) == (error.what, error.where, error.hint, {"fact": "7"})
    assert back.retry_after_seconds == 2.5


@pytest.mark.parametrize("kind", [kind for kind in _all_classes(ImagingError) if kind is not ImagingError])
def test_an_error_that_passes_by_itself_tells_when_to_come_again_and_no_other_does(kind: type[ImagingError]) -> None:
    passes = issubclass(kind, errors.Unavailable | errors.Overloaded | errors.StorageFull)
    assert from_status(to_status(kind("It failed"))).retry_after_seconds == (retry_seconds(kind("")) if passes else 0)
    assert (retry_seconds(kind("It failed")) > 0) is passes
    assert from_status(to_status(kind("It failed", retry_after_seconds=7))).retry_after_seconds == 7
    assert set(RETRY_SECONDS) == {errors.Unavailable, errors.Overloaded, errors.StorageFull}


def test_endless_texts_are_cut_so_that_the_error_arrives() -> None:
    back = from_status(to_status(errors.NotFound("x" * 100_000, where="y" * 100_000)))
    assert type(back) is errors.NotFound
    assert (len(back.what), back.where[-1]) == (1500, "…")


def test_reasons_are_unique() -> None:
    kinds = [kind for kind in _all_classes(ImagingError) if kind is not ImagingError]
    assert len({kind.reason for kind in kinds}) == len(kinds)


def test_a_subclass_has_the_code_of_its_nearest_class_in_the_table() -> None:
    assert code_of(errors.TruncatedDicom("short")).name == "INVALID_ARGUMENT"
    assert code_of(errors.StaleAttempt("old")).name == "FAILED_PRECONDITION"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.NotFound("It is gone", where="studies/1", hint="Look again"), "It is gone (at studies/1). Look again."),
        (errors.NotFound("It is gone.", hint="Look again."), "It is gone. Look again."),
        (errors.NotFound("It is gone.", where="studies/1"), "It is gone (at studies/1)"),
        (errors.NotFound("It is gone", hint="Did you mean it?"), "It is gone. Did you mean it?"),
    ],
)
def test_the_text_has_its_full_stops_once_however_the_fields_end(error: ImagingError, text: str) -> None:
    assert error.text == text

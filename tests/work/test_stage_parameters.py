"""Parameters of a stage as they come over the wire."""

from __future__ import annotations

import math

import pytest
from google.protobuf.struct_pb2 import Struct

from imaging.errors import InvalidArgument
from imaging.work.stage_parameters import given_parameters, stage_parameters


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    given = Struct()
    given.update({"places": [{"centre": value}]})
    for read in (given_parameters, stage_parameters):
        with pytest.raises(InvalidArgument, match="finite"):
            read(given)

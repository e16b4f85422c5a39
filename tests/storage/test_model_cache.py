"""The memory of JSON models: bounded, and what was used last stays."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from storage_svc.model_cache import JsonModel, ModelCache


def test_a_model_comes_back_as_it_was_put() -> None:
    cache, model = ModelCache(), JsonModel(b"{}", ("(0042,0011)",))
    cache.put("a", model)
    assert cache.get("a") is model
    assert cache.get("b") is None


def test_the_model_that_was_used_for_longest_goes_first() -> None:
    model = JsonModel(bytes(1000), ())
    cache = ModelCache(10 * model.size_bytes)
    for number in range(10):
        cache.put(str(number), model)
    assert cache.get("0") is not None
    cache.put("new", model)
    assert cache.get("1") is None
    assert cache.get("0") is not None


def test_a_model_that_would_push_most_others_out_is_not_kept() -> None:
    cache = ModelCache(10_000)
    cache.put("large", JsonModel(bytes(5_000), ()))
    assert cache.get("large") is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 900)), max_size=60))
def test_the_models_never_take_more_than_was_said(puts: list[tuple[int, int]]) -> None:
    cache = ModelCache(10_000)
    sizes: dict[str, int] = {}
    for key, size in puts:
        model = JsonModel(bytes(size), ())
        cache.put(str(key), model)
        sizes[str(key)] = model.size_bytes
        assert sum(size for key, size in sizes.items() if cache.get(key) is not None) <= 10_000

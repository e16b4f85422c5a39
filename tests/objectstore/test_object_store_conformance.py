"""What every object store must do; a new back end joins by one more parameter of `open_store`."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imaging.errors import DataLoss, FailedPrecondition, InvalidArgument
from imaging.objectstore import ObjectStore
from tests.objectstore.conftest import Open


@pytest.fixture
def store(open_store: Open, tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path / "objects")


def test_what_was_put_is_read_back_whole(store: ObjectStore) -> None:
    store.put("studies/1.2/a.dcm", b"content")
    assert store.read("studies/1.2/a.dcm") == b"content"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_can_be_put(store: ObjectStore, kind: Callable[[bytes], bytes]) -> None:
    store.put("a", kind(b"0123456789" * 1000))
    assert store.read("a") == b"0123456789" * 1000


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("a", b"")
    assert store.read("a") == b""
    found = store.stat("a")
    assert found is not None
    assert found.size_bytes == 0


def test_a_range_is_read(store: ObjectStore) -> None:
    store.put("a", b"0123456789")
    assert store.read("a", 3, 4) == b"3456"
    assert store.read("a", 8) == b"89"
    assert store.read("a", 10, 0) == b""


def test_what_is_read_at_once_is_what_was_put_and_nothing_else_is_promised(store: ObjectStore) -> None:
    store.put("a", b"0123456789")
    store.read("a")
    into = bytearray(10)
    assert not store.read_at_once("a", memoryview(into)) or into == b"0123456789"
    assert not store.read_at_once("a", memoryview(bytearray(11)))
    assert not store.read_at_once("b", memoryview(bytearray(1)))


def test_a_range_past_the_end_is_data_loss(store: ObjectStore) -> None:
    store.put("a", b"0123456789")
    with pytest.raises(DataLoss):
        store.read("a", 8, 3)


def test_reading_what_is_not_there_is_data_loss(store: ObjectStore) -> None:
    with pytest.raises(DataLoss):
        store.read("a")


def test_a_key_is_written_once(store: ObjectStore) -> None:
    store.put("a", b"first")
    with pytest.raises(FailedPrecondition):
        store.put("a", b"second")
    assert store.read("a") == b"first"


def test_a_spooled_file_is_adopted_and_gone(store: ObjectStore) -> None:
    part = store.spool / "part"
    part.write_bytes(b"spooled")
    store.adopt("x/y", part)
    assert store.read("x/y") == b"spooled"
    assert not part.exists()


def test_stat_tells_size_or_none(store: ObjectStore) -> None:
    assert store.stat("a") is None
    store.put("a", b"0123")
    found = store.stat("a")
    assert found is not None
    assert (found.key, found.size_bytes) == ("a", 4)


def test_deleting_forgets_and_may_be_repeated(store: ObjectStore) -> None:
    store.put("x/y/a", b"1")
    store.delete("x/y/a")
    store.delete("x/y/a")
    assert store.stat("x/y/a") is None
    store.put("x/y/b", b"2")
    assert store.read("x/y/b") == b"2"


def test_list_finds_what_is_below_a_prefix(store: ObjectStore) -> None:
    for key in ("s/1/a", "s/1/b", "s/2/a", "t"):
        store.put(key, b"x")
    assert {found.key for found in store.list("s/1")} == {"s/1/a", "s/1/b"}
    assert {found.key for found in store.list("s/1/")} == {"s/1/a", "s/1/b"}
    assert {found.key for found in store.list()} == {"s/1/a", "s/1/b", "s/2/a", "t"}
    assert list(store.list("nothing")) == []


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a//b", "a/", ".a", "a/.b", "a\0", "a\n", "ä", "a" * 1000])
def test_keys_that_could_leave_the_store_are_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidArgument):
        store.put(key, b"x")
    with pytest.raises(InvalidArgument):
        store.read(key)


def test_many_writers_of_one_folder_all_succeed_while_it_is_emptied(store: ObjectStore) -> None:
    def write_and_delete(number: int) -> bool:
        key = f"studies/1/{number % 3}/{number}"
        store.put(key, b"x" * number)
        kept = store.read(key) == b"x" * number
        if number % 2:
            store.delete(key)
        return kept

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_delete, range(200)))
    assert len(list(store.list("studies"))) == 100


def test_objects_survive_reopening(open_store: Open, tmp_path: Path) -> None:
    open_store(tmp_path / "o").put("a/b", b"1")
    assert open_store(tmp_path / "o").read("a/b") == b"1"


def test_a_large_object_is_kept_whole_and_read_in_ranges(store: ObjectStore) -> None:
    content = bytes(range(256)) * (20 * 4096 + 3)  # over two parts of 8 MiB, and not a whole number of them
    path = store.spool / "large"
    path.write_bytes(content)
    store.adopt("large", path)
    assert not path.exists()
    assert store.read("large") == content
    assert store.read("large", 8 * 1024 * 1024 - 5, 10) == content[8 * 1024 * 1024 - 5 :][:10]
    with pytest.raises(FailedPrecondition):
        store.put("large", content[::-1])
    assert store.read("large", 0, 100) == content[:100]


def test_an_object_is_as_old_as_its_key_however_old_its_file_is(store: ObjectStore) -> None:
    path = store.spool / "old"
    path.write_bytes(b"1")
    os.utime(path, (0, 0))
    store.adopt("new", path)
    found = store.stat("new")
    assert found is not None
    assert datetime.now(UTC) - found.modify_time < timedelta(minutes=1)

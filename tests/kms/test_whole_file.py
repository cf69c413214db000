"""Files that are replaced in one step, by many at once."""

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from kms.whole_file import write_whole


def test_threads_that_write_at_once_never_show_half_a_file(tmp_path: Path) -> None:
    file, contents = tmp_path / "trust.json", [bytes([letter]) * size for letter, size in ((97, 10), (98, 300_000), (99, 5_000))]
    write_whole(file, contents[0])
    with ThreadPoolExecutor(6) as pool:
        writes = [pool.submit(write_whole, file, content) for content, _ in zip(cycle(contents), range(300), strict=False)]
        while not all(write.done() for write in writes):
            assert file.read_bytes() in contents
        for write in writes:
            write.result()
    assert [each.name for each in tmp_path.iterdir()] == ["trust.json"]

"""Content encodings: whole streams in any pieces, and no more than there is room for."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import pytest
import zstandard

from webdancer_cli.web.fetch.decompression import Decompressor

TEXT = b"".join(b"The works of Orrin were opened in %d. " % year for year in range(1000, 2000))
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=5),
    "zstd": zstandard.compress,
    " Identity , GZIP": gzip.compress,
    "": bytes,
}


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("piece", [1, 100, 100_000])
def test_a_stream_is_undone_in_pieces_of_any_size(encoding: str, piece: int) -> None:
    packed, inflater = PACKED[encoding](TEXT), Decompressor("http://e.org/", encoding)
    parts = [inflater.feed(packed[at : at + piece], len(TEXT)) for at in range(0, len(packed), piece)]
    assert b"".join(parts) == TEXT


def test_deflate_may_lack_the_header_of_zlib() -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert Decompressor("", "deflate").feed(packer.compress(TEXT) + packer.flush(), len(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_takes_no_more_room_than_there_is(encoding: str) -> None:
    bomb = PACKED[encoding](bytes(32 * 1024 * 1024))
    tracemalloc.start()
    assert len(Decompressor("", encoding).feed(bomb[:65536], 100_000)) == 100_000
    assert tracemalloc.get_traced_memory()[1] < 12_000_000
    tracemalloc.stop()

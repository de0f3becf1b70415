"""Ways to damage a file."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK = 4096


def flips(content: bytes, *, every: int, rng: random.Random) -> Iterator[bytes]:
    """Yield the content with one byte changed, in one bit or in all: every `every`-th, and each of the last 100."""
    places = [*range(rng.randrange(every), len(content), every), *range(len(content) - 100, len(content))]
    damaged = bytearray(content)
    for place in places:
        damaged[place] ^= rng.choice([1 << rng.randrange(8), 0xFF])
        yield bytes(damaged)
        damaged[place] = content[place]


def message_ends(content: bytes) -> list[int]:
    """Return the ends of a MindSpore checkpoint's entries: length-delimited protobuf fields of number 1."""
    ends, place = [], 0
    while content[place : place + 1] == b"\n":
        size = shift = 0
        place += 1
        while True:
            byte = content[place]
            size |= (byte & 0x7F) << shift
            shift += 7
            place += 1
            if byte < 0x80:
                break
        place += size
        ends.append(place)
    return ends


def ways_to_damage() -> dict[str, Callable[[Path], None]]:
    """Return name -> function that damages a file."""

    def change(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
        def damage(path: Path) -> None:
            content = make(path.read_bytes())
            path.unlink()  # a hard link's other name keeps its content
            path.write_bytes(content)

        return damage

    def folder(path: Path) -> None:
        path.unlink()
        path.mkdir()

    def dangling(path: Path) -> None:
        path.unlink()
        path.symlink_to("nowhere")

    block = slice(2 * BLOCK, 3 * BLOCK)
    other = slice(5 * BLOCK, 6 * BLOCK)
    return {
        "a flipped bit": change(lambda c: c[:5000] + bytes([c[5000] ^ 4]) + c[5001:]),
        "cut in half": change(lambda c: c[: len(c) // 2]),
        "cut between two entries": change(lambda c: c[: message_ends(c)[3]]),
        "cut after the state": change(lambda c: c[: message_ends(c)[-2]]),
        "without its checksum": change(lambda c: c[: message_ends(c)[-1]]),
        "something appended": change(lambda c: c + b"\0" * 100),
        "two blocks swapped": change(
            lambda c: c[: block.start] + c[other] + c[block.stop : other.start] + c[block] + c[other.stop :]
        ),
        "a block of zeros": change(lambda c: c[: block.start] + b"\0" * BLOCK + c[block.stop :]),
        "empty": change(lambda c: b""),
        "text": change(lambda c: b"<html>404</html>\n"),
        "a folder": folder,
        "a dangling link": dangling,
    }

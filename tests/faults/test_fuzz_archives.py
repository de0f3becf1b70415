"""Archives of any content are extracted completely below their folder or are an error that leaves no files."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from fuzzing import fuzz, refusal, time_limit
from hypothesis import given
from hypothesis import strategies as st

from mindcv.data.download import extract_archive

FOLDER = "wanted"
PACKERS = {"tar": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}

names = st.sampled_from(
    [
        *("wanted", "wanted/", "wanted/a", "wanted/b/c", "wanted/b", "wanted/a/b", "wanted/./a", "wanted//a", "other"),
        *("", ".", "./", "..", "../x", "/x", "/", "wanted/../../x", "wanted/..", "wanted/a\\..\\..\\x", "~/x", "C:/x"),
        *("wanted/" + "n" * 300, "wanted/" + "d/" * 300 + "x", "wanted/\u732b", "wanted/\udcff", "wanted/a\nb", "-x"),
    ]
) | st.text(st.characters(codec="utf-8"), max_size=12).map("wanted/{}".format)
kinds = st.sampled_from(
    [
        *[tarfile.REGTYPE] * 8,
        *(tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE),
        *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"Z"),
    ]
)
members = st.tuples(names, kinds, st.binary(max_size=9), names, st.sampled_from([0o644, 0, 0o7777, 0o000]))


def tar_of(members, layout):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout, errors="surrogateescape") as tar:
        for name, kind, content, link, mode in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def outcome(tmp_path, content):
    """Extract `content` two folders below `tmp_path`, and check what must hold for any content."""
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    (root / "x.tar").write_bytes(content)
    _, message = refusal(lambda: extract_archive(root / "x.tar", root, FOLDER))
    assert sorted(os.listdir(tmp_path)) == ["deep"]
    assert os.listdir(tmp_path / "deep") == ["root"]
    assert sorted(os.listdir(root)) == ([FOLDER, "x.tar"] if message is None else ["x.tar"])
    if message is not None:
        assert str(root / "x.tar") in message
        assert "\x00" not in message
        return message
    for base, folders, files in os.walk(root / FOLDER):
        assert not any(os.path.islink(os.path.join(base, name)) for name in [*folders, *files])
        assert all(os.path.isfile(os.path.join(base, name)) for name in files)
    return None


@fuzz(400)
@given(
    members=st.lists(members, max_size=5),
    layout=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    packer=st.sampled_from(sorted(PACKERS)),
)
def test_any_members_are_extracted_inside_or_an_error(tmp_path_factory, members, layout, packer):
    try:
        content = tar_of(members, layout)
    except ValueError:  # a name that this layout cannot hold
        return
    outcome(tmp_path_factory.mktemp("fuzz"), PACKERS[packer](content))


GOOD = [("wanted", tarfile.DIRTYPE, b"", "", 0o755), ("wanted/a", tarfile.REGTYPE, b"1234" * 300, "", 0o644)]
LONG = ("wanted/" + "\u732b" * 60, tarfile.REGTYPE, b"5", "", 0o644)


@fuzz(600)
@given(
    layout=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    packer=st.sampled_from(sorted(PACKERS)),
    before=st.booleans(),
    cut=st.none() | st.integers(0, 6000),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    noise=st.binary(max_size=20),
)
def test_any_damage_is_an_error_or_harmless(tmp_path_factory, layout, packer, before, cut, changes, noise):
    data = tar_of([*GOOD, *([] if layout == tarfile.USTAR_FORMAT else [LONG])], layout)
    if not before:
        data = PACKERS[packer](data)
    damaged = bytearray(data[:cut] if cut is not None else data)
    for position, value in changes:
        if damaged:
            damaged[position % len(damaged)] = value
    damaged += noise
    folder = tmp_path_factory.mktemp("fuzz")
    message = outcome(folder, PACKERS[packer](bytes(damaged)) if before else bytes(damaged))
    if message is None and not before and packer != "tar":  # compressed, so that every byte counts in a checksum
        members = [GOOD[1], *([LONG] if layout != tarfile.USTAR_FORMAT else [])]
        found = [path for path in (folder / "deep" / "root" / FOLDER).rglob("*") if path.is_file()]
        assert {(path.name, path.read_bytes()) for path in found} == {(m[0][7:], m[2]) for m in members}


@fuzz(200)
@given(
    content=st.binary(max_size=600), start=st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"PK\3\4"])
)
def test_random_bytes_are_refused(tmp_path_factory, content, start):
    assert outcome(tmp_path_factory.mktemp("fuzz"), start + content) is not None


# Archives that would exhaust the machine, or are cut where `tarfile` does not notice


def header(name, size, kind=tarfile.REGTYPE):
    """Return a member's header with any size."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def attributes(**pairs):
    """Return a pax header, which overrides the header after it."""
    lines = b"".join(b"%d %s" % (len(text) + 3, text) for text in [f"{k}={v}\n".encode() for k, v in pairs.items()])
    return header("x", len(lines), tarfile.XHDTYPE) + lines.ljust(-(-len(lines) // 512) * 512, b"\0")


SPARSE = {"GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.realsize": 2**50, "GNU.sparse.name": "wanted/a"}
END = bytes(2 * tarfile.BLOCKSIZE)


@pytest.mark.parametrize(
    "content",
    {
        "a size without content": header("wanted/a", 2**62) + END,
        "a size above the limit": header("wanted/a", 2**31) + bytes(512),
        "a sparse file": header("wanted/a", 0, tarfile.GNUTYPE_SPARSE)[:386] + bytes(126) + END,
        "a long name without end": header("././@LongLink", 2**50, tarfile.GNUTYPE_LONGNAME) + END,
        "attributes without end": header("x", 2**50, tarfile.XHDTYPE) + END,
        "a negative size": header("wanted/a", -512) + END,
        "attributes with a negative size": attributes(size=-1024) + header("wanted/a", 0) + END,
        "attributes with a huge size": attributes(size=2**62) + header("wanted/a", 0) + END,
        "a sparse file by attributes": attributes(**SPARSE) + header("wanted/a", 4) + b"0\n".ljust(512, b"\0") + END,
        "attributes that are none": attributes(size="x", mtime="nan", path="wanted/\0", uid=-1) + header("x", 0) + END,
        "a hundred thousand times zero": header("wanted/a", 4) + b"data" + bytes(508) + bytes(200_000_000),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_an_archive_bomb_is_an_error_within_seconds_and_little_memory(tmp_path, content):
    packed = gzip.compress(content[1], 1)
    del content
    tracemalloc.start()
    try:
        with time_limit(20):
            assert outcome(tmp_path, packed) is not None
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packer", ["tar", "gz"])
def test_an_archive_cut_between_its_members_is_broken(tmp_path, packer):
    content = tar_of([*GOOD, ("wanted/b", tarfile.REGTYPE, b"5" * 100, "", 0o644)], tarfile.USTAR_FORMAT)
    second = content.index(b"wanted/b")
    with tarfile.open(fileobj=io.BytesIO(content[:second])) as cut:  # `tarfile` itself reports no error
        assert cut.getnames() == ["wanted", "wanted/a"]
    message = outcome(tmp_path, PACKERS[packer](content[:second]))
    assert "is broken" in message


def test_an_archive_with_a_damaged_header_is_broken_not_shorter(tmp_path):
    content = bytearray(tar_of([*GOOD, ("wanted/b", tarfile.REGTYPE, b"5" * 100, "", 0o644)], tarfile.USTAR_FORMAT))
    content[content.index(b"wanted/b")] ^= 1
    assert "is broken" in outcome(tmp_path, bytes(content))


def test_owner_permissions_and_times_of_an_archive_are_ignored(tmp_path):
    members = [("wanted", tarfile.DIRTYPE, b"", "", 0o000), ("wanted/a", tarfile.REGTYPE, b"x", "", 0o6777)]
    assert outcome(tmp_path, tar_of(members, tarfile.USTAR_FORMAT)) is None
    for path in (tmp_path / "deep" / "root" / FOLDER, tmp_path / "deep" / "root" / FOLDER / "a"):
        status = path.stat()
        assert status.st_mode & 0o7022 == 0
        assert status.st_mode & 0o400
        assert status.st_uid == os.getuid()
        assert status.st_mtime > Path(__file__).stat().st_ctime - 1e9

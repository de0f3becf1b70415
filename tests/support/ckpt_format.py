"""The content of a `.ckpt`, written without MindSpore: fields, and arrays that may contradict them."""


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number, content):
    """A field of bytes, or of a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content % 2**64)
    return varint(number << 3 | 2) + varint(len(content)) + content


def array(name=b"w", dims=(2,), kind=b"Float32", content=bytes(8)):
    """An array, or a part of one."""
    described = b"".join(field(1, n) for n in dims) + field(2, kind) + field(3, content)
    return field(1, field(1, name) + field(2, described))

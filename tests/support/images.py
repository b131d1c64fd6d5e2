"""Pictures that claim more than they are, or show nothing."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def bomb(side: int) -> bytes:
    """A small PNG that claims to be huge."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    made = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        made += struct.pack(">I", len(content)) + name + content
        made += struct.pack(">I", zlib.crc32(name + content))
    return made


def plain_picture(grey: int) -> bytes:
    """A PNG that is grey all over."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 64), (grey,) * 3).save(stream, "PNG")
    return stream.getvalue()

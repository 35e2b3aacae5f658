"""core/cbor against cbor2, both ways: property_cbor.py path/to/transcode

The C side reads CBOR into tokens and writes the tokens back in the shortest
form.  For what cbor2 wrote that must give the same bytes; for the same value
in unusual forms (long heads, indefinite lengths, small floats) it must give
the bytes of the usual one.
"""

import random
import struct
import sys

from property import (SEED, Failed, Tap, Transcode, Values, from_cbor, same,
                      to_cbor)


def head(rng, major, value):
    """A head that is as long as needed, or longer."""
    sizes = [n for n, limit in ((0, 24), (1, 1 << 8), (2, 1 << 16),
                                (4, 1 << 32), (8, 1 << 64)) if value < limit]
    size = rng.choice(sizes)
    if size == 0:
        return bytes([major << 5 | value])
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + \
        value.to_bytes(size, "big")


def string(rng, major, pieces):
    """A string in one piece, or in chunks of the given pieces."""
    whole = b"".join(pieces)
    if rng.random() < 0.5:
        return head(rng, major, len(whole)) + whole
    chunks = b""
    while pieces:
        size = rng.randint(0, len(pieces))
        chunk = b"".join(pieces[:size])
        pieces = pieces[size:]
        chunks += head(rng, major, len(chunk)) + chunk
    return bytes([major << 5 | 31]) + chunks + b"\xff"


def items(rng, major, count, encoded):
    if rng.random() < 0.5:
        return head(rng, major, count) + encoded
    return bytes([major << 5 | 31]) + encoded + b"\xff"


def number(rng, value):
    forms = [struct.pack(">Bd", 0xfb, value)]
    for code, form in ((0xfa, ">Bf"), (0xf9, ">Be")):
        try:
            packed = struct.pack(form, code, value)
        except OverflowError:
            continue
        if same(struct.unpack(form, packed)[1], value):
            forms.append(packed)
    return rng.choice(forms)


def unusual(rng, value):
    """The value in a form that nobody has to write, but all must read."""
    if value is None or isinstance(value, bool):
        return to_cbor(value)
    if isinstance(value, int):
        major, size = (0, value) if value >= 0 else (1, -1 - value)
        if size < 1 << 64:
            return head(rng, major, size)
        digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return head(rng, 6, 2 + major) + string(
            rng, 2, [bytes([b]) for b in digits])
    if isinstance(value, float):
        return number(rng, value)
    if isinstance(value, bytes):
        return string(rng, 2, [bytes([b]) for b in value])
    if isinstance(value, str):
        return string(rng, 3, [c.encode() for c in value])
    if isinstance(value, (list, tuple)):
        return items(rng, 4, len(value),
                     b"".join(unusual(rng, v) for v in value))
    if isinstance(value, dict):
        return items(rng, 5, len(value), b"".join(
            unusual(rng, k) + unusual(rng, v) for k, v in value.items()))
    if isinstance(value, (set, frozenset)):
        return head(rng, 6, 258) + items(
            rng, 4, len(value), b"".join(unusual(rng, v) for v in value))
    raise TypeError(type(value))


def main():
    rng = random.Random(SEED)
    values = Values(rng)
    rich = Values(rng, (values.decimal, values.uuid, values.date, values.aware))
    transcode = Transcode(sys.argv[1])
    tap = Tap("property_cbor")

    def usual_form(_):
        value = rich.value()
        written = to_cbor(value)
        got = transcode("c", written)
        return got != written and (repr(value), written.hex(), got.hex())

    def unusual_form(_):
        value = values.value()
        written = unusual(rng, value)
        want = to_cbor(value)
        got = transcode("c", written)
        if got != want or not same(from_cbor(got), from_cbor(written)):
            return repr(value), written.hex(), want.hex(), got.hex()
        return None

    def cut_short(_):
        written = unusual(rng, values.value())
        cut = written[:rng.randrange(len(written))]
        try:
            return "read although cut", cut.hex(), transcode("c", cut).hex()
        except Failed as failed:
            return str(failed) != "unexpected end of CBOR data" and (
                str(failed), cut.hex())

    def damaged(_):
        written = bytearray(unusual(rng, values.value(3)))
        for _ in range(rng.randint(1, 3)):
            written[rng.randrange(len(written))] = rng.randrange(256)
        try:
            got = transcode("c", bytes(written))
        except Failed:
            return None
        # What is read must be read in the same way once more.
        return transcode("c", got) != got and (written.hex(), got.hex())

    tap.each("what cbor2 writes comes back byte for byte", usual_form)
    tap.each("unusual forms become usual ones", unusual_form)
    tap.each("a cut item is never read", cut_short)
    tap.each("damaged items are read or refused", damaged)
    tap.ok(transcode.close() == 0, "the C side ended well")
    return tap.done()


sys.exit(main())

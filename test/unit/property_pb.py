"""Messages of modal.proto against Python's protobuf: property_pb.py transcode

Every message there is, filled with random values, is packed here and read by
the code that protobuf-c has generated, and the other way; the fields of some
are read and written by core/pb.h, too.
"""

import os
import random
import sys

from property import SEED, Failed, Tap, Transcode

sys.path.insert(0, os.path.join(os.path.dirname(sys.argv[1]), "proto"))
import modal_pb2  # noqa: E402

MAX_DEPTH = 3


def messages():
    """The descriptors of all messages, nested ones too, but for map entries."""
    waiting = list(modal_pb2.DESCRIPTOR.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        waiting += message.nested_types
        if not message.GetOptions().map_entry:
            yield message


class Random:
    def __init__(self, rng, letters=(65, 0xe9, 0x20ac, 0x1f418)):
        self.rng = rng
        self.letters = letters

    def scalar(self, field):
        r = self.rng
        kind = field.type
        if kind == field.TYPE_ENUM:
            return r.choice(field.enum_type.values).number
        if kind == field.TYPE_BOOL:
            return r.random() < 0.5
        if kind == field.TYPE_FLOAT:
            return r.choice((0.0, -1.5, 1e30, float("inf"), r.getrandbits(20) / 8))
        if kind == field.TYPE_DOUBLE:
            return r.choice((0.0, -0.1, 1e300, float("-inf"), r.random()))
        if kind == field.TYPE_STRING:
            return "".join(chr(r.choice(self.letters) + r.randrange(20))
                           for _ in range(r.choice((0, 1, 5, 130))))
        if kind == field.TYPE_BYTES:
            return r.randbytes(r.choice((0, 1, 127, 128, 300)))
        bits = 64 if kind in (field.TYPE_INT64, field.TYPE_UINT64) else 32
        value = r.choice((0, 1, r.getrandbits(7), r.getrandbits(bits - 1), (1 << bits - 1) - 1))
        if kind in (field.TYPE_UINT32, field.TYPE_UINT64):
            return r.choice((value, (1 << bits) - 1))
        return r.choice((value, -value, -(1 << bits - 1)))

    def fill(self, message, depth=0):
        r = self.rng
        for field in message.DESCRIPTOR.fields:
            if r.random() < 0.4:
                continue
            is_message = field.type == field.TYPE_MESSAGE
            if is_message and depth == MAX_DEPTH:
                continue
            value = getattr(message, field.name)
            if is_message and field.message_type.GetOptions().map_entry:
                key, item = field.message_type.fields
                for _ in range(r.randrange(4)):
                    if item.type == item.TYPE_MESSAGE:
                        self.fill(value[self.scalar(key)], depth + 1)
                    else:
                        value[self.scalar(key)] = self.scalar(item)
            elif field.label == field.LABEL_REPEATED:
                for _ in range(r.choice((0, 1, 2, 5))):
                    if is_message:
                        self.fill(value.add(), depth + 1)
                    else:
                        value.append(self.scalar(field))
            elif is_message:
                value.SetInParent()
                self.fill(value, depth + 1)
            else:
                setattr(message, field.name, self.scalar(field))
        return message


def main():
    rng = random.Random(SEED)
    fill = Random(rng).fill
    # Where a character is cut in two, Python's library complains on stderr.
    fill_ascii = Random(rng, (65,)).fill
    transcode = Transcode(sys.argv[1] + "_pb")
    tap = Tap("property_pb")
    types = sorted(messages(), key=lambda m: m.full_name)
    classes = [m._concrete_class for m in types]

    def repack(message):
        name = message.DESCRIPTOR.full_name.encode() + b"\0"
        return transcode("m", name + message.SerializeToString())

    def generated(i):
        cls = classes[i % len(classes)]
        message = fill(cls())
        got = cls.FromString(repack(message))
        return got != message and (cls.DESCRIPTOR.full_name, message, got)

    def by_hand(i):
        message = fill(classes[i % len(classes)]())
        written = message.SerializeToString(deterministic=True)
        got = transcode("f", written)
        return got != written and (message, written.hex(), got.hex())

    def cut_short(i):
        cls = classes[i % len(classes)]
        written = fill_ascii(cls()).SerializeToString()
        cut = written[:rng.randrange(len(written) + 1)]
        try:
            wanted = cls.FromString(cut)
        except Exception:
            wanted = None
        try:
            got = cls.FromString(transcode(
                "m", cls.DESCRIPTOR.full_name.encode() + b"\0" + cut))
        except Failed:
            got = None
        # A cut may fall between two fields.
        return got != wanted and (cls.DESCRIPTOR.full_name, cut.hex(), wanted, got)

    tap.ok(len(types) > 60, "there are %d messages" % len(types))
    tap.each("messages come back from the generated code", generated)
    tap.each("fields come back from core/pb.h", by_hand)
    tap.each("a cut message is read as far as Python does, or not at all", cut_short)
    tap.ok(transcode.close() == 0, "the C side ended well")
    return tap.done()


sys.exit(main())

"""core/pickle against Python's pickle, both ways: property_pickle.py transcode

Calls that the C side made of CBOR are unpickled here; values that are pickled
here, by both of Python's picklers in every binary protocol, come back as CBOR.
"""

import collections
import datetime
import io
import pickle
import pickletools
import random
import sys

from property import (SEED, Failed, Tap, Transcode, Values, from_cbor, same,
                      to_cbor)


def as_called(value):
    """What a function gets: tuples were lists, but not within keys."""
    if isinstance(value, (list, tuple)):
        return [as_called(v) for v in value]
    if isinstance(value, dict):
        return {k: as_called(v) for k, v in value.items()}
    return value


def as_result(value):
    """What CBOR can say of a value: what it has no word for is told plainly."""
    if isinstance(value, dict):
        return {k: as_result(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_result(v) for v in value]
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        return value.isoformat()
    return value


class PicklingValues(Values):
    """Also what only pickle knows: shared and unusual containers."""

    def value(self, depth=5):
        r = self.rng
        if depth < 2 or r.random() < 0.8:
            return super().value(depth)
        if r.random() < 0.3:
            shared = super().value(depth - 2)
            return [shared, [shared], {"again": shared}]
        kind = r.choice((tuple, collections.OrderedDict,
                         collections.defaultdict, bytearray))
        if kind is tuple:
            return tuple(self.value(depth - 1) for _ in range(r.randrange(6)))
        if kind is bytearray:
            return bytearray(self.binary())
        pairs = {self.key(1): self.value(depth - 1) for _ in range(r.randrange(4))}
        return (kind(pairs) if kind is collections.OrderedDict
                else kind(list, pairs))


class Custom(Exception):
    pass


class NotPlain:
    pass


def pickled(rng, value):
    """By the C pickler or by the Python one, perhaps with an optimised memo."""
    protocol = rng.choice((2, 3, 4, 5))
    if rng.random() < 0.7:
        data = pickle.dumps(value, protocol)
    else:
        file = io.BytesIO()
        pickle._Pickler(file, protocol).dump(value)
        data = file.getvalue()
    return pickletools.optimize(data) if rng.random() < 0.1 else data


def check_examples(tap, transcode):
    def refused(name, operation, data, want):
        try:
            got = transcode(operation, data).hex()
        except Failed as failed:
            got = str(failed)
        tap.ok(got == want, name, got)

    loop = []
    loop.append(loop)
    refused("a cycle is refused", "r", pickle.dumps(loop),
            "a container in pickle contains itself")
    refused("an object is refused by name", "r", pickle.dumps(NotPlain()),
            "object of class __main__.NotPlain in pickle")
    refused("so is a class", "r", pickle.dumps(int),
            "object of class int in pickle")
    refused("and a timedelta", "r", pickle.dumps(datetime.timedelta(1)),
            "object of class datetime.timedelta in pickle")
    refused("protocol 0 is refused", "r", pickle.dumps(1, 0),
            "unsupported opcode in pickle")
    refused("positional arguments must be an array", "w", to_cbor([{}, {}]),
            "a call must be an array of arguments and a map")
    refused("keywords must be text", "w", to_cbor([[], {1: 2}]),
            "names of keyword arguments must be text")
    refused("a call has two parts", "w", to_cbor([[], {}, 1]),
            "a call must be an array of arguments and a map")

    lots = ["x" * 1000]
    for _ in range(9):
        lots = [lots] * 10
    refused("a small pickle of a huge value is refused", "r",
            pickle.dumps(lots),
            "out of memory, or too large a value in pickle")

    deep = []
    for _ in range(9000):
        deep = [deep]
    file = io.BytesIO()
    sys.setrecursionlimit(100000)
    pickle._Pickler(file, 4).dump(deep)
    want = b"\x81" * 9000 + b"\x80"
    tap.ok(transcode("r", file.getvalue()) == want, "deep nesting is read")

    for error, want in (
            (ValueError("bad"), "ValueError: bad"),
            (ValueError(), "ValueError: "),
            (KeyError(3), "KeyError: 3"),
            (LookupError(2, "No such file"), "LookupError: (2, 'No such file')"),
            (Custom("own", None, 1.5, True), "__main__.Custom: ('own', None, 1.5, True)"),
            (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"),
             "UnicodeDecodeError: ('utf-8', ..., 0, 1, 'why')")):
        for protocol in (2, 3, 4, 5):
            got = transcode("e", pickle.dumps(error, protocol)).decode()
            if not tap.ok(got == want, "%r in protocol %d" % (error, protocol),
                          got):
                break
    refused("data is no exception", "e", pickle.dumps(1), "not an exception")
    refused("nor is a datetime", "e", pickle.dumps(datetime.datetime.now()),
            "not an exception")


def main():
    rng = random.Random(SEED)
    plain = Values(rng)
    call = Values(rng, (plain.decimal, plain.uuid, plain.date, plain.aware))
    result = PicklingValues(rng, (plain.decimal, plain.uuid, plain.date,
                                  plain.aware, plain.naive))
    transcode = Transcode(sys.argv[1])
    tap = Tap("property_pickle")

    def called(_):
        args = [call.value(4) for _ in range(rng.randrange(6))]
        kwargs = {call.text(): call.value(3) for _ in range(rng.randrange(4))}
        got = pickle.loads(transcode("w", to_cbor([args, kwargs])))
        want = (tuple(as_called(args)), as_called(kwargs))
        return not same(got, want) and (repr(want), repr(got))

    def returned(_):
        value = result.value()
        data = pickled(rng, value)
        got = from_cbor(transcode("r", data))
        want = from_cbor(to_cbor(as_result(value)))
        return not same(got, want) and (repr(value), data.hex(), repr(got))

    def damaged(_):
        data = bytearray(pickled(rng, result.value(3)))
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            got = transcode("r", bytes(data))
        except Failed:
            return None
        # What is read must be CBOR.
        return transcode("c", got) != got and (data.hex(), got.hex())

    check_examples(tap, transcode)
    tap.each("calls are unpickled as they were", called)
    tap.each("pickled values come back", returned)
    tap.each("damaged pickles are read or refused", damaged)
    tap.ok(transcode.close() == 0, "the C side ended well")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())

"""What the property tests share: random values, TAP, and the C side.

A value is compared by same(), which tells 1 from 1.0 and True, and takes two
NaNs as equal.
"""

import math
import os
import random
import struct
import subprocess
import sys
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import cbor2

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
VALUES = int(os.environ.get("VALUES") or 10000)


def to_cbor(value):
    """As new versions of cbor2 do; older ones know no date without time."""
    return cbor2.dumps(value, default=lambda encoder, v: encoder.encode(
        cbor2.CBORTag(1004, v.isoformat())))


def from_cbor(data):
    return cbor2.loads(data, tag_hook=lambda _, tag: date.fromisoformat(
        tag.value) if tag.tag == 1004 else tag)


class Failed(Exception):
    """The C side refused its input; the text says why."""


class Transcode:
    """The C program of transcode.c, as calls."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, operation, data):
        self.process.stdin.write(
            operation.encode() + struct.pack("=I", len(data)) + data)
        self.process.stdin.flush()
        head = self.process.stdout.read(5)
        if len(head) < 5:
            raise SystemExit("Bail out! transcode died, status %s, on %s %s" % (
                self.process.wait(), operation, data.hex()))
        good, size = struct.unpack("=?I", head)
        answer = self.process.stdout.read(size)
        if not good:
            raise Failed(answer.decode())
        return answer

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


class Values:
    """Random values of every kind that CBOR and pickle share."""

    def __init__(self, rng, scalars=()):
        self.rng = rng
        self.scalars = [self.integer, self.integer, self.number, self.text,
                        self.text, self.binary, self.constant, *scalars]

    def integer(self):
        r = self.rng
        bits = r.choice((4, 5, 8, 9, 16, 31, 32, 33, 63, 64, 65, 128, 700, 2100))
        edge = r.choice((0, 1 << bits, r.getrandbits(bits)))
        return r.choice((1, -1)) * (edge + r.randrange(-2, 3))

    def number(self):
        r = self.rng
        return r.choice((
            0.0, -0.0, math.inf, -math.inf, math.nan, 1.5, 5e-324,
            sys.float_info.max, r.random(), r.gauss(0, 1e10),
            struct.unpack("<d", r.randbytes(8))[0]))

    def text(self):
        r = self.rng
        size = r.choice((0, 1, 5, 23, 24, 40, 255, 256, 300))
        alphabet = r.choice((
            (32, 126), (0, 127), (0x80, 0x7ff), (0x800, 0xd7ff),
            (0xe000, 0xffff), (0x10000, 0x10ffff)))
        letters = [chr(r.randint(*alphabet)) for _ in range(min(size, 8))]
        return "".join(r.choices(letters, k=size)) if size else ""

    def binary(self):
        return self.rng.randbytes(
            self.rng.choice((0, 1, 7, 23, 24, 255, 256, 1000)))

    def constant(self):
        return self.rng.choice((None, True, False))

    def decimal(self):
        r = self.rng
        digits = r.choice((1, 9, 10, 19, 20, 38, 200))
        return Decimal((r.randrange(2),
                        [r.randrange(10) for _ in range(digits)],
                        r.choice((0, 0, -2, -digits, 5, r.randint(-999, 999)))))

    def uuid(self):
        return uuid.UUID(int=self.rng.getrandbits(self.rng.choice((1, 64, 127, 128))))

    def date(self):
        return date.fromordinal(self.rng.choice(
            (1, date.max.toordinal(), self.rng.randint(1, date.max.toordinal()))))

    def naive(self):
        r = self.rng
        day = self.date()
        return datetime(day.year, day.month, day.day, r.randrange(24),
                        r.randrange(60), r.randrange(60),
                        r.choice((0, 1, 999999, r.randrange(1000000))))

    def aware(self):
        r = self.rng
        minutes = r.choice((0, 60, -60, 330, 1439, -1439, r.randint(-1439, 1439)))
        return self.naive().replace(tzinfo=timezone(timedelta(minutes=minutes)))

    def key(self, depth):
        r = self.rng
        if depth > 0 and r.random() < 0.1:
            return tuple(self.key(depth - 1) for _ in range(r.randrange(3)))
        return r.choice((self.text, self.text, self.text, self.integer,
                         self.binary, self.constant))()

    def set(self, depth):
        return {self.key(depth - 1) for _ in range(self.rng.randrange(5))}

    def value(self, depth=5):
        r = self.rng
        if depth == 0 or r.random() < 0.6:
            return r.choice(self.scalars)()
        size = r.choice((0, 1, 2, 3, 4, 6, 30)) if depth > 2 else r.randrange(4)
        kind = r.randrange(7)
        if kind < 3:
            return [self.value(depth - 1) for _ in range(size)]
        if kind < 6:
            return {self.key(depth - 1): self.value(depth - 1)
                    for _ in range(size)}
        return self.set(depth)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (a != a and b != b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(ka, kb) and same(a[ka], b[kb]) for ka, kb in zip(a, b))
    if isinstance(a, (set, frozenset)):
        return a == b
    if isinstance(a, datetime):
        return a == b and a.utcoffset() == b.utcoffset()
    return a == b


class Tap:
    def __init__(self, name):
        self.count = 0
        self.failures = 0
        # prove shows only this of a run that goes well
        print("# %s: SEED=%d VALUES=%d" % (name, SEED, VALUES),
              file=sys.stderr)

    def ok(self, passed, name, *details):
        self.count += 1
        self.failures += not passed
        print("%s %d - %s" % ("ok" if passed else "not ok", self.count, name))
        if not passed:
            for detail in details:
                print("#   %.2000s" % (detail,))
        return passed

    def each(self, name, check):
        """check(i) for all values; the first that is wrong is shown."""
        for i in range(VALUES):
            wrong = check(i)
            if wrong:
                self.ok(False, name, "value %d" % i, *wrong)
                return
        self.ok(True, "%s (%d values)" % (name, VALUES))

    def done(self):
        print("1..%d" % self.count)
        return 1 if self.failures else 0

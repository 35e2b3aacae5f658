"""The functions of setup.sql as remote ones."""


def vol(x):
    return x * 2


stab = par = unsafe = vol


def nullable(x):
    return (-1 if x is None else x) * 2


def add2(a, b):
    return a + b


def odd(x):
    return x % 2 != 0


stab_odd = odd


def shout(s):
    return s + "!"


def fail13(x):
    if x == 13:
        raise ValueError("failed for 13")
    return x * 2


def pair_vol(x):
    return {"a": x * 2, "b": x * 3}


def pair_stab(x):
    return x * 2, x * 3


def out2(i):
    return {"a": i * 2, "b": "%d!" % i}


def twice(x):
    yield x
    yield x


definer = with_set = vol

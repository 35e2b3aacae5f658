# Functions for test/t/280_encodings.pl.


def échappe(x, où=None):
    return [x, où]


def costs(x):
    raise ValueError("costs 5 \u20ac, not 5 \u00e9")


def paints(x):
    raise ValueError("\x1b[31mred\x1b[0m\r\nand \x9b31m \x07 more\tplain")


def euro(x):
    return "\u20ac"

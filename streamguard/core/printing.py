"""What strangers have written, for people to read."""


def printable(text: str) -> str:
    r"""One line in which all that a terminal would act on, or not show, is an escape.

    >>> printable("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

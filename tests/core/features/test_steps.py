"""Steps of preparation: what they would still change, and what they make of a raw value."""

import math
import pickle
import string
import time
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.features.fates import CHANGED, FAILED, NOT_MINE, SAME, Step, StepFailedError
from streamguard.core.features.markup import without_markup
from streamguard.core.features.steps import (
    BUILT_IN,
    Clip,
    CollapseWhitespace,
    Impute,
    LowerCase,
    Map,
    NormalForm,
    Round,
    Scale,
    StripAccents,
    StripDigits,
    StripMarkup,
    StripPunctuation,
    compared,
    expected,
)
from streamguard.core.features.text_steps import TextStep
from streamguard.core.features.traits import traits_of
from tests.core.features.test_traits import TEXTS

TEXT_STEPS: list[TextStep] = [
    LowerCase(),
    StripDigits(),
    StripPunctuation(),
    CollapseWhitespace(),
    StripAccents(),
    StripMarkup(),
    NormalForm("NFC"),
    NormalForm("NFD"),
    NormalForm("NFKC"),
    NormalForm("NFKD"),
]
OTHER_STEPS: list[Step] = [
    Clip(0, 100),
    Clip(None, 0.1),
    Round(2),
    Round(0),
    Round(-3),
    Scale((0, 1), (0, 255)),
    Scale((-0.1, 0.1), (-3, 1)),
    Impute(0),
    Map({"a": "b", "b": "c", "1": "one", "true": "yes", "1.5": 2}),
]
STEPS = [*TEXT_STEPS, *OTHER_STEPS]

MARKS = st.text(st.sampled_from("e\u0301\u0323\u0344\u0f73\u302e\u1100\u1161ﬁÅ\u00b4Ⅷ१"), max_size=10)
MARKUP = st.lists(
    st.sampled_from(["<", ">", "<b>", "</b>", "<!--", "-->", "&", "amp;", "&lt;", "#", "60;", "'", '"', "b", " ", "!"]),
    max_size=15,
).map("".join)
STRINGS = st.one_of(TEXTS, MARKS, MARKUP, st.text())
NUMBERS = st.one_of(
    st.floats(),
    st.floats(-10, 300),
    st.floats(-10, 300).map(lambda number: round(number, 2)),
    st.floats(-10, 300, width=32),
    st.integers(-2000, 2000),
    st.integers(),
    st.sampled_from([10**400, -(10**400), (1 << 53) + 1, 1e22, 1.7976931348623157e308, 5e-324, -0.0]),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    STRINGS,
    st.sampled_from(["a", "b", "c", "1", "true", 1, 1.5, True]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def fates(step: Step, *values: Any) -> list[int]:
    """Of these values, with the traits of those that are texts."""
    texts = [each for each in values if type(each) is str]
    found = step.fates(values, traits_of(texts))
    assert found.dtype == np.int8
    assert found.tolist() == step.fates(values, None).tolist()
    return [int(each) for each in found]


@pytest.mark.parametrize("step", STEPS, ids=repr)
@given(values=st.lists(VALUES, max_size=5))
def test_what_a_step_has_prepared_it_leaves_alone(step: Step, values: list[Any]) -> None:
    """Whatever comes, no error does."""
    prepared = [step.applied(each) for each in values]
    found = fates(step, *prepared)
    assert CHANGED not in found
    assert FAILED not in found
    # Computed in floats, whole numbers beyond their precision are taken for their neighbours;
    # what one category is renamed to may be the name of another.
    for value, made, fate in zip(values, prepared, fates(step, *values), strict=True):
        is_large = type(value) in {int, float} and not -(1 << 50) < value < 1 << 50
        if fate == SAME and not is_large and not isinstance(step, Scale | Map):
            assert compared([step], value, value) == SAME
        if fate == CHANGED:
            assert type(made) is not type(value) or made != value
        if fate == NOT_MINE:
            assert made is value


@pytest.mark.parametrize("step", TEXT_STEPS, ids=repr)
@given(texts=st.lists(STRINGS, max_size=20))
def test_texts_are_changed_where_they_would_be_others(step: TextStep, texts: list[str]) -> None:
    """As far as traits decide it, and as the step itself does."""
    assert fates(step, *texts) == [CHANGED if step.prepared(each) != each else SAME for each in texts]


@pytest.mark.parametrize("step", TEXT_STEPS, ids=repr)
def test_every_character_alone(step: TextStep) -> None:
    """Of all planes."""
    texts = [chr(code) for code in range(0x110000)]
    prepared = list(map(step.prepared, texts))
    found = step.fates(texts, traits_of(texts))
    assert np.array_equal(found == CHANGED, [one != other for one, other in zip(texts, prepared, strict=True)])
    assert not (step.fates(prepared, traits_of(prepared)) == CHANGED).any()


def test_what_steps_make_of_texts() -> None:
    """One of each."""
    assert LowerCase().applied("ÄB c") == "äb c"
    assert StripDigits().applied("a1²٣\U0001d7d8b") == "ab"
    assert StripPunctuation().applied(f"a{string.punctuation}b—") == "ab—"
    assert CollapseWhitespace().applied("\u2003 a\t\nb ") == "a b"
    assert StripAccents().applied("Ünïcode ǭ") == "Unicode o"
    assert StripAccents().applied("각 ﬁ 한글") == "각 ﬁ 한글"
    assert NormalForm("NFKC").applied("ﬁ e\u0301") == "fi é"


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("<p>a<br/>b</p>", "ab"),
        ("1 < 2 & 3 > 2, <3", "1 < 2 & 3 > 2, <3"),
        ("<a title='x > y' href=\"?a&b\">c</a>", "c"),
        ("<a title=it's>c", "c"),
        ('<a ">b<c ">d', "bd"),
        ("a<!-- <b> - -> -->b<!DOCTYPE html><?xml ?>", "ab"),
        ("a <!-- open", "a <!-- open"),
        ("&lt;b&gt;&amp;amp;&#65;&#x42;&eacute;", "&ABé"),
        ("?a=1&copy=2&notit; &nothing; &#xD800;", "?a=1&copy=2&notit; &nothing; \ufffd"),
        ("<<b>b>x", "x"),
        ("&#" + "9" * 10_000 + ";", "&#" + "9" * 10_000 + ";"),
        ("&" + "amp;" * 100 + "x", "amp;" * 84 + "x"),
    ],
)
def test_markup(text: str, prepared: str) -> None:
    """What is none is left alone."""
    assert without_markup(text) == prepared
    assert fates(StripMarkup(), text) == [SAME if text == prepared else CHANGED]


@pytest.mark.parametrize(
    "unit",
    ["<", "<a ", "<a '", '<a "', "<!--", "-->", "<!---->", "&", "&#", "&amp;", "amp;", "<b", "b>", "<b>", "</", "<?"],
)
@pytest.mark.parametrize("step", [StripMarkup(), StripAccents(), NormalForm("NFC")], ids=repr)
def test_markup_that_is_made_to_be_slow(step: Step, unit: str) -> None:
    """A megabyte takes a second or so, and would take hours if its square counted."""
    for text in (unit * (1_000_000 // len(unit)), "<" * 300_000 + unit * (700_000 // len(unit))):
        start = time.monotonic()
        step.fates([text], None)
        step.applied(text)
        assert time.monotonic() - start < 20


@pytest.mark.parametrize("step", [NormalForm("NFC"), NormalForm("NFKD"), StripAccents()], ids=repr)
@pytest.mark.parametrize("unit", ["\u0301\u0323", "\u0f73", "\u302e\U0001d165", "é\u0323"])
def test_marks_that_are_made_to_be_slow(step: Step, unit: str) -> None:
    """Python sorts those of one letter in the square of their number: three seconds for a tenth of this."""
    text = "a" + unit * (500_000 // len(unit))
    start = time.monotonic()
    step.fates([text], None)
    step.applied(text)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@given(text=MARKS.map(lambda text: text * 500))
def test_long_texts_have_the_same_normal_form(form: Any, text: str) -> None:
    """In whatever order their marks are sorted."""
    assert NormalForm(form).applied(text) == unicodedata.normalize(form, text)


def test_numbers_that_are_clipped() -> None:
    """A truth value is no number, and 0.1 may have been one of 32 bits."""
    step = Clip(0, 0.1)
    single = float(np.float32(0.1))
    assert single > 0.1
    assert fates(step, 0, 0.1, single, -1e-9, 0.2, 10**400, math.inf) == [SAME] * 3 + [CHANGED] * 4
    assert fates(step, True, None, "0.2", math.nan, [1]) == [NOT_MINE] * 5
    assert repr([step.applied(each) for each in (5, 5.0, -1.0, -1)]) == "[0.1, 0.1, 0.0, 0]"
    assert fates(Clip(None, 3), -math.inf, 4) == [SAME, CHANGED]


def test_numbers_that_are_rounded() -> None:
    """Those of 32 bits as what they stand for."""
    single = float(np.float32(0.12))
    assert fates(Round(2), 0.12, single, 0.125, 3, 1e300, math.inf) == [SAME, SAME, CHANGED, SAME, SAME, SAME]
    assert fates(Round(-2), 100, 150.0, 10**400, 10**400 + 1) == [SAME, CHANGED, SAME, CHANGED]
    assert fates(Round(2), False, None, math.nan, "0.125") == [NOT_MINE] * 4


@given(st.lists(NUMBERS), st.integers(-15, 15))
def test_rounded_is_what_round_leaves_alone(numbers: list[float], digits: int) -> None:
    """By arrays or one by one."""
    for number, fate in zip(numbers, fates(Round(digits), *numbers), strict=True):
        if math.isnan(number) if isinstance(number, float) else False:
            assert fate == NOT_MINE
        elif round(number, digits) == number:
            assert fate == SAME
        elif not isinstance(number, float) or float(np.float32(min(abs(number), 1e30))) != abs(number):
            assert fate == CHANGED


def test_numbers_that_are_scaled() -> None:
    """A computation in 32 bits may end a little beyond."""
    step = Scale((0, 0.1), (0, 255))
    assert fates(step, 0.05, float(np.float32(0.1)), 0.11, -1, 10**400) == [SAME, SAME] + [CHANGED] * 3
    assert [step.applied(each) for each in (0, 255, 500, "a", None)] == [0, 0.1, 0.1, "a", None]
    with pytest.raises(StepFailedError, match="not known without the range"):
        Scale((0, 1)).applied(3)


def test_what_is_missing_is_filled_in() -> None:
    """Zero and an empty text are values."""
    assert fates(Impute(3), None, 0, "", math.nan) == [CHANGED, SAME, SAME, SAME]


def test_categories_that_are_renamed() -> None:
    """A number is not the truth value that equals it, and may be the name of a category."""
    step = Map({"a": "b", "b": "c", "x": "x", "1": "one", "true": "yes", "no": 0})
    assert fates(step, "a", "b", "c", "x", "z", 1, "1", True, False, 0, 2) == [
        *(CHANGED, SAME, SAME, SAME, SAME, CHANGED, CHANGED, CHANGED, SAME, SAME, SAME),
    ]
    assert [step.applied(each) for each in ("a", 1, True, "no", 1.0, [1])] == ["b", "one", "yes", 0, "one", [1]]
    assert fates(step, None, ["a"], {"a": 1}) == [NOT_MINE] * 3
    assert fates(Map({"1": 1}), "1", 1, True) == [CHANGED, SAME, SAME]


def test_values_that_are_compared_with_the_raw_ones() -> None:
    """All steps in their order, as training did it."""
    steps: list[Step] = [StripPunctuation(), LowerCase(), CollapseWhitespace()]
    assert expected(steps, "Hello,  WORLD!") == "hello world"
    assert compared(steps, "Hello,  WORLD!", "hello world") == SAME
    assert compared(steps, "Hello,  WORLD!", "hello  world") == CHANGED
    assert compared(steps, None, "x") == compared(steps, "x", None) == NOT_MINE
    assert compared([Impute("x")], None, "x") == SAME
    assert compared([Scale((0, 1))], 3, 0.5) == FAILED
    assert compared([Scale((0, 1), (0, 3))], 1, float(np.float32(1 / 3))) == SAME
    assert compared([Clip(0, 100)], 500, 100.0) == SAME
    assert compared([Round(0)], 1, True) == CHANGED
    assert compared([], 10**400, 1.0) == CHANGED


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_steps_can_be_sent(step: Step) -> None:
    """To the processes of a replay."""
    copy = pickle.loads(pickle.dumps(step))  # noqa: S301 - of this line
    assert copy == step
    assert copy.fates(["A<b>1"], None).tolist() == step.fates(["A<b>1"], None).tolist()
    assert step.name in BUILT_IN

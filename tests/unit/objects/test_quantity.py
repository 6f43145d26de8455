"""Quantities: parsing, rounding, canonical text and arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects import quantity


@pytest.mark.parametrize(
    ("text", "canonical", "value", "milli"),
    [
        ("0", "0", 0, 0),
        ("0Mi", "0", 0, 0),
        ("100m", "100m", 1, 100),
        ("1000m", "1", 1, 1000),
        ("0.5", "500m", 1, 500),
        ("1.5", "1500m", 2, 1500),
        (".001", "1m", 1, 1),
        ("1024Mi", "1Gi", 2**30, 2**30 * 1000),
        ("1536Mi", "1536Mi", 1536 * 2**20, 1536 * 2**20 * 1000),
        ("100Mi", "100Mi", 100 * 2**20, 100 * 2**20 * 1000),
        ("1.5Gi", "1536Mi", 1536 * 2**20, 1536 * 2**20 * 1000),
        ("512Ki", "512Ki", 2**19, 2**19 * 1000),
        ("1Ki", "1Ki", 1024, 1024000),
        ("0.5Ki", "512", 512, 512000),
        ("100.035Ki", "102435840m", 102436, 102435840),
        ("1000k", "1M", 10**6, 10**9),
        ("12e6", "12e6", 12 * 10**6, 12 * 10**9),
        ("1e14", "100e12", 10**14, 10**17),
        ("0.5e-1", "50e-3", 1, 50),
        ("3.001n", "4n", 1, 1),
        ("0.000000000001Ki", "2n", 1, 1),
        ("9Ei", "9223372036854775807", 2**63 - 1, (2**63 - 1) * 1000),
        ("12E", "12E", 12 * 10**18, 12 * 10**21),
        ("1e-300", "1e-9", 1, 1),
        ("-1.5", "-1500m", -2, -1500),
        ("+1Mi", "+1Mi", 2**20, 2**20 * 1000),
        (" 2Gi ", "2Gi", 2**31, 2**31 * 1000),
        (2, "2", 2, 2000),
        (0.5, "500m", 1, 500),
    ],
)
def test_parse(text: str, canonical: str, value: int, milli: int) -> None:
    parsed = quantity.parse(text)
    assert (str(parsed), parsed.value(), parsed.milli()) == (canonical, value, milli)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", quantity.FORMAT_TEXT),
        ("1.2.3", quantity.FORMAT_TEXT),
        ("abc", quantity.FORMAT_TEXT),
        ("1 Gi", quantity.FORMAT_TEXT),
        ("1mi", quantity.SUFFIX_TEXT),
        ("1K", quantity.SUFFIX_TEXT),
        ("1e", quantity.SUFFIX_TEXT),
        ("1e999999999", quantity.SUFFIX_TEXT),
        ("1" * 1500, quantity.NUMERIC_TEXT),
        ("1" * 5000, quantity.FORMAT_TEXT),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^(quantities must|unable to)") as caught:
        quantity.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [True, None, []])
def test_refuses_what_is_no_number(value: object) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.parse(value)  # type: ignore[arg-type]


def test_arithmetic_keeps_the_format_of_what_is_not_zero() -> None:
    zero, memory = quantity.parse("0"), quantity.parse("1Gi")
    assert str(zero + memory) == "1Gi"
    assert str(memory - memory + quantity.parse("100m")) == "100m"
    assert str(quantity.parse("1") - quantity.parse("1500m")) == "-500m"
    assert str(-(memory * 2)) == "-2Gi"
    assert quantity.parse("1000m") == quantity.parse("1")
    assert quantity.parse("1Gi") > quantity.parse("1G")


@given(
    st.integers(-(10**24), 10**24),
    st.sampled_from(["DecimalSI", "BinarySI", "DecimalExponent"]),
)
def test_canonical_text_parses_to_the_same_amount(nanos: int, format_: quantity.Format) -> None:
    amount = quantity.Quantity(nanos, format_)
    again = quantity.parse(str(amount))
    assert again == amount
    assert str(again) == str(amount)

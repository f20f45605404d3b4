"""Errors as Harmony's users see them."""

import pytest
from harmony_service_lib.exceptions import CanceledException, HarmonyException
from invocation import CANARY

from harmony_vds import errors
from harmony_vds.adapter import as_harmony_exceptions, one_line
from harmony_vds.telemetry import keep_secret

EXPECTED = {
    errors.RequestError: ("NoRetry", "Error"),
    errors.UnsupportedError: ("NoRetry", "Error"),
    errors.UncutBoxError: ("NoRetry", "Error"),
    errors.UnknownVariableError: ("NoRetry", "Error"),
    errors.TooLargeError: ("NoRetry", "Error"),
    errors.TimeLimitError: ("NoRetry", "Error"),
    errors.NoDataError: ("NoData", "Warning"),
    errors.StoreError: ("NoRetry", "Error"),
    errors.NoStoreError: ("NoRetry", "Error"),
    errors.MissingSourceError: ("NoRetry", "Error"),
    errors.UntrustedError: ("NoRetry", "Error"),
    errors.StaleSourceError: ("NoRetry", "Error"),
    errors.DoubtfulSidecarError: ("NoRetry", "Error"),
    errors.ForbiddenError: ("NoRetry", "Error"),
    errors.SpentKeysError: ("NoRetry", "Error"),
    errors.SettingsError: ("NoRetry", "Error"),
    errors.UpstreamError: ("Server", "Error"),
}


def translated(error: BaseException) -> HarmonyException:
    with pytest.raises(HarmonyException) as caught, as_harmony_exceptions():
        raise error
    return caught.value


def subclasses(kind: type) -> set[type]:
    below = {own for child in kind.__subclasses__() for own in subclasses(child)}
    return below | set(kind.__subclasses__())


def test_every_error_of_the_package_has_an_expectation_here() -> None:
    assert subclasses(errors.VdsError) == set(EXPECTED)


@pytest.mark.parametrize("kind", EXPECTED)
def test_error_group_decides_category_and_level(kind: type[errors.VdsError]) -> None:
    told = translated(kind("Ask for less."))
    assert (told.category, told.level, told.message) == (*EXPECTED[kind], "Ask for less.")


def test_unexpected_exception_is_the_services_fault_and_still_says_what_happened() -> None:
    told = translated(ZeroDivisionError("division by zero"))
    assert (told.category, told.level) == ("Service", "Error")
    assert "ZeroDivisionError: division by zero" in told.message
    assert "unknown error" not in told.message


def test_harmonys_own_exceptions_pass_unchanged() -> None:
    original = CanceledException("stopped")
    assert translated(original) is original


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\n  b\t", "x" * 5000, "line\n" * 900, f"token {CANARY} here", "é" * 2000]
)
def test_messages_are_one_line_under_a_thousand_characters_without_secrets(text: str) -> None:
    keep_secret(CANARY)
    for error in (errors.StoreError(text), ValueError(text)):
        message = translated(error).message
        assert len(message) < 1000
        assert len(message.splitlines()) == 1
        assert CANARY not in message


def test_short_message_is_not_cut() -> None:
    assert one_line("x" * 990) == "x" * 990
    assert one_line("x" * 991).endswith("…")

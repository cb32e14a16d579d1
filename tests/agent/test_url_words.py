"""What curl is told and says, and what that means for a copy."""

import pytest

from agent.freight.curl import config, meter, verdict

METER = """  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current
                                 Dload  Upload   Total   Spent    Left  Speed
\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0
\r 45 1024M   45  461M    0     0  50.1M      0  0:00:20  0:00:09  0:00:11 52.3M"""
SENDING = "\r 12 2048M    0     0   12  250M      0  31.1M  0:01:05  0:00:08  0:00:57 30.9M"


def test_how_far_it_is() -> None:
    down = meter(METER, is_upload=False)
    assert down is not None
    assert (down.share, str(down)) == (0.45, "461M of 1024M, 52.3M/s")
    up = meter(SENDING, is_upload=True)
    assert up is not None
    assert str(up) == "250M of 2048M, 30.9M/s"
    assert meter("curl: (7) refused", is_upload=False) is None


def test_any_text_is_one_value() -> None:
    settings = [("fail", ""), ("user", 'a"b\\c:d'), ("url", "https://h/?q=1#x")]
    assert config(settings) == b'fail\nuser = "a\\"b\\\\c:d"\nurl = "https://h/?q=1#x"\n'


@pytest.mark.parametrize(
    ("code", "told", "state", "reason"),
    [
        (0, METER, "done", ""),
        (22, "curl: (22) The requested URL returned error: 404", "failed", "http_404"),
        (22, "curl: (22) The requested URL returned error: 410", "failed", "http_410"),
        (22, "curl: (22) The requested URL returned error: 503", "again", "cut_off"),
        (22, "curl: (22) The requested URL returned error: 416", "anew", "no_ranges"),
        (33, "curl: (33) HTTP server doesn't seem to support byte ranges.", "anew", "no_ranges"),
        (23, "curl: (23) Failure writing output to destination", "failed", "disk_full"),
        (26, "", "failed", "no_such_path"),
        (18, "curl: (18) transfer closed with 5 bytes remaining to read", "again", "cut_off"),
        (6, "curl: (6) Could not resolve host: nowhere", "again", "cut_off"),
        (60, "curl: (60) SSL certificate problem: self-signed certificate", "failed", "copy_failed"),
        (127, "There is no curl.", "failed", "no_curl"),
        (137, "", "failed", "stopped"),
        (None, "", "again", "cut_off"),
    ],
)
def test_how_a_try_ended(code: int | None, told: str, state: str, reason: str) -> None:
    seen = verdict(code, told)
    assert (seen.state, seen.reason) == (state, reason)


def test_the_reason_is_in_curls_words() -> None:
    told = f"{METER}\ncurl: (60) SSL certificate problem: expired\nMore details here: https://curl.se/docs\n"
    assert verdict(60, told).message == "(60) SSL certificate problem: expired"

"""Which volumes there can be, where they can be mounted, and how their states follow one another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting.domain import volumes as rules


@pytest.mark.parametrize(
    "path", ["/data", "/workspace/sets", "/root/volume", "/home/me/x", "/usr/local/share", "/var/x"]
)
def test_ordinary_paths(path: str) -> None:
    assert rules.path_problem(rules.clean_path(path)) == ""


@pytest.mark.parametrize(
    "path",
    [
        "",
        "data",
        "/",
        "//",
        "/root",
        "/root/",
        "/root/.ssh",
        "/etc",
        "/etc/ssh",
        "/proc/1",
        "/dev/shm",
        "/.spotyard/tools",
        "/usr",
        "/usr/bin",
        "/lib64/x",
        "/a/../etc",
        "/../etc",
        "/a:b",
        "/a,b",
        "/a\n",
        "/" + "x" * 255,
    ],
)
def test_paths_that_are_refused(path: str) -> None:
    assert rules.path_problem(rules.clean_path(path))


@given(st.text(alphabet="/.ae tcroys", max_size=20))
def test_whatever_is_typed_never_reaches_a_system_directory(text: str) -> None:
    path = rules.clean_path(text)
    if rules.path_problem(path) == "":
        assert path.startswith("/")
        assert rules.clean_path(path) == path
        first = path.split("/")[1]
        assert first not in ("", ".", "..", "etc", "proc", "sys", "dev")


def test_two_volumes_need_two_paths() -> None:
    assert rules.paths_problem(["/a", "/b"]) == ""
    assert "same path" in rules.paths_problem(["/a", "/a"])
    assert "at most 8" in rules.paths_problem([f"/{number}" for number in range(9)])


@pytest.mark.parametrize("label", ["", "data", "my-data.v2", "V.x", "0x"])
def test_names(label: str) -> None:
    assert rules.label_problem(label) == ""


@pytest.mark.parametrize("label", ["12", "V.12", "-x", "a b", "ü", "a/b", "x" * 65, "a:b"])
def test_names_that_are_refused(label: str) -> None:
    assert rules.label_problem(label)


@given(st.lists(st.sampled_from(rules.STATES), min_size=2, max_size=8))
def test_whoever_is_given_up_never_comes_back(way: list[str]) -> None:
    walked = [way[0]]
    for state in way[1:]:
        if rules.may_become(walked[-1], state):
            walked.append(state)
    if rules.DELETING in walked:
        assert walked[walked.index(rules.DELETING) + 1 :] in ([], [rules.DELETED])

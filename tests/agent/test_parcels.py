"""What is taken in as a disk that somebody else's machine has sent."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from agent.freight.parcel import require_only, unpacked
from agent.jobs.kinds import JobError

IMAGE = "spotyard-disk/spotyard-1-2-abc:sent-7"
NAMED = {"manifest.json": [{"RepoTags": [IMAGE]}], "repositories": {IMAGE.rpartition(":")[0]: {"sent-7": "x"}}}


def packed(tmp_path: Path, *files: tuple[str, Any]) -> Path:
    path = tmp_path / "part-0.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("layer.tar", "x"), *files):
            data = json.dumps(content).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_an_image_with_its_own_name_is_taken(tmp_path: Path) -> None:
    require_only(packed(tmp_path, *NAMED.items()), IMAGE)
    index = {"manifests": [{"annotations": {"io.containerd.image.name": f"docker.io/{IMAGE}"}}]}
    require_only(packed(tmp_path, *NAMED.items(), ("index.json", index)), IMAGE)


@pytest.mark.parametrize(
    "files",
    [
        [],
        [("manifest.json", [{"RepoTags": [IMAGE, "spotyard/dlperf:1"]}])],
        [("manifest.json", [{"RepoTags": ["ubuntu:22.04"]}])],
        [("manifest.json", [{"RepoTags": [IMAGE]}]), ("manifest.json", [{"RepoTags": ["ubuntu:22.04"]}])],
        [("manifest.json", [{"RepoTags": [IMAGE]}]), ("./manifest.json", [{"RepoTags": ["ubuntu:22.04"]}])],
        [("manifest.json", [{"RepoTags": [IMAGE]}]), ("repositories", {"ubuntu": {"22.04": "x"}})],
        [
            ("manifest.json", [{"RepoTags": [IMAGE]}]),
            (
                "index.json",
                {"manifests": [{"annotations": {"io.containerd.image.name": "docker.io/ubuntu:1"}}]},
            ),
        ],
        [("manifest.json", {"RepoTags": 1})],
        [("manifest.json", "nonsense")],
    ],
)
def test_one_that_brings_names_of_others_is_refused(tmp_path: Path, files: list[tuple[str, Any]]) -> None:
    with pytest.raises(JobError, match="not the disk of an instance"):
        require_only(packed(tmp_path, *files), IMAGE)


def test_only_disks_have_such_names(tmp_path: Path) -> None:
    with pytest.raises(JobError):
        require_only(packed(tmp_path, ("manifest.json", [{"RepoTags": ["ubuntu:22.04"]}])), "ubuntu:22.04")
    (tmp_path / "part-0.gz").write_bytes(b"nothing")
    with pytest.raises(JobError):
        require_only(tmp_path / "part-0.gz", IMAGE)


def test_no_more_is_unpacked_than_there_is_room_for(tmp_path: Path) -> None:
    path = tmp_path / "part-1.gz"
    path.write_bytes(gzip.compress(bytes(5 << 20)))
    assert sum(map(len, unpacked(path, 5 << 20))) == 5 << 20
    with pytest.raises(JobError, match="larger than its sender said"):
        list(unpacked(path, 4 << 20))

"""What the ways in do with what their widgets hold."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFile, UploadedFileRec

from core.ui import inputs, keep
from core.ui.keep import Origin


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A session's state without a server."""
    state: dict[str, Any] = {}
    monkeypatch.setattr(inputs.st, "session_state", state)
    return state


def uploaded(name: str) -> UploadedFile:
    return UploadedFile(UploadedFileRec(name, name, "image/jpeg", b"content"), FileURLs())


def shelf(name: str) -> list[str]:
    return [media.name for media in keep.shelf(name)]


def test_files_are_taken_once_and_the_uploader_is_made_afresh(session: dict[str, Any]) -> None:
    session["face_upload_0"] = [uploaded("one.jpg"), uploaded("two.jpg")]
    inputs._take("face", "face_upload_0", "upload", "", False)
    assert shelf("face") == ["one.jpg", "two.jpg"]
    assert session["duet.count.face_upload"] == 1


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ([DeletedFile("1"), DeletedFile("2")], "upload"),
        (DeletedFile("1"), "upload"),
        (DeletedFile("1"), "camera"),
        ([], "upload"),
        (None, "microphone"),
    ],
)
def test_a_second_call_for_files_that_are_taken_already_changes_nothing(
    session: dict[str, Any], value: Any, origin: Origin
) -> None:
    """Streamlit makes it where a click interrupts the run that an upload began."""
    session["face_upload_0"] = [uploaded("one.jpg")]
    inputs._take("face", "face_upload_0", "upload", "", False)
    before = dict(session)
    session["face_upload_0"] = value
    inputs._take("face", "face_upload_0", origin, "", False)
    assert shelf("face") == ["one.jpg"]
    assert session == {**before, "face_upload_0": value}


def test_new_files_beside_taken_ones_are_taken(session: dict[str, Any]) -> None:
    session["face_upload_0"] = [DeletedFile("1"), uploaded("two.jpg")]
    inputs._take("face", "face_upload_0", "upload", "", False)
    assert shelf("face") == ["two.jpg"]

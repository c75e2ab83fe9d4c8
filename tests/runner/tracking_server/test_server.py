"""Which MLflow server is started: chosen once, kept where the data is, and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import BackendError, JobError
from runner.tracking_server import server as tracking_server
from runner.tracking_server.place import COMPOSE, LOCAL, Server, note_kind, place, used_kinds
from runner.tracking_server.server import Choice, choose


def never_asked() -> str:
    raise AssertionError("Docker was asked where it decides nothing")


def test_the_first_server_is_a_container_where_one_can_be_had() -> None:
    """With an engine and Compose the container is taken, else the process, with the reason."""
    assert choose("auto", [], lambda: None).kind == COMPOSE
    chosen = choose("auto", [], lambda: "no Docker engine answers")
    assert chosen == Choice(kind=LOCAL, reason="no container: no Docker engine answers")


@pytest.mark.parametrize("wanted", [LOCAL, COMPOSE])
def test_what_is_asked_for_is_taken(wanted: str) -> None:
    """An option or variable decides, whatever was used before."""
    assert choose(wanted, [LOCAL, COMPOSE], never_asked).kind == wanted


def test_a_server_stays_with_its_data() -> None:
    """Docker installed later does not hide the runs in the local database, nor the reverse."""
    assert choose("auto", [COMPOSE, LOCAL], never_asked).kind == LOCAL
    assert choose("auto", [LOCAL, COMPOSE], lambda: None).kind == COMPOSE


def test_data_in_a_volume_is_not_left_for_an_empty_database() -> None:
    """An engine that is away is an error that names the way on, not a server without the runs."""
    with pytest.raises(BackendError, match="tracking-server-elsewhere") as caught:
        choose("auto", [COMPOSE], lambda: "no Docker engine answers")
    assert "no Docker engine answers" in caught.value.what
    assert "--server local" in caught.value.fix


def test_kinds_are_remembered_with_the_current_one_last(tmp_path: Path) -> None:
    """A folder from before kinds were noted has a local database; switching keeps both."""
    where = place(tmp_path)
    assert used_kinds(where) == []
    where.folder.mkdir()
    where.database.touch()
    assert used_kinds(where) == [LOCAL]
    note_kind(where, COMPOSE)
    assert used_kinds(where) == [LOCAL, COMPOSE]
    note_kind(where, LOCAL)
    assert used_kinds(where) == [COMPOSE, LOCAL]
    where.kinds.write_text("torn")
    assert used_kinds(where) == [LOCAL]


def test_data_of_the_other_server_is_named(tmp_path: Path) -> None:
    """After a switch `up` says where the earlier runs lie."""
    local = Server(kind=LOCAL, url="http://127.0.0.1:1", data="here", log="log")
    place(tmp_path).folder.mkdir()
    note_kind(place(tmp_path), LOCAL)
    assert tracking_server.other_data(tmp_path, local) is None
    note_kind(place(tmp_path), COMPOSE)
    assert "Docker volume trainbox-" in str(tracking_server.other_data(tmp_path, local))


def test_a_kind_that_does_not_exist_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt TRAINBOX_MLFLOW_SERVER starts nothing."""
    monkeypatch.setenv("TRAINBOX_MLFLOW_SERVER", "dokcer")
    with pytest.raises(JobError, match="`dokcer`, expected compose, local or auto"):
        tracking_server.up(tmp_path)


def test_the_address_of_the_environment_wins_over_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is MLFLOW_TRACKING_URI where it is set, else the server of these runs (None)."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:1")
    assert tracking_server.explicit_uri("auto") == "http://team:1"
    assert tracking_server.explicit_uri("http://own:2") == "http://own:2"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_server.explicit_uri("auto") is None

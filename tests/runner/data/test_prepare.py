"""Every row of a job's data is accounted for, and a second start takes it from the cache."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.data.prepare import PreparedData, load_prepared, prepare
from runner.errors import DataError, Faults, TrainboxError
from tests.runner.data.chats import CHATS, SINGLE, chat
from tests.runner.data.conftest import Workshop, in_job
from tests.runner.plans import tiny_job

GOOD = {"messages": SINGLE}
PLANTED = "zebra-marmalade-forty-two"


def questions(count: int) -> list[dict[str, Any]]:
    """Return rows that differ from each other."""
    return [{"messages": chat(f"u:What is {i}?", f"a:It is {i * i}.")} for i in range(count)]


def refused(workshop: Workshop, rows: Any, **settings: Any) -> TrainboxError:
    with pytest.raises(TrainboxError) as caught:
        workshop.prepare(rows, **settings)
    return caught.value


def test_arrays_are_as_documented(workshop: Workshop) -> None:
    """All arrays have the types and lengths of docs/architecture.md; rows are counted from 1."""
    prepared = workshop.prepare(questions(5))
    arrays = load_prepared(prepared.train.path)
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "input_ids": "int32",
        "offsets": "int64",
        "supervised": "bool",
        "rows": "int32",
    }
    assert arrays["rows"].tolist() == [[0, row] for row in range(1, 6)]
    assert len(arrays["offsets"]) == 6
    assert arrays["offsets"][-1] == len(arrays["input_ids"]) == len(arrays["supervised"])
    assert prepared.train.num_tokens == len(arrays["input_ids"])
    assert prepared.train.num_supervised_tokens == arrays["supervised"].sum()


def test_second_preparation_comes_from_the_cache(workshop: Workshop) -> None:
    """The same job again reads no row, and says so."""
    first, second = (workshop.prepare(questions(5)) for _ in range(2))
    assert (first.report.from_cache, second.report.from_cache) == (False, True)
    assert second.train == first.train
    assert second.report.to_dict() | {"from_cache": False} == first.report.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"max_length": 256},
        {"loss_on": "all"},
        {"on_too_long": "drop"},
        {"on_bad_row": "drop"},
        {"val_size": 0.4},
        {"source": {"weight": 2.0}},
        {"rows": questions(6)},
        {"chat_template": "other.jinja"},
    ],
)
def test_change_that_may_change_a_token_is_prepared_anew(
    workshop: Workshop, change: dict[str, Any]
) -> None:
    """Bytes of the data and every setting that decides are part of the cache's key."""
    workshop.write(
        "other.jinja", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    workshop.prepare(questions(5))
    again = workshop.prepare(**{"rows": questions(5), **change})
    assert not again.report.from_cache


def test_other_code_prepares_anew(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that another version wrote is not taken for this one's."""
    workshop.prepare(questions(5))
    monkeypatch.setattr("runner.data.prepare.code_sha256", lambda: "of another version")
    assert not workshop.prepare(questions(5)).report.from_cache


@pytest.mark.parametrize("seeded", [False, True])
def test_seed_counts_where_it_decides_something(workshop: Workshop, seeded: bool) -> None:
    """Another seed means another preparation only with val_size or a broken weight."""
    settings: dict[str, Any] = {"source": {"weight": 0.5 if seeded else 1.0}}
    workshop.prepare(questions(9), train={"seed": 1}, **settings)
    again = workshop.prepare(questions(9), train={"seed": 2}, **settings)
    assert again.report.from_cache == (not seeded)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "entry"])
def test_damaged_cache_entry_is_built_anew(workshop: Workshop, damage: str) -> None:
    """A flipped byte, a torn file or a lost one is noticed by its hash."""
    first = workshop.prepare(questions(5)).train
    path = Path(first.path)
    raw = path.read_bytes()
    if damage == "flip":
        path.write_bytes(raw[:200] + bytes([raw[200] ^ 1]) + raw[201:])
    elif damage == "cut":
        path.write_bytes(raw[:-10])
    elif damage == "remove":
        path.unlink()
    else:
        path.with_name("entry.json").write_text("{")
    again = workshop.prepare(questions(5))
    assert not again.report.from_cache
    assert again.train == first and path.read_bytes() == raw


def test_cache_is_for_its_owner_alone(workshop: Workshop) -> None:
    """Folder 0700, files 0600: they hold training data."""
    path = Path(workshop.prepare(questions(5)).train.path)
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.with_name("entry.json"))]
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not list(path.parent.parent.glob(".*"))


def test_faults_of_all_rows_are_reported_together(workshop: Workshop) -> None:
    """Three kinds of fault in one file: one error each, every line named."""
    rows = [
        GOOD,
        {"messages": [{"role": "user", "content": ""}, SINGLE[1]]},
        {"mesages": SINGLE},
        {"messages": [{"role": "user", "content": " "}, SINGLE[1]]},
        GOOD,
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + "{broken\n"
    error = refused(workshop, text)
    assert isinstance(error, Faults)
    assert [fault.id for fault in error.faults] == [
        "data-empty-content",
        "data-missing-column",
        "data-bad-json",
    ]
    shown = error.render()
    for place in ("train.jsonl:2  messages[0].content", "train.jsonl:4", "train.jsonl:3"):
        assert place in shown
    assert "train.jsonl:6  column 2" in shown
    assert error.exit_code == 2


def test_many_faults_of_one_kind_are_counted(workshop: Workshop) -> None:
    """Twenty places are shown, the rest is a number."""
    error = refused(workshop, [{"text": "a"}] * 451)
    assert "(451 rows)" in error.what
    assert str(error.where).count("train.jsonl:") == 20
    assert "and 431 more, same fault" in str(error.where)


def test_bad_rows_can_be_dropped_and_are_counted(workshop: Workshop) -> None:
    """on_bad_row: drop keeps the good rows; each drop has its reason in the report."""
    rows = [*questions(3), {"messages": []}, {"messages": chat("u:Hello")}, {"text": "a"}]
    report = workshop.prepare(rows, on_bad_row="drop").report
    assert report.sources[0].rows_read == 6 and report.sources[0].rows_used == 3
    assert report.sources[0].dropped == {
        "data-empty-content": 1,
        "data-no-assistant": 1,
        "data-missing-column": 1,
    }
    assert (
        "train.jsonl: rows dropped: 1 data-empty-content (line 4), 1 data-no-assistant (line 5), "
        "1 data-missing-column (line 6)"
    ) in report.warnings()


def test_source_of_which_nothing_is_left_is_refused(workshop: Workshop) -> None:
    """Dropping every row is no way to train."""
    error = refused(workshop, [{"text": "a"}], on_bad_row="drop")
    assert error.id == "data-no-samples"
    assert "1 read, 1 dropped as data-missing-column" in error.what


def test_long_sample_is_an_error_unless_asked_otherwise(workshop: Workshop) -> None:
    """By default nothing is cut: the line, its tokens and the limit are named."""
    error = refused(
        workshop, [GOOD, {"messages": chat("u:Hello", "a:" + "no " * 90)}], max_length=64
    )
    assert error.id == "data-too-long"
    assert "train.jsonl:2" in str(error.where) and "limit 64" in str(error.where)


def test_long_sample_can_be_dropped(workshop: Workshop) -> None:
    """on_too_long: drop counts what it leaves out."""
    rows = [GOOD, {"messages": chat("u:Hello", "a:" + "no " * 90)}]
    report = workshop.prepare(rows, max_length=64, on_too_long="drop").report
    assert report.sources[0].dropped == {"data-too-long": 1}


def test_long_sample_can_be_cut_and_one_without_answer_left_is_dropped(workshop: Workshop) -> None:
    """on_too_long: truncate cuts the end; where no supervised token is left the row goes."""
    rows = [
        {"messages": chat("u:Hello", "a:" + "no " * 90)},
        {"messages": chat("u:" + "no " * 90, "a:Yes.")},
    ]
    prepared = workshop.prepare(rows, max_length=64, on_too_long="truncate")
    [(ids, flags)] = workshop.samples(prepared.train)
    assert len(ids) == 64 and any(flags)
    source = prepared.report.sources[0]
    assert (source.truncated, source.dropped) == (1, {"data-truncated-away": 1})


def test_no_text_of_a_sample_reaches_an_error_or_the_report(workshop: Workshop) -> None:
    """A planted sentence is found nowhere but in the prepared arrays."""
    bad: list[Any] = [
        {PLANTED + " " + PLANTED: "a"},
        {"messages": PLANTED},
        {"messages": [{"role": PLANTED + " says", "content": PLANTED}]},
        {"messages": [{"role": "user", "content": PLANTED}]},
        {"messages": chat("u:" + PLANTED, "a:" + PLANTED * 200)},
        {"messages": chat("u:\0" + PLANTED, "a:b")},
    ]
    text = "".join(json.dumps(row) + "\n" for row in bad) + f'{{"{PLANTED}": {PLANTED}}}\n'
    error = refused(workshop, text)
    good = [{"messages": chat("u:" + PLANTED, "a:" + PLANTED)}] * 2
    report = workshop.prepare(good).report
    assert PLANTED not in error.render() + json.dumps(error.to_dict())
    assert PLANTED not in json.dumps(report.to_dict())


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("trian.jsonl", "data-missing-file"),
        ("no/such/folder.jsonl", "data-missing-file"),
        ("empty.jsonl", "data-empty-file"),
        ("folder.jsonl", "data-not-a-file"),
        ("notes.txt", "data-unknown-suffix"),
        ("wide.jsonl", "data-not-utf8"),
    ],
)
def test_source_that_cannot_be_opened_names_its_line_in_the_job(
    workshop: Workshop, path: str, id: str
) -> None:
    """The error stands where the job names the file, before anything is read."""
    workshop.write("train.jsonl", [GOOD])
    workshop.write("empty.jsonl", "")
    workshop.write("notes.txt", "a")
    workshop.write("wide.jsonl", "a".encode("utf-16"))
    (workshop.folder / "folder.jsonl").mkdir()
    job = tiny_job(data={"train": [{"path": path}], "max_length": 64})
    with pytest.raises(DataError) as caught:
        prepare(job, workshop.tokenizer, where=in_job, cache=workshop.folder / "cache")
    assert caught.value.id == id
    assert str(caught.value.where).startswith(str(in_job("data.train[0].path")))
    assert path != "trian.jsonl" or caught.value.fix == "write `train.jsonl`"


def test_missing_files_are_reported_together(workshop: Workshop) -> None:
    """Two absent files and a wrong column map are three faults of one error."""
    sources = [{"path": "a.jsonl"}, {"path": "b.jsonl", "columns": {"mesages": "c"}}]
    job = tiny_job(data={"train": sources, "max_length": 64})
    with pytest.raises(Faults) as caught:
        prepare(job, workshop.tokenizer, where=in_job, cache=workshop.folder / "cache")
    assert [fault.id for fault in caught.value.faults] == [
        "data-missing-file",
        "data-missing-file",
        "data-unknown-column",
    ]


def test_format_must_fit_the_stage(workshop: Workshop) -> None:
    """sft learns no preference pairs."""
    error = refused(workshop, [GOOD], source={"format": "preference"})
    assert error.id == "data-format-stage"


def test_chat_without_template_is_refused(workshop_for: Callable[..., Workshop]) -> None:
    """A model without chat template cannot render turns."""
    assert refused(workshop_for(None), [GOOD]).id == "data-no-template"


def test_template_that_is_no_jinja_names_its_line(workshop: Workshop) -> None:
    """A template file with a syntax error is an error of that file."""
    workshop.write("own.jinja", "{% for m in messages %}\n{{ m.content }\n{% endfor %}")
    error = refused(workshop, [GOOD], chat_template="own.jinja")
    assert (error.id, str(error.where)) == ("data-bad-template", "own.jinja:2")


def test_val_size_holds_out_a_share_and_no_sample_is_on_both_sides(workshop: Workshop) -> None:
    """A share of the rows is held out; equal rows stay together."""
    prepared = workshop.prepare(questions(20) * 2, val_size=0.25)
    assert prepared.eval is not None and prepared.report.eval is not None
    assert (prepared.train.num_samples, prepared.eval.num_samples) == (30, 10)
    assert prepared.report.eval.in_other_split == 0


def test_split_does_not_depend_on_the_order_of_rows(workshop: Workshop) -> None:
    """The same rows in another order are held out."""
    rows = questions(20)
    held = [
        sorted(ids for ids, _ in workshop.samples(prepared.eval))
        for prepared in (workshop.prepare(one, val_size=5) for one in (rows, rows[::-1]))
        if prepared.eval
    ]
    assert held[0] == held[1] and len(held[0]) == 5


def test_val_size_that_leaves_nothing_is_refused(workshop: Workshop) -> None:
    """Holding out everything is an error at its line of the job."""
    error = refused(workshop, questions(3), val_size=3)
    assert (error.id, error.where) == ("data-val-size", in_job("data.val_size"))


@pytest.mark.parametrize(
    ("weight", "samples"), [(0.5, 5), (1.0, 10), (2.0, 20), (1.3, 13), (0.01, 1)]
)
def test_weight_takes_its_share_of_the_rows(
    workshop: Workshop, weight: float, samples: int
) -> None:
    """0.5 takes half, 2.0 takes each twice, and no source vanishes."""
    prepared = workshop.prepare(questions(10), source={"weight": weight})
    assert prepared.train.num_samples == samples
    assert prepared.report.train.duplicates == 0


def test_duplicates_inside_and_between_splits_are_reported(workshop: Workshop) -> None:
    """Repeated samples, and held-out samples that are trained on, are counted and warned about."""
    workshop.write("eval.jsonl", questions(4))
    prepared = workshop.prepare([*questions(3), *questions(2)], eval=[{"path": "eval.jsonl"}])
    report = prepared.report
    assert report.eval is not None
    assert (report.train.duplicates, report.eval.in_other_split) == (2, 3)
    assert any("held-out loss will look better" in sentence for sentence in report.warnings())


def test_report_names_the_stop_token(workshop: Workshop) -> None:
    """Which token the answers end on, and in how many samples."""
    assert workshop.prepare(questions(3)).report.stop_tokens == {"<|im_end|>": 3}
    assert pairs(workshop, [PAIR]).report.stop_tokens == {"<|im_end|>": 1}


def test_text_of_special_tokens_in_a_row_is_counted(workshop: Workshop) -> None:
    """A row that writes a control token is encoded as transformers does, and counted."""
    report = workshop.prepare([GOOD, {"messages": CHATS["names a token"]}]).report
    assert report.sources[0].notes["control_tokens"].count == 1


def pairs(workshop: Workshop, rows: list[Any], **settings: Any) -> PreparedData:
    return workshop.prepare(rows, stage="dpo", source={"format": "preference"}, **settings)


PAIR = {"prompt": chat("u:Hello"), "chosen": chat("a:Yes."), "rejected": chat("a:No, thank you.")}


def test_pair_is_prompt_chosen_and_rejected(workshop: Workshop) -> None:
    """The ids are those of TRL's DPO trainer: prompt with generation prompt, then the answers."""
    reference = pytest.importorskip("transformers").PreTrainedTokenizerFast.from_pretrained(
        workshop.tokenizer.folder
    )
    arrays = load_prepared(pairs(workshop, [PAIR]).train.path)
    prompt = reference.apply_chat_template(PAIR["prompt"], add_generation_prompt=True)["input_ids"]
    assert arrays["prompt_ids"].tolist() == prompt
    for side in ("chosen", "rejected"):
        whole = reference.apply_chat_template(PAIR["prompt"] + PAIR[side])["input_ids"]
        assert arrays[f"{side}_ids"].tolist() == whole[len(prompt) :]
        assert reference.eos_token_id in arrays[f"{side}_ids"]


def test_pair_of_strings_ends_with_eos(workshop: Workshop) -> None:
    """Plain text pairs get one EOS on both sides."""
    rows = [{"prompt": "One is", "chosen": " two", "rejected": " nine"}]
    arrays = load_prepared(pairs(workshop, rows).train.path)
    eos = workshop.tokenizer.eos_id
    assert arrays["chosen_ids"][-1] == arrays["rejected_ids"][-1] == eos
    assert workshop.tokenizer.decode(arrays["prompt_ids"].tolist()) == "One is"


def test_answers_of_a_long_pair_are_cut_and_one_without_answer_is_dropped(
    workshop: Workshop,
) -> None:
    """Truncation keeps the prompt; a pair whose prompt fills the limit goes."""
    rows = [
        {**PAIR, "chosen": chat("a:" + "no " * 90)},
        {**PAIR, "prompt": chat("u:" + "no " * 90)},
    ]
    prepared = pairs(workshop, rows, max_length=40, on_too_long="truncate")
    assert (prepared.train.num_samples, prepared.train.longest) == (1, 40)
    assert prepared.report.sources[0].dropped == {"data-truncated-away": 1}


def test_counts_of_pairs_are_those_the_model_sees(workshop: Workshop) -> None:
    """The prompt counts twice, both answers carry loss."""
    prepared = pairs(workshop, [PAIR])
    lengths = {
        name: len(array)
        for name, array in load_prepared(prepared.train.path).items()
        if name.endswith("_ids")
    }
    answers = lengths["chosen_ids"] + lengths["rejected_ids"]
    assert prepared.train.num_supervised_tokens == answers
    assert prepared.train.num_tokens == 2 * lengths["prompt_ids"] + answers

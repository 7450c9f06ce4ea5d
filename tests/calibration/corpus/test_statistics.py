"""The table of a corpus counts what the paper's table counts; figures here were counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibration.corpus.reading import read_corpus
from calibration.corpus.sentences import CorpusError
from calibration.corpus.statistics import statistics
from run_stream import main
from tests.calibration.corpus.miniature import phoenix_2014t
from tests.stream.clips import write_clip

PHOENIX = Path("../shared/data/phoenix2014t")


def test_phoenix_in_miniature_is_counted(tmp_path: Path) -> None:
    table = statistics(read_corpus(phoenix_2014t(tmp_path)))
    train, test = table["train"], table["test"]
    assert (train.signers, train.frames, train.sentences) == (2, 12, 3)  # 5 + 4 + 3 pictures
    assert train.hours == pytest.approx(12 / 25 / 3600)
    # JETZT WETTER MORGEN, ORT REGEN REGEN, WETTER: seven glosses, five different, three of them once
    assert (train.running_glosses, train.vocabulary, train.singletons) == (7, 5, 3)
    assert (test.running_glosses, test.vocabulary, test.unseen_glosses) == (3, 2, 1)  # SCHNEE
    assert test.unseen_percent == pytest.approx(100 / 3)


def test_lengths_of_videos_are_counted(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 30, fps=30)
    (tmp_path / "train.tsv").write_text("a\tREGEN\n", encoding="utf-8")
    train = statistics(read_corpus(tmp_path))["train"]
    assert train.frames == 30
    assert train.hours == pytest.approx(1 / 3600)


def test_a_video_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (tmp_path / "train.tsv").write_text("a\tREGEN\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"a\.mp4 cannot be read as a video"):
        statistics(read_corpus(tmp_path))


def test_a_corpus_without_training_has_nothing_to_compare_with(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("a\tREGEN\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="has no split 'train'; it has dev"):
        statistics(read_corpus(tmp_path))


def test_the_command_prints_dashes_for_what_text_does_not_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.tsv").write_text("a\tREGEN WIND\nb\tREGEN\n", encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("c\tREGEN SCHNEE\n", encoding="utf-8")
    assert main(["corpus", "stats", str(tmp_path)]) == 0
    lines = {
        line.strip().split("  ")[0]: line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.strip()
    }
    assert lines["hours"][-2:] == ["-", "-"]
    assert lines["running glosses"][-2:] == ["3", "2"]
    assert lines["out of vocabulary, % of running"][-2:] == ["-", "50.00"]


@pytest.mark.skipif(not PHOENIX.exists(), reason="../shared/data/phoenix2014t is not there")
def test_phoenix_2014t_is_counted_as_it_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "stats", str(PHOENIX), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["corpus"]
    # as ../shared/data/README.md tells
    assert [table[split]["sentences"] for split in ("train", "dev", "test")] == [7096, 519, 642]
    assert table["train"]["vocabulary"] == 1085
    assert table["train"]["hours"] is None

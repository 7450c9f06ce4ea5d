"""Miniatures of corpora in the very layout in which they are distributed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def frames(folder: Path, count: int) -> None:
    """`count` pictures named as PHOENIX names them; the blue channel tells the number."""
    folder.mkdir(parents=True)
    for number in range(count):
        picture = np.full((260, 210, 3), (number, 90, 60), np.uint8)
        cv2.imwrite(str(folder / f"images{number + 1:04}.png"), picture)


def phoenix_2014t(root: Path) -> Path:
    """PHOENIX-2014T: `ID/imagesNNNN.png`, annotations of seven columns."""
    top = root / "PHOENIX-2014-T-release-v3" / "PHOENIX-2014-T"
    manual = top / "annotations" / "manual"
    manual.mkdir(parents=True)
    header = "name|video|start|end|speaker|orth|translation\n"
    for split, rows in {
        "train": [
            ("11August_2010_Wednesday_tagesschau-1", "Signer08", "JETZT WETTER MORGEN", 5),
            ("11August_2010_Wednesday_tagesschau-4", "Signer08", "ORT REGEN REGEN", 4),
            ("01April_2010_Thursday_heute-6695", "Signer04", "WETTER", 3),
        ],
        "dev": [("11August_2010_Wednesday_tagesschau-2", "Signer08", "DRUCK REGEN", 3)],
        "test": [("25October_2010_Monday_tagesschau-17", "Signer01", "REGEN SCHNEE REGEN", 2)],
    }.items():
        lines = [f"{name}|{name}/1/*.png|-1|-1|{who}|{text}|ein satz .\n" for name, who, text, _ in rows]
        (manual / f"PHOENIX-2014-T.{split}.corpus.csv").write_text(header + "".join(lines), encoding="utf-8")
        for name, _, _, count in rows:
            frames(top / "features" / "fullFrame-210x260px" / split / name, count)
    return root


def phoenix_2014(root: Path) -> Path:
    """PHOENIX-2014: `ID/1/*.png`, annotations of four columns, two corpora in one archive."""
    top = root / "phoenix2014-release" / "phoenix-2014-multisigner"
    manual = top / "annotations" / "manual"
    manual.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        name = f"01April_2010_Thursday_heute_default-{len(split)}"
        (manual / f"{split}.corpus.csv").write_text(
            f"id|folder|signer|annotation\n{name}|{name}/1/*.png|Signer04|__ON__ LIEB ZUSCHAUER __OFF__\n",
            encoding="utf-8",
        )
        frames(
            top / "features" / "fullFrame-210x260px" / split / name / "1",
            {"train": 4, "dev": 3, "test": 2}[split],
        )
    return root

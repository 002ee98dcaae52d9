"""What a data set consists of, to the byte."""

from __future__ import annotations

import csv
import hashlib
import io

from trainer.labelled import Dataset, Split


def manifest_sha256(dataset: Dataset) -> str:
    """The identity of a data set: of its labels, its pictures' bytes and which label each has.

    The same wherever the files lie, whatever they are called and in whatever order they are listed.
    """
    digest = hashlib.sha256()
    digest.update(("\x1f".join(dataset.labels) + "\n").encode())
    lines = sorted(f"{p.sha256} {','.join(map(str, p.present))}\n" for p in dataset.pictures)
    digest.update("".join(lines).encode())
    return digest.hexdigest()


def manifest_csv(split: Split) -> str:
    """The split as a manifest that `load_dataset` reads: `path,label,group,split,sha256`."""
    single = split.train.task == "single_label"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label" if single else "labels", "group", "split", "sha256"])
    rows = [
        (
            dataset.name_of(picture),
            ";".join(dataset.labels[index] for index in picture.present),
            picture.group,
            part,
            picture.sha256,
        )
        for part, dataset in (("train", split.train), ("val", split.val), ("test", split.test))
        for picture in dataset.pictures
    ]
    writer.writerows(sorted(rows))
    return text.getvalue()

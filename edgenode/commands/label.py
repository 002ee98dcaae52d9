"""`edgenode label`: a page on this machine on which a person says what pictures show."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from edgenode.errors import DataError


@click.command("label")
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--labels", "labels", help="The classes, such as ok,defect; else those of the model that looked."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The training folder. Default: SOURCE itself; for a state directory ./labelled.",
)
@click.option("--several", is_flag=True, help="A picture may have several labels at once, or none.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: any that is free.")
def label_command(source: Path, labels: str | None, out: Path | None, several: bool, port: int) -> None:
    """Label the pictures that a node kept in its state directory, or those of any folder, by keyboard.

    Serves a page on loopback and prints its link, which works once; from another machine:
    `ssh -L 8000:127.0.0.1:8000 gateway` with --port 8000. Fills a folder that `edgenode-trainer fit` reads. Ctrl-C
    ends it; the same command goes on where it was.
    """
    from edgenode.collect.store import FOLDER
    from edgenode.labelling.desk import LabellingDesk
    from edgenode.labelling.folder import MANIFEST, TrainingFolder
    from edgenode.labelling.pictures import find_pictures, label_problem
    from edgenode.pages.server import PageServer

    if out is None:
        out = Path("labelled") if (source / FOLDER).is_dir() else source
    subject = find_pictures(source, out)
    given = [label.strip() for label in labels.split(",")] if labels is not None else list(subject.labels)
    for label in given:
        if (problem := label_problem(label)) is not None:
            raise DataError(f"--labels: {problem}")
    multi_label = several or subject.multi_label
    folder = TrainingFolder(out, multi_label).open(subject.pictures)
    server = None
    try:
        known = tuple(dict.fromkeys([*given, *folder.labels()]))
        desk = LabellingDesk(subject, folder, known)
        server = PageServer.of_command(
            "label", desk, port, lambda link: click.echo(f"The link had been used; a new one:\n  {link}")
        )
        server.start()
        left = desk.counts().get("", 0)
        click.echo(
            f"{left} of {len(subject.pictures)} pictures to label. Open on this machine:\n  {server.link}"
        )
        click.echo("Ctrl-C ends it; nothing is lost.")
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo()
    finally:
        if server is not None:
            server.stop()
        folder.close()
    counts = desk.counts()
    click.echo(", ".join(f"{name or 'not yet labelled'}: {count}" for name, count in sorted(counts.items())))
    data = out / MANIFEST if multi_label else out
    click.echo(f"edgenode-trainer fit {data} --out model.onnx")

"""What the labelling page asks for and says."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from edgenode.errors import DataError
from edgenode.labelling.folder import Said, TrainingFolder
from edgenode.labelling.pictures import Picture, Subject, label_problem
from edgenode.pages.server import Reply, json_reply
from edgenode.records import JsonObject

_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
}
UNUSABLE = "unusable"


class LabellingDesk:
    """A page's content: the pictures of `subject`, answered into `folder`, which is open. Thread-safe."""

    def __init__(self, subject: Subject, folder: TrainingFolder, labels: tuple[str, ...]) -> None:
        self._pictures = subject.pictures
        self._folder = folder
        self._labels = list(labels)
        self._lock = threading.Lock()

    def get(self, path: str) -> Reply | None:
        if path == "/api/queue":
            with self._lock:
                return json_reply(
                    {
                        "out": str(self._folder.path),
                        "labels": self._labels,
                        "multi_label": self._folder.multi_label,
                        "pictures": [self._shown(picture) for picture in self._pictures],
                    }
                )
        if path.startswith("/picture/"):
            return _picture_reply(self._picture(path.removeprefix("/picture/")).path)
        return None

    def post(self, path: str, value: JsonObject) -> Reply | None:
        with self._lock:
            if path == "/api/answer":
                picture = self._picture(str(value.get("picture")))
                answer = value.get("answer")
                if answer is None:
                    self._folder.take_back(picture)
                else:
                    self._folder.put(picture, _said(answer))
                return json_reply({"answer": self._answer(picture)})
            if path == "/api/label":
                label = str(value.get("label"))
                problem = label_problem(label)
                if problem is not None:
                    raise DataError(problem)
                if label not in self._labels:
                    self._labels.append(label)
                return json_reply({"labels": self._labels})
        return None

    def counts(self) -> dict[str, int]:
        """How many pictures have each label, `unusable`, or nothing yet (empty name)."""
        counts: Counter[str] = Counter()
        with self._lock:
            for picture in self._pictures:
                was_said, said = self._folder.said(picture.name)
                counts.update([""] if not was_said else [UNUSABLE] if said is None else said or ["none"])
        return dict(counts)

    def _picture(self, number: str) -> Picture:
        if not number.isdecimal() or int(number) >= len(self._pictures):
            raise DataError("there is no such picture")
        return self._pictures[int(number)]

    def _answer(self, picture: Picture) -> JsonObject | None:
        was_said, said = self._folder.said(picture.name)
        if not was_said:
            return None
        return {"unusable": said is None, "labels": list(said or ())}

    def _shown(self, picture: Picture) -> JsonObject:
        kept = picture.kept
        shown: JsonObject = {"name": picture.name, "answer": self._answer(picture)}
        if kept is not None:
            shown |= {
                "camera": kept.camera,
                "region": kept.region,
                "why": kept.why,
                "at": kept.captured_at.isoformat(timespec="seconds"),
                "model": f"{kept.model.name} {kept.model.version}",
                "label": kept.label,
                "probabilities": kept.probabilities,
                "shadow": kept.shadow
                and {"label": kept.shadow.label, "probability": kept.shadow.probability},
            }
        return shown


def _said(answer: object) -> Said:
    if answer == UNUSABLE:
        return None
    if isinstance(answer, list) and all(isinstance(label, str) for label in answer):
        return tuple(answer)
    raise DataError('an answer is a list of labels, "unusable" or null')


def _picture_reply(path: Path) -> Reply:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}") from error
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        import cv2

        from edgenode.capture.pictures import decode_picture

        ok, encoded = cv2.imencode(".png", cv2.cvtColor(decode_picture(data), cv2.COLOR_RGB2BGR))
        if not ok:
            raise DataError(f"{path.name} cannot be shown")
        return Reply(bytes(encoded.tobytes()), "image/png")
    return Reply(data, kind)

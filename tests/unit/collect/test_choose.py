"""Which samples are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from edgenode.collect.choose import Chooser, ModelFacts, margin_of
from edgenode.records import Prediction
from edgenode.settings.collect import CollectRuleSettings
from tests.unit.collect.parts import answer


class Desk:
    def __init__(
        self, *rules: CollectRuleSettings, facts: ModelFacts | None = None, draw: float = 1.0
    ) -> None:
        self.refused: list[tuple[str, str]] = []
        self.chooser = Chooser(list(rules), facts or ModelFacts(), lambda: draw)

    def why(self, prediction: Prediction, second: str | None = None) -> str | None:
        choice = self.chooser.choose(prediction, second, lambda *what: self.refused.append(what))
        return choice.why if choice is not None else None


def rule(**more: object) -> CollectRuleSettings:
    return CollectRuleSettings.model_validate({"name": "hard", **more})


def test_a_margin_is_the_lead_of_the_first_label() -> None:
    assert margin_of(np.array([0.1, 0.7, 0.2], np.float32), False) == pytest.approx(0.5)
    assert margin_of(np.array([1.0], np.float32), False) == 1.0


def test_of_several_labels_the_least_decided_one_counts() -> None:
    assert margin_of(np.array([0.99, 0.4, 0.02], np.float32), True) == pytest.approx(0.2)


def test_undecided_answers_are_chosen_and_sure_ones_are_not() -> None:
    desk = Desk(rule(margin=0.2))
    assert desk.why(answer(0.9, 0.1)) is None
    assert desk.why(answer(0.55, 0.45, at_s=9)) == "low_margin"


def test_what_the_model_abstains_from_is_chosen_by_the_region_s_own_threshold_first() -> None:
    only = rule(why=["abstained"])
    assert Desk(only).why(answer(0.8, 0.2, abstain_below=0.9)) == "abstained"
    facts = ModelFacts(abstain_below={("line_1", "belt"): 0.7})
    assert Desk(only, facts=facts).why(answer(0.8, 0.2, abstain_below=0.9)) is None
    several = ModelFacts(multi_label=frozenset({"defects"}))
    assert Desk(only, facts=several).why(answer(0.3, 0.2, abstain_below=0.9)) is None


def test_only_the_shadow_s_answer_tells_of_disagreement() -> None:
    desk = Desk(rule(pause=0))
    assert desk.why(answer(0.99, 0.01)) is None
    assert desk.why(answer(0.99, 0.01, at_s=1), second="ok") is None
    assert desk.why(answer(0.99, 0.01, at_s=2), second="defect") == "disagreement"
    assert Desk(rule(why=["low_margin"])).why(answer(0.99, 0.01), second="defect") is None


def test_a_share_is_drawn_and_one_in_a_while_is_taken() -> None:
    assert Desk(rule(why=["random"], share=0.5), draw=0.4).why(answer(1.0, 0.0)) == "random"
    assert Desk(rule(why=["random"], share=0.5), draw=0.6).why(answer(1.0, 0.0)) is None
    desk = Desk(rule(why=["periodic"], every="10s", pause=0))
    times = [0.0, 9.0, 10.0, 19.9, 20.0]
    assert [desk.why(answer(1.0, 0.0, at_s=at_s)) is not None for at_s in times] == [
        True, False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("only", [{"cameras": ["other"]}, {"regions": ["other"]}, {"models": ["other"]}])
def test_a_rule_takes_only_from_where_it_says(only: dict[str, list[str]]) -> None:
    assert Desk(rule(**only)).why(answer(0.5, 0.5)) is None
    own = {"cameras": ["line_1"], "regions": ["belt"], "models": ["defects"]}
    assert Desk(rule(**{name: own[name] for name in only})).why(answer(0.5, 0.5)) == "low_margin"


def test_two_of_one_region_are_a_pause_apart_and_regions_do_not_wait_for_each_other() -> None:
    desk = Desk(rule(pause="2s"))
    assert desk.why(answer(0.5, 0.5, at_s=0.0)) == "low_margin"
    assert desk.why(answer(0.5, 0.5, at_s=1.9)) is None
    assert desk.why(answer(0.5, 0.5, at_s=1.9, region="tray")) == "low_margin"
    assert desk.why(answer(0.5, 0.5, at_s=2.0)) == "low_margin"


def test_a_day_has_its_quota_for_each_label() -> None:
    desk = Desk(rule(per_label=2, pause=0))
    assert [desk.why(answer(0.5, 0.4, at_s=at_s)) for at_s in (0, 1, 2)] == ["low_margin", "low_margin", None]
    assert desk.refused == [("hard", "quota")]
    assert desk.why(answer(0.4, 0.5, at_s=3)) == "low_margin"
    assert desk.why(answer(0.5, 0.4, at_s=86400)) == "low_margin"


def test_what_was_not_kept_takes_nothing_from_the_quota() -> None:
    desk = Desk(rule(per_label=1, pause=0))
    choice = desk.chooser.choose(answer(0.5, 0.4), None, lambda *_: None)
    assert choice is not None
    desk.chooser.give_back(choice)
    assert desk.why(answer(0.5, 0.4, at_s=1)) == "low_margin"


def test_a_changed_configuration_goes_on_with_the_day_s_counts() -> None:
    before = Desk(rule(per_label=1, pause=0))
    assert before.why(answer(0.5, 0.4)) == "low_margin"
    after = Desk(rule(per_label=1, pause=0, margin=0.3))
    after.chooser.carry_over(before.chooser)
    assert after.why(answer(0.5, 0.4, at_s=1)) is None


def test_the_first_rule_that_wants_a_sample_gets_it() -> None:
    first, second = rule(name="first", margin=0.05), rule(name="second", margin=0.5)
    chooser = Desk(first, second).chooser
    choices = [chooser.choose(answer(p, 1 - p), None, lambda *_: None) for p in (0.51, 0.6)]
    assert [choice and choice.rule.name for choice in choices] == ["first", "second"]

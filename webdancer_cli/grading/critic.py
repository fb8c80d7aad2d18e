"""Quality by a model (paper, section 2): non-redundancy, goal alignment, logical reasoning and accuracy.

The paper counts three criteria; its "logical reasoning and accuracy" is asked as two, since who is asked two things at
once tends to answer one. Every criterion has a call of its own, in which the record stands first: a server that caches
prefixes reads it once for all of them.
"""

from typing import Annotated

import msgspec

from webdancer_cli.data.records import Opinion, Trajectory
from webdancer_cli.errors import ModelError
from webdancer_cli.grading.judge_view import render_episode
from webdancer_cli.grading.verdict_reply import VerdictReply
from webdancer_cli.llm.structured_output import ChatModel, ask_for_json
from webdancer_cli.prompts import PromptSet

FRAME = "critic.md"
CRITERIA = {name: f"critic_{name}.md" for name in ("non_redundancy", "goal_alignment", "logical_reasoning", "accuracy")}
"""The criteria, in the order in which they are asked, with the files that word them."""
Said = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["good", "bad"]})]
GOOD = "good gut bon bonne bueno buena buono bom goed хорошо 好 良い 좋음"
BAD = "bad poor schlecht mauvais mauvaise malo mala cattivo ruim slecht плохо 坏 差 不好 悪い 나쁨"
WORDS = {**dict.fromkeys(GOOD.split(), True), **dict.fromkeys(BAD.split(), False)}


class CriticReply(VerdictReply):
    """The model's reply. The reason comes first, so that the verdict follows from it."""

    verdict: Said


class Critic:
    """Asks ``chat`` about the quality of a trajectory; its answer's correctness is the judge's to tell."""

    def __init__(self, chat: ChatModel, prompts: PromptSet):
        self.name = f"model:{chat.model}"
        self.method = f"{self.name} {prompts.id_of(FRAME, *CRITERIA.values())}"
        self._chat = chat
        self._frame = prompts.files[FRAME]
        self._criteria = {name: prompts.files[file] for name, file in CRITERIA.items()}

    async def opinions(self, trajectory: Trajectory) -> list[Opinion]:
        """One opinion for each criterion, up to the first bad one, which decides. Raises ModelError and RunStopped."""
        shown = render_episode(trajectory)
        found: list[Opinion] = []
        for name in self._criteria:
            found.append(await self._opinion(name, shown))
            if not found[-1].good:
                break
        return found

    async def _opinion(self, name: str, shown: str) -> Opinion:
        judgement, usage = await ask_for_json(
            self._chat, CriticReply, self._frame, record=shown, criterion=self._criteria[name]
        )
        good = judgement.settled(WORDS)
        if good is None:
            raise ModelError(f"{name}: neither good nor bad, but {judgement.said}")
        return Opinion(criterion=name, good=good, reason=judgement.short_reason, method=self.method, usage=usage)

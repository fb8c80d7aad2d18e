"""The judge that reads: a model compares an answer with the gold answer where no rule sees that they are the same.

What the model does not decide, or says in a form that cannot be read, is ``unjudged``: nothing is guessed.
"""

from typing import Annotated, Literal

import msgspec

from webdancer_cli.data.records import QA, Usage, Verdict
from webdancer_cli.errors import ModelError
from webdancer_cli.grading import exact_match
from webdancer_cli.grading.judge_view import head_and_tail, neutralise
from webdancer_cli.grading.verdict_reply import VerdictReply
from webdancer_cli.llm.structured_output import ChatModel, Unreadable, ask_for_json
from webdancer_cli.prompts import PromptSet

PROMPT = "judge.md"
SHOWN_CHARS = 4000
"""Characters of an answer that the model is shown."""

Said = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["correct", "wrong"]})]
"""A server with structured output allows these two words. Any other is read, too, so that a hedge is known as one."""

CORRECT = """correct right accurate richtig korrekt exact juste correcte correcto correcta corretto corretta
correto correta certo juist правильно верно poprawna poprawne doğru đúng benar rätt صحيح सही
正确 正確 对 正しい 正解 정답 맞음 올바름"""
WRONG = """wrong incorrect inaccurate falsch inkorrekt faux fausse incorrecte incorrecto incorrecta sbagliato
sbagliata errato scorretto errado incorreto fout onjuist неправильно неверно niepoprawna yanlış sai salah fel خطأ गलत
错误 錯誤 不正确 不正確 错 間違い 誤り 不正解 오답 틀림"""
Outcome = Literal["correct", "wrong"]
OUTCOMES: dict[str, Outcome] = {
    **dict.fromkeys(CORRECT.split(), "correct"),
    **dict.fromkeys(WRONG.split(), "wrong"),
}
"""The two words, in the languages in which models answer when they are shown one."""


class JudgeReply(VerdictReply):
    """The model's reply. The reason comes first, so that the verdict follows from it."""

    verdict: Said


class ModelJudge:
    """Grades by rule what a rule can tell, and asks ``chat`` about the rest.

    ``failures`` counts the answers for which no verdict came about, ``last_failure`` says why for the latest: what a
    server says about itself belongs into no record.
    """

    def __init__(self, chat: ChatModel, prompts: PromptSet):
        self.name = f"model:{chat.model}"
        self.method = f"{self.name} {prompts.id_of(PROMPT)}"
        self.failures = 0
        self.last_failure = ""
        self._chat = chat
        self._template = prompts.files[PROMPT]

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        """Raises RunStopped. A model that fails gives ``unjudged``, with the kind of failure as its detail."""
        by_rule = exact_match.match_answer(answer, qa.answer, qa.aliases)
        if answer is None or by_rule.detail != exact_match.NO_MATCH:
            return by_rule
        try:
            judgement, usage = await self._asked(qa, answer)
        except Unreadable as failure:
            return self._unjudged("unreadable_reply", str(failure))
        except ModelError as failure:
            return self._unjudged("model_error", str(failure))
        return self._read(judgement, usage)

    async def _asked(self, qa: QA, answer: str) -> tuple[JudgeReply, Usage]:
        gold = "\nor: ".join([qa.answer, *filter(str.strip, qa.aliases)])
        return await ask_for_json(
            self._chat,
            JudgeReply,
            self._template,
            question=neutralise(qa.question),
            gold=neutralise(gold),
            answer=neutralise(head_and_tail(answer, SHOWN_CHARS)),
        )

    def _read(self, judgement: JudgeReply, usage: Usage) -> Verdict:
        outcome = judgement.settled(OUTCOMES)
        if outcome is None:
            failure = f"neither correct nor wrong, but {judgement.said}"
            return self._unjudged(f"hedged: {judgement.short_reason}", failure, usage)
        return Verdict(outcome=outcome, method=self.method, detail=judgement.short_reason, usage=usage)

    def _unjudged(self, detail: str, failure: str, usage: Usage | None = None) -> Verdict:
        self.failures += 1
        self.last_failure = failure
        return Verdict(outcome="unjudged", method=self.method, detail=detail, usage=usage)

    async def aclose(self) -> None:
        if close := getattr(self._chat, "aclose", None):
            await close()

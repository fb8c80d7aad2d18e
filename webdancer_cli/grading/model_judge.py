"""The judge that reads: a model compares an answer with the gold answer where no rule sees that they are the same.

What the model does not decide, or says in a form that cannot be read, is ``unjudged``: nothing is guessed. Evaluation
sets have prompts of their own (``benchmarks``); those whose answers are sets are graded item by item, tables
cell by cell.
"""

import asyncio
from typing import Annotated

import msgspec

from webdancer_cli.data.benchmarks import (
    JUDGE,
    JUDGE_SET,
    JUDGE_TABLE_CELLS,
    JUDGE_TABLE_NAMES,
    JUDGE_WITH_CONFIDENCE,
    is_set_answer,
    told_by,
)
from webdancer_cli.data.records import QA, Usage, Verdict, content_id
from webdancer_cli.data.table_questions import table_rules
from webdancer_cli.errors import ModelError, UsageError
from webdancer_cli.grading import exact_match
from webdancer_cli.grading.judge_view import head_and_tail, neutralise
from webdancer_cli.grading.set_answers import Found, found_by_rule, items
from webdancer_cli.grading.table_answers import TableGrade, grade_by_rule
from webdancer_cli.grading.table_judge import TableJudge
from webdancer_cli.grading.verdict_lines import Decision, confidence_in_lines, verdict_in_lines
from webdancer_cli.grading.verdict_reply import VerdictReply
from webdancer_cli.llm.structured_output import Aside, ChatModel, Unreadable, ask
from webdancer_cli.prompts import PromptSet, fill

PROMPT = JUDGE
MOST_KNOWN = 10_000
"""Verdicts that are remembered; on a tape all of them are."""
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
OUTCOMES: dict[str, Decision] = {
    **dict.fromkeys(CORRECT.split(), "correct"),
    **dict.fromkeys(WRONG.split(), "wrong"),
}
"""The two words, in the languages in which models answer when they are shown one."""


class JudgeReply(VerdictReply):
    """The model's reply. The reason comes first, so that the verdict follows from it."""

    verdict: Said


class ConfidentJudgement(VerdictReply):
    """The reply to a prompt that also asks what the final answer is, and how sure the response says it is."""

    verdict: Said
    extracted: Aside = ""
    confidence: float | None = None


class SetJudgement(msgspec.Struct):
    """For each known item whether it is named, and how many others are."""

    named: list[bool]
    others: Annotated[int, msgspec.Meta(ge=0)] = 0


class ModelJudge:
    """Grades by rule where the rule is certain, and asks ``chat`` about the rest.

    The same answer to the same question is asked about once. ``failures`` counts the answers for which no verdict came
    about, ``last_failure`` says why for the latest: what a server says about itself belongs into no record.
    ``prompt`` is the file of the prompt set that words the question of an answer that is one thing; without it, the
    evaluation set that a question comes from has one.
    """

    def __init__(self, chat: ChatModel, prompts: PromptSet, prompt: str | None = None):
        self.name = f"model:{chat.model}"
        self.failures = 0
        self.last_failure = ""
        self._chat = chat
        self._prompts = prompts
        self._prompt = prompt
        self._known: dict[str, Verdict] = {}
        self._asking: dict[str, asyncio.Task[Verdict]] = {}

    @property
    def method(self) -> str:
        return self._method(self._prompt or PROMPT)

    def _method(self, prompt: str) -> str:
        """Who judges, and by which words: a score depends on both."""
        also = (JUDGE_TABLE_NAMES,) if prompt == JUDGE_TABLE_CELLS else ()
        return f"{self.name} {prompt.removesuffix('.md')} {self._prompts.id_of(prompt, *also)}"

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        """Raises RunStopped. A model that fails gives ``unjudged``, with the kind of failure as its detail."""
        by_rule = judge_by_rule(qa, answer)
        if answer is None or not answer.strip() or by_rule.outcome != "wrong":
            return by_rule
        return await self._once(content_id(qa.question, qa.answer, *qa.aliases, answer), qa, answer)

    async def _once(self, key: str, qa: QA, answer: str) -> Verdict:
        """The verdict that is known, or is being asked for, else a new one; what failed is asked about again."""
        if key in self._known:
            return self._known[key]
        if key not in self._asking:
            self._asking[key] = asyncio.ensure_future(self._verdict(qa, answer))
        try:
            verdict = await asyncio.shield(self._asking[key])
        finally:
            self._asking.pop(key, None)
        if verdict.outcome != "unjudged":
            self._known[key] = verdict
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return verdict

    async def _verdict(self, qa: QA, answer: str) -> Verdict:
        prompt = self._prompt_for(qa)
        try:
            if prompt == JUDGE_SET:
                return await self._set_verdict(qa, answer)
            if prompt == JUDGE_TABLE_CELLS and (rules := table_rules(qa)):
                grade, usage = await TableJudge(self._chat, self._prompts).grade(rules, qa, answer)
                return table_verdict(grade, self._method(prompt), usage)
            judgement, usage = await self._ask(qa, answer, prompt)
        except Unreadable as failure:
            return self._unjudged(prompt, "unreadable_reply", str(failure))
        except ModelError as failure:
            return self._unjudged(prompt, "model_error", str(failure))
        return self._to_verdict(prompt, judgement, usage)

    def _prompt_for(self, qa: QA) -> str:
        """What is graded part by part has a prompt for that, whichever is named for the others."""
        if is_set_answer(qa):
            return JUDGE_SET
        if table_rules(qa):
            return JUDGE_TABLE_CELLS
        benchmark = told_by(qa)
        return self._prompt or (benchmark.judge if benchmark else PROMPT)

    async def _ask(self, qa: QA, answer: str, prompt: str) -> tuple[JudgeReply | ConfidentJudgement, Usage]:
        gold = "\nor: ".join([qa.answer, *filter(str.strip, qa.aliases)])
        filled = self._filled(prompt, qa, gold, answer)
        if prompt == JUDGE_WITH_CONFIDENCE:
            return await ask(self._chat, ConfidentJudgement, filled, otherwise=confident_judgement_in_lines)
        return await ask(self._chat, JudgeReply, filled, otherwise=judgement_in_lines)

    def _filled(self, prompt: str, qa: QA, gold: str, answer: str) -> str:
        shown = neutralise(head_and_tail(answer, SHOWN_CHARS))
        return fill(self._prompts.files[prompt], question=neutralise(qa.question), gold=neutralise(gold), answer=shown)

    def _to_verdict(self, prompt: str, judgement: JudgeReply | ConfidentJudgement, usage: Usage) -> Verdict:
        outcome = judgement.settled(OUTCOMES)
        if outcome is None:
            failure = f"neither correct nor wrong, but {judgement.said}"
            return self._unjudged(prompt, f"hedged: {judgement.short_reason}", failure, usage)
        given = judgement.confidence if isinstance(judgement, ConfidentJudgement) else None
        return Verdict(
            outcome=outcome,
            method=self._method(prompt),
            detail=judgement.short_reason,
            usage=usage,
            confidence=given / 100 if given is not None and 0 <= given <= 100 else None,
        )

    async def _set_verdict(self, qa: QA, answer: str) -> Verdict:
        known = items(qa.answer)
        numbered = "\n".join(f"{number}. {item}" for number, item in enumerate(known, 1))
        judgement, usage = await ask(self._chat, SetJudgement, self._filled(JUDGE_SET, qa, numbered, answer))
        if len(judgement.named) != len(known):
            said = f"{len(judgement.named)} of {len(known)} items"
            return self._unjudged(JUDGE_SET, "unreadable_reply", f"a verdict on {said}", usage)
        found = Found(sum(judgement.named), len(known), judgement.others)
        return set_verdict(found, self._method(JUDGE_SET), usage)

    def _unjudged(self, prompt: str, detail: str, failure: str, usage: Usage | None = None) -> Verdict:
        self.failures += 1
        self.last_failure = failure
        return Verdict(outcome="unjudged", method=self._method(prompt), detail=detail, usage=usage)

    async def check(self) -> None:
        """Asks about a right and a wrong answer to a question of our own. Raises UsageError for a judge that cannot
        tell them apart; a server that is down for now shows at the first answer, and is no reason to stop."""
        for answer, expected in CHECKS:
            verdict = await self._verdict(CHECKED, answer)
            if verdict.outcome != expected and verdict.detail != "model_error":
                said = "nothing that can be read" if verdict.outcome == "unjudged" else repr(verdict.outcome)
                raise UsageError(
                    f"--judge-model {self._chat.model}: cannot judge: asked {CHECKED.question!r}, whose answer is "
                    f"{CHECKED.answer!r}, it says {said} of {answer!r}; choose another model, or add --no-judge-check"
                )
        self.failures = 0

    async def aclose(self) -> None:
        if close := getattr(self._chat, "aclose", None):
            await close()


CHECKED = QA(question="What is the capital of France?", answer="Paris")
CHECKS: list[tuple[str, Decision]] = [("The capital of France is Paris.", "correct"), ("It is Rome.", "wrong")]
"""What any judge can tell. That no answer is wrong, and the gold answer itself correct, the rules see to."""


def judge_by_rule(qa: QA, answer: str | None) -> Verdict:
    """The verdict by normalised match; of a set item by item, of a table cell by cell."""
    verdict = exact_match.match_answer(answer, qa.answer, qa.aliases)
    if verdict.outcome == "unjudged":
        return verdict
    if rules := table_rules(qa):
        return table_verdict(grade_by_rule(rules, qa.answer, answer or ""), exact_match.METHOD)
    if not is_set_answer(qa):
        return verdict
    return set_verdict(found_by_rule(answer or "", items(qa.answer)), exact_match.METHOD)


class RuleJudge:
    """The judge by rule: instant, free, and blind to paraphrase."""

    name = exact_match.METHOD

    async def judge(self, qa: QA, answer: str | None) -> Verdict:
        return judge_by_rule(qa, answer)


def set_verdict(found: Found, method: str, usage: Usage | None = None) -> Verdict:
    """Correct only if all items are named and nothing else; ``f1`` says how near it came."""
    return Verdict(
        outcome="correct" if found.f1 == 1 else "wrong",
        method=method,
        detail=f"{found.named} of {found.known} named, {found.others} others",
        usage=usage,
        f1=round(found.f1, 6),
    )


def table_verdict(grade: TableGrade, method: str, usage: Usage | None = None) -> Verdict:
    """Correct only if all rows are there, right, and nothing else."""
    return Verdict(
        outcome="correct" if grade.is_right else "wrong",
        method=method,
        detail=str(grade),
        usage=usage,
        f1=round(grade.item_f1, 6),
        row_f1=round(grade.row_f1, 6),
    )


def judgement_in_lines(text: str) -> JudgeReply | None:
    """A reply without JSON, if a line of it is a verdict."""
    outcome = verdict_in_lines(text, OUTCOMES)
    return JudgeReply(reason="", verdict=outcome) if outcome else None


def confident_judgement_in_lines(text: str) -> ConfidentJudgement | None:
    outcome, share = verdict_in_lines(text, OUTCOMES), confidence_in_lines(text)
    confidence = None if share is None else 100 * share
    return ConfidentJudgement(reason="", verdict=outcome, confidence=confidence) if outcome else None

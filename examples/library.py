"""webdancer as a library: one's own policy and tool play over a fictional web; graded, and rendered to ids and mask.

pip install 'webdancer[train]' && python examples/library.py
"""

import asyncio
import math
import re
import tempfile
from pathlib import Path

import webdancer_cli as wd
from webdancer_cli.world.plain_pages import plain_page
from webdancer_cli.world.plain_world import PlainWorld


def years_between(first: int, second: int) -> int:
    """Count the years from the first to the second."""
    return second - first


class LookUp:
    """A policy opens sessions. Here it is a session, too: it has nothing to keep but what it was shown last."""

    name, remaining_tokens = "look-up", math.inf

    def begin(self, messages: list[wd.Message], qa: wd.QA, rollout: int = 0) -> wd.Session:
        session = LookUp()
        session.plan = session.steps(qa.question)
        return session

    def count(self, content: str) -> int:
        return len(content.split())

    def observe(self, content: str) -> None:
        self.shown = content

    async def act(self) -> wd.Completion:
        return wd.Completion(text=wd.render_turn(next(self.plan)), finish="stop")

    def steps(self, question: str):
        yield wd.Turn(thought="I look for its page.", call=wd.ToolCall("search", {"query": [question]}))
        url = re.search(r"\((\S+?)\)", self.shown)[1]
        yield wd.Turn(thought="That fits.", call=wd.ToolCall("visit", {"url": [url], "goal": question}))
        year = int(re.search(r"founding year of .*? is (\d+)", self.shown)[1])
        call = wd.ToolCall("years_between", {"first": year, "second": 2000})
        yield wd.Turn(thought=f"It was founded in {year}.", call=call)
        yield wd.Turn(thought="So many years.", answer=re.search(r"\d+", self.shown)[0])


def main() -> None:
    world = PlainWorld(50, seed=7)
    texts = [plain_page(world, index) for index in range(len(world))]
    pages = [wd.Page(url=f"https://world.example/{text.slug}", title=text.title, text=text.text) for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        wd.write_records(str(Path(folder, "pages.jsonl")), pages)
        web, prompts = wd.Corpus.load(str(Path(folder, "pages.jsonl"))), wd.load_prompts("default")

    town, year = world.entity(0), next(fact.value for fact in world.facts(0) if fact.relation == "founding year")
    qa = wd.QA(question=f"How many years before 2000 was {town.name} founded?", answer=str(2000 - int(year)))
    tools = wd.Tools(web, prompts, [wd.CustomTool("years_between", years_between)])
    trajectory = asyncio.run(wd.play(qa, LookUp(), tools, prompts, wd.Limits()))

    trajectory.verdict = wd.match_answer(trajectory.answer, qa.answer)
    is_well_formed = wd.well_formed(trajectory, tools.schemas)
    print(f"{qa.question} {trajectory.answer} ({trajectory.verdict.outcome})")
    print(f"reward {wd.reward(is_well_formed, trajectory.verdict)}, tools {trajectory.tools}")

    tokens = wd.Renderer(wd.load_tokenizer("nano")).encode(trajectory.messages)
    print(f"{len(tokens.ids)} tokens, of which {sum(tokens.trainable)} bear loss")


if __name__ == "__main__":
    main()

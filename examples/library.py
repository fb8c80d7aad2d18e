"""webdancer as a library: pages, a tool and a policy of one's own; an episode, its reward, its ids and their mask."""

import asyncio
import re

import webdancer_cli as wd

TEXTS = {"Velmora": "Velmora is a town. It was founded in 1234.", "Dolvek": "Dolvek is a painter from Velmora."}
PAGES = [wd.Page(url=f"https://a.example/{name}", title=name, text=text) for name, text in TEXTS.items()]
QUESTION = wd.QA(question="How many years before 2000 was Velmora founded?", answer="766")


def years_between(first: int, second: int) -> int:
    """Count the years from the first to the second."""
    return second - first


def respond(messages: list[wd.Message]) -> wd.Turn:
    """The policy: shown all that was said, it takes the next turn. A model of yours would be asked here."""
    turns, shown = sum(message.role == "assistant" for message in messages), messages[-1].content
    if turns == 0:
        return wd.Turn(thought="I look for its page.", call=wd.ToolCall("search", {"query": ["Velmora"]}))
    if turns == 1:
        url = re.findall(r"https://[^\s)]+", shown)[0]
        return wd.Turn(thought="This one.", call=wd.ToolCall("visit", {"url": [url], "goal": "the founding year"}))
    number = int(re.findall(r"founded in (\d+)|(\d+)", shown)[0][turns - 2])
    if turns == 2:
        return wd.Turn(thought="I count.", call=wd.ToolCall("years_between", {"first": number, "second": 2000}))
    return wd.Turn(thought="So many years.", answer=str(number))


if __name__ == "__main__":
    tools = wd.Tools(wd.Corpus.of(PAGES), own=[years_between])
    trajectory = asyncio.run(wd.play(QUESTION, wd.CustomPolicy("look-up", respond), tools))
    trajectory.verdict = wd.match_answer(trajectory.answer, QUESTION.answer)
    print(f"{QUESTION.question} {trajectory.answer} ({trajectory.verdict.outcome}), tools {trajectory.tools}")
    print("reward", wd.reward(wd.well_formed(trajectory, tools.schemas), trajectory.verdict))
    tokens = wd.Renderer(wd.load_tokenizer("nano")).encode(trajectory.messages)
    print(f"{len(tokens.ids)} tokens, of which {sum(tokens.trainable)} bear loss")
